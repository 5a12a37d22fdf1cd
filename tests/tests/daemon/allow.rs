//! What is never dropped.

use anyhow::Result;
use nicban_tests::daemon::{GATEWAY, GATEWAY_V6, HOST, HOST_V6, Site};

use crate::now;

#[test]
fn the_allow_list_wins_over_a_ban() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    for (banned, inside, allowed, other) in [
        (
            "198.51.100.7",
            "198.51.100.7",
            "198.51.100.7",
            "198.51.100.7",
        ),
        (
            "203.0.113.0/25",
            "203.0.113.5",
            "203.0.113.5",
            "203.0.113.6",
        ),
        (
            "2001:db8:bad::1",
            "2001:db8:bad::2",
            "2001:db8:bad::2",
            "2001:db8:bad::3",
        ),
        (
            "2001:db8:bed::/48",
            "2001:db8:bed:1::1",
            "2001:db8:bed:1::/64",
            "2001:db8:bed:2::1",
        ),
    ] {
        daemon.ban("sshd", banned, now(), 600)?;
        wire.blocked(inside)?;
        let said = site.nicban(&["allow", "add", allowed])?.well()?;
        assert!(said.contains("is banned as well"), "{said}");
        wire.arrives(inside)?;
        if other != inside {
            wire.blocked(other)?;
        }
        let error = site.nicban(&["ban", allowed])?.with_code(1)?;
        assert!(error.contains("nicban allow remove"), "{error}");
        let list = site.nicban(&["allow", "list"])?.well()?;
        assert!(list.contains(allowed), "{list}");

        site.nicban(&["allow", "remove", allowed])?.well()?;
        wire.blocked(inside)?;
        site.nicban(&["allow", "remove", allowed])?.with_code(1)?;
    }
    daemon.until_status("the allowed are counted", |status| {
        (status.ipv4.allowed, status.ipv6.allowed) == (6, 6)
    })?;
    Ok(())
}

#[test]
fn an_allowed_address_stays_so_over_a_crash() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let config = site
        .config()
        .set("allow", "networks", "[\"203.0.113.0/24\"]");
    let daemon = site.start(&config)?;
    site.nicban(&["allow", "add", "198.51.100.7"])?.well()?;
    daemon.ban("sshd", "198.51.100.0/24", now(), 600)?;
    daemon.ban("sshd", "203.0.0.0/16", now(), 600)?;
    daemon.kill()?;
    let _daemon = site.start(&config)?;
    wire.arrives("198.51.100.7")?;
    wire.arrives("203.0.113.7")?;
    wire.blocked("198.51.100.8")?;
    wire.blocked("203.0.112.1")?;
    // What only the configuration allowed ends with it.
    let error = site
        .nicban(&["allow", "remove", "203.0.113.0/24"])?
        .with_code(1)?;
    assert!(error.contains("configuration"), "{error}");
    Ok(())
}

#[test]
fn what_the_host_needs_is_not_banned() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.start(&site.config())?;
    for (address, why) in [
        (HOST, "this host's own address"),
        (HOST_V6, "this host's own address"),
        (GATEWAY, "a gateway of this host"),
        (GATEWAY_V6, "a gateway of this host"),
        ("169.254.169.254", "link-local"),
        ("127.0.0.1", "loopback"),
        ("0.0.0.0/0", "too wide"),
        ("::/0", "too wide"),
    ] {
        let error = site.nicban(&["ban", address])?.with_code(1)?;
        assert!(error.contains(why), "{address}: {error}");
        let time = now().to_string();
        let error = site
            .action(&["ban", "--", "sshd", address, &time, "600"])?
            .with_code(1)?;
        assert!(error.contains(why), "{address}: {error}");
    }
    assert_eq!(daemon.bans()?, []);
    Ok(())
}

#[test]
fn the_host_inside_a_banned_network_passes_also_with_a_new_address() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", "192.0.2.0/24", now(), 600)?;
    wire.blocked("192.0.2.77")?;
    wire.arrives(GATEWAY)?;
    // An address that it gets later is its own from then on.
    site.host().add_address("eth0", "192.0.2.77/24".parse()?)?;
    daemon.until_status("the new address is noticed", |_| {
        site.nicban(&["allow", "list", "--json"])
            .and_then(nicban_tests::daemon::Ran::well)
            .is_ok_and(|list| list.contains("192.0.2.77/32"))
    })?;
    site.nicban(&["ban", "192.0.2.77"])?.with_code(1)?;
    site.host()
        .ip(&["address", "del", "192.0.2.77/24", "dev", "eth0"])?;
    daemon.until_status("the address is gone", |_| {
        site.nicban(&["allow", "list", "--json"])
            .and_then(nicban_tests::daemon::Ran::well)
            .is_ok_and(|list| !list.contains("192.0.2.77/32"))
    })?;
    wire.blocked("192.0.2.77")
}

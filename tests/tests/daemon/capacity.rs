//! Maps that are full.

use anyhow::Result;
use nicban_protocol::{RefusalKind, Request};
use nicban_tests::daemon::{self, DaemonConfig, Site};

use crate::now;

fn ban(address: &str) -> Request {
    Request::Ban(daemon::ban("sshd", address, now(), 600))
}

#[test]
fn a_full_map_refuses_and_keeps_what_it_has() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let config = site
        .config()
        .set("xdp", "max_bans", "4")
        .set("xdp", "max_nets", "16");
    let daemon = site.start(&config)?;
    for (key, map, make) in [
        (
            "max_bans",
            "bans_v4",
            &(|n: u8| (format!("198.51.100.{n}"), format!("198.51.100.{n}")))
                as &dyn Fn(u8) -> (String, String),
        ),
        ("max_bans", "bans_v6", &|n| {
            (
                format!("2001:db8:bad:{n}::1"),
                format!("2001:db8:bad:{n}::2"),
            )
        }),
        ("max_nets", "nets_v4", &|n| {
            (format!("10.{n}.0.0/16"), format!("10.{n}.3.4"))
        }),
        ("max_nets", "nets_v6", &|n| {
            (
                format!("2001:db8:{n}00::/48"),
                format!("2001:db8:{n}00:4::1"),
            )
        }),
    ] {
        let room = if key == "max_bans" { 4 } else { 16 };
        for n in 1..=room {
            daemon.does(&ban(&make(n).0))?;
        }
        let (extra, source) = make(room + 1);
        let refusal = daemon.refuses(&ban(&extra))?;
        assert_eq!(refusal.kind, RefusalKind::Full, "{refusal:?}");
        assert!(
            refusal.message.contains(key),
            "{key} is not named: {}",
            refusal.message
        );
        site.nicban(&["ban", &extra])?.with_code(1)?;
        wire.arrives(&source)?;
        for n in [1, 2, room] {
            wire.blocked(&make(n).1)?;
        }
        // Another holder of what is there needs no room.
        daemon.ban("nginx", &make(1).0, now(), 600)?;
        let status = daemon.status()?;
        let fill = status.maps.iter().find(|fill| fill.map == map).unwrap();
        let room = u64::from(room);
        assert_eq!((fill.entries, fill.capacity), (room, room));
        let page = site.nicban(&["status"])?.well()?;
        assert!(
            page.contains(&format!("!! map {map} is 100 % full")),
            "{page}"
        );

        daemon.unban("sshd", &make(2).0)?;
        wire.arrives(&make(2).1)?;
        daemon.does(&ban(&extra))?;
        wire.blocked(&source)?;
    }
    Ok(())
}

#[test]
fn smaller_maps_leave_bans_out_and_say_so() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    for n in 1..=6 {
        daemon.does(&ban(&format!("198.51.100.{n}")))?;
    }
    daemon.stop()?;
    let daemon = site.start(&site.config().set("xdp", "max_bans", "4"))?;
    let status = daemon.status()?;
    assert_eq!(status.bans, 4);
    let warning = status
        .warnings
        .iter()
        .find(|line| line.contains("max_bans"));
    assert!(
        warning.is_some_and(|line| line.starts_with("2 stored bans")),
        "{status:?}"
    );
    daemon.stop()?;
    // None was forgotten.
    let daemon = site.start(&site.config())?;
    assert_eq!(daemon.status()?.warnings, [""; 0]);
    for n in 1..=6 {
        wire.blocked(&format!("198.51.100.{n}"))?;
    }
    assert_eq!(daemon.status()?.bans, 6);
    Ok(())
}

/// A configuration whose own allow list all but fills the maps that go with `max_nets = 1`:
/// they have room for 1,024 more.
fn crowded(site: &Site) -> DaemonConfig {
    let networks: Vec<String> = (0..1010)
        .map(|n| format!("\"10.{}.{}.0/24\"", n / 256, n % 256))
        .collect();
    site.config()
        .set("allow", "networks", &format!("[{}]", networks.join(", ")))
}

/// Networks to allow, of which each covers its own `offender`.
fn allowed(n: u8) -> String {
    format!("198.51.100.{n}/32")
}

fn offender(n: u8) -> String {
    format!("198.51.100.{n}")
}

#[test]
fn a_full_allow_list_refuses_each_time_and_the_daemon_still_starts() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let config = crowded(&site).set("xdp", "max_nets", "1");
    let daemon = site.start(&config)?;
    daemon.ban("sshd", "198.51.100.0/24", now(), 600)?;
    // The host's own have their places as well.
    let mut fit = 0;
    let error = loop {
        let ran = site.nicban(&["allow", "add", &allowed(fit + 1)])?;
        if ran.code != 0 {
            break ran.with_code(1)?;
        }
        fit += 1;
        assert!(fit <= 16, "there is no limit");
    };
    assert!(fit > 2, "only {fit} fit");
    let extra = fit + 1;
    assert!(error.contains("max_nets"), "{error}");
    let error = site
        .nicban(&["allow", "add", &allowed(extra)])?
        .with_code(1)?;
    assert!(error.contains("max_nets"), "{error}");
    wire.arrives(&offender(fit))?;
    wire.blocked(&offender(extra))?;
    daemon.stop()?;

    let daemon = site.start(&config)?;
    let warnings = daemon.status()?.warnings.join("\n");
    assert!(!warnings.contains("allow list"), "{warnings}");
    wire.arrives(&offender(fit))?;
    wire.blocked(&offender(extra))?;

    site.nicban(&["allow", "remove", &allowed(1)])?.well()?;
    wire.blocked(&offender(1))?;
    site.nicban(&["allow", "add", &allowed(extra)])?.well()?;
    wire.arrives(&offender(extra))
}

#[test]
fn a_smaller_allow_list_leaves_out_the_surplus_and_says_so() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&crowded(&site))?;
    daemon.ban("sshd", "198.51.100.0/24", now(), 600)?;
    for n in 1..=20 {
        site.nicban(&["allow", "add", &allowed(n)])?.well()?;
    }
    wire.arrives(&offender(20))?;
    daemon.stop()?;

    let daemon = site.start(&crowded(&site).set("xdp", "max_nets", "1"))?;
    let page = site.nicban(&["status"])?.well()?;
    assert!(
        page.contains("networks of the allow list are not"),
        "{page}"
    );
    wire.arrives(&offender(1))?;
    wire.blocked(&offender(20))?;
    // One that was left out can be taken off for good.
    site.nicban(&["allow", "remove", &allowed(19)])?.well()?;
    daemon.stop()?;

    // None of the others was forgotten.
    let daemon = site.start(&crowded(&site))?;
    assert_eq!(daemon.status()?.warnings, [""; 0]);
    for n in [1, 18, 20] {
        wire.arrives(&offender(n))?;
    }
    wire.blocked(&offender(19))
}

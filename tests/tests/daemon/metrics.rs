//! What Prometheus reads.

use std::time::Duration;

use anyhow::Result;
use nicban_tests::daemon::{HONEST, Scrape, Site};
use nicban_tests::wait;

use crate::now;

#[test]
fn the_metrics_agree_with_the_status() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let config = site.config().set("metrics", "enabled", "true");
    let daemon = site.start(&config)?;
    daemon.ban("sshd", "198.51.100.7", now(), 600)?;
    daemon.ban("sshd", "2001:db8:bad::1", now(), 600)?;
    daemon.ban("nginx", "198.51.100.7", now(), 600)?;
    wire.send("198.51.100.7".parse()?, 7)?;
    wire.blocked("2001:db8:bad::1")?;
    wire.arrives(HONEST)?;
    let status = daemon.until_status("all drops are counted", |status| {
        (status.ipv4.dropped, status.ipv6.dropped) == (7, 3)
    })?;
    let scrape = Scrape::of(site.host())?;
    for (series, expected) in [
        (r#"nicban_bans{holder="sshd"}"#, 2),
        (r#"nicban_bans{holder="nginx"}"#, 1),
        ("nicban_banned_sources", status.bans),
        (r#"nicban_dropped_packets_total{family="ipv4"}"#, 7),
        (r#"nicban_dropped_packets_total{family="ipv6"}"#, 3),
        (
            r#"nicban_dropped_bytes_total{family="ipv4"}"#,
            status.ipv4.dropped_bytes,
        ),
        (r#"nicban_map_entries{map="bans_v4"}"#, 1),
        (r#"nicban_map_capacity_entries{map="bans_v4"}"#, 4096),
        (r#"nicban_attached{interface="eth0",mode="native"}"#, 1),
        (r#"nicban_mode{mode="enforce"}"#, 1),
        (r#"nicban_mode{mode="observe"}"#, 0),
        ("nicban_warnings", 0),
    ] {
        assert_eq!(scrape.value(series), Some(expected), "{series}\n{scrape:?}");
    }

    // And once something has changed.
    site.nicban(&["observe"])?.well()?;
    daemon.unban("sshd", "2001:db8:bad::1")?;
    wire.arrives("198.51.100.7")?;
    wait::until("the metrics follow", Duration::from_secs(5), || {
        let scrape = Scrape::of(site.host())?;
        let follows = scrape.value(r#"nicban_mode{mode="observe"}"#) == Some(1)
            && scrape.value("nicban_banned_sources") == Some(1)
            && scrape.value(r#"nicban_would_drop_packets_total{family="ipv4"}"#) == Some(3);
        Ok(follows.then_some(()))
    })
}

#[test]
fn a_taken_port_is_named() -> Result<()> {
    let site = Site::new()?;
    let _taken = site
        .host()
        .enter(|| std::net::TcpListener::bind("127.0.0.1:10187"))??;
    let config = site.config().set("metrics", "enabled", "true");
    let error = site.start_in_vain(&config)?.with_code(1)?;
    assert!(error.contains("127.0.0.1:10187"), "{error}");
    Ok(())
}

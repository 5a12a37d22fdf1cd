//! The end of a ban, to the second, with and without a daemon.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use nicban_protocol::{Outcome, PERMANENT, Request};
use nicban_tests::daemon::{HONEST, HONEST_V6, Site, Wire};

use crate::{now, wall};

/// A ban, and a source that it covers.
const BANS: [(&str, &str); 4] = [
    ("198.51.100.7", "198.51.100.7"),
    ("203.0.113.0/25", "203.0.113.5"),
    ("2001:db8:bad::1", "2001:db8:bad::2"),
    ("2001:db8:bed::/48", "2001:db8:bed:1::1"),
];

/// Sends without a pause until a packet of each source has arrived: the times of
/// the last look at which one had not, and of the first at which it had.
fn first_arrivals(wire: &Wire<'_>, limit: Duration) -> Result<Vec<(Duration, Duration)>> {
    let sources: Vec<IpAddr> = BANS
        .iter()
        .map(|(_, source)| source.parse())
        .collect::<Result<_, _>>()?;
    for source in &sources {
        ensure!(wire.count(*source)? == 0, "{source} has sent already");
    }
    let deadline = wall() + limit;
    let mut blocked_at = vec![wall(); sources.len()];
    let mut arrived_at: Vec<Option<Duration>> = vec![None; sources.len()];
    while arrived_at.iter().any(Option::is_none) {
        ensure!(wall() < deadline, "not lifted: {arrived_at:?}, {BANS:?}");
        for (index, source) in sources.iter().enumerate() {
            if arrived_at[index].is_some() {
                continue;
            }
            let before = wall();
            wire.send(*source, 1)?;
            if wire.count(*source)? > 0 {
                arrived_at[index] = Some(wall());
            } else {
                blocked_at[index] = before;
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(blocked_at
        .into_iter()
        .zip(arrived_at.into_iter().flatten())
        .collect())
}

#[test]
fn a_living_daemon_lifts_at_the_end() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let time = now();
    for (address, _) in BANS {
        assert_eq!(daemon.ban("sshd", address, time, 3)?, Outcome::Enforced);
    }
    let end = Duration::from_secs(u64::try_from(time + 3)?);
    for ((blocked, arrived), (address, _)) in first_arrivals(&wire, Duration::from_secs(10))?
        .into_iter()
        .zip(BANS)
    {
        assert!(
            arrived >= end,
            "{address}: {arrived:?}, before the end at {end:?}"
        );
        // The last packet that was dropped was sent at most one pulse after the end.
        let late = blocked.saturating_sub(end);
        assert!(
            late < Duration::from_secs(1),
            "{address}: {late:?} too late"
        );
    }
    assert_eq!(daemon.bans()?, []);
    for map in ["bans_v4", "bans_v6", "nets_v4", "nets_v6"] {
        assert_eq!(site.pins().dump(map)?.len(), 0, "{map}");
    }
    Ok(())
}

#[test]
fn without_a_daemon_the_kernel_lifts_after_the_grace() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let config = site.config().set("xdp", "expiry_grace", "\"1s\"");
    let daemon = site.start(&config)?;
    let time = now();
    for (address, _) in BANS {
        daemon.ban("sshd", address, time, 2)?;
    }
    daemon.ban("sshd", "198.51.100.200", time, PERMANENT)?;
    daemon.kill()?;
    let after_grace = Duration::from_secs(u64::try_from(time + 3)?);
    for ((blocked, arrived), (address, _)) in first_arrivals(&wire, Duration::from_secs(10))?
        .into_iter()
        .zip(BANS)
    {
        assert!(
            arrived >= after_grace,
            "{address}: {arrived:?}, before {after_grace:?}"
        );
        // The kernel is told the nanosecond: a packet sent after it passes. What is
        // left is a busy machine: one sent in time and counted late looks dropped.
        let late = blocked.saturating_sub(after_grace);
        assert!(
            late < Duration::from_millis(250),
            "{address}: {late:?} too late"
        );
    }
    wire.blocked("198.51.100.200")?;

    // A daemon that comes back clears up.
    let daemon = site.start(&config)?;
    let rows = daemon.bans()?;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(site.pins().banned_v4()?.len(), 1);
    wire.blocked("198.51.100.200")
}

#[test]
fn a_ban_that_ends_while_no_daemon_runs_is_over_for_the_next() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let time = now();
    daemon.ban("sshd", "198.51.100.7", time, 2)?;
    daemon.kill()?;
    let end = Duration::from_secs(u64::try_from(time + 2)?);
    thread::sleep(end.saturating_sub(wall()));
    // The grace of ten minutes has only begun.
    wire.blocked("198.51.100.7")?;
    let daemon = site.start(&site.config())?;
    wire.arrives("198.51.100.7")?;
    assert_eq!(daemon.bans()?, []);
    Ok(())
}

#[test]
fn a_sentence_runs_from_its_own_time() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let address = "198.51.100.7";
    let time = now() - 597;

    // Told late, restored from fail2ban's database: three seconds are left.
    let words = |time: i64, bantime: &str| {
        [
            "ban",
            "--",
            "sshd",
            address,
            &time.to_string(),
            bantime,
            "1",
            "5",
            "1",
        ]
        .map(str::to_owned)
    };
    let act = |time: i64, bantime: &str| {
        let words = words(time, bantime);
        site.action(&words.each_ref().map(String::as_str))
    };
    act(time, "600")?.well()?;
    assert_eq!(daemon.bans()?[0].holders[0].until, Some(time + 600));
    wire.blocked(address)?;
    thread::sleep(Duration::from_secs(u64::try_from(time + 601)?).saturating_sub(wall()));
    wire.arrives(address)?;

    // Over already: acknowledged, and not enforced.
    act(now() - 700, "600")?.well()?;
    assert_eq!(
        daemon.ban("sshd", address, now() - 600, 600)?,
        Outcome::Expired
    );
    assert_eq!(daemon.bans()?, []);
    wire.arrives(address)?;

    // Without an end.
    act(now() - 1_000_000, "-1")?.well()?;
    assert_eq!(daemon.bans()?[0].holders[0].until, None);
    wire.blocked(address)?;
    let dump = site.pins().dump("bans_v4")?;
    assert_eq!(dump[0]["formatted"]["value"]["expires_at"], 0, "{dump:?}");
    Ok(())
}

#[test]
fn a_prolonged_ban_ends_later() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let time = now();
    for address in ["198.51.100.7", "198.51.100.8"] {
        daemon.ban("sshd", address, time, 2)?;
    }
    let prolong = |address: &str, bantime: &str| {
        let time = time.to_string();
        site.action(&[
            "prolong", "--", "sshd", address, &time, bantime, "2", "5", "0",
        ])?
        .well()
    };
    prolong("198.51.100.8", "600")?;
    prolong("198.51.100.9", "600")?;
    // A shorter one never shortens.
    prolong("198.51.100.8", "1")?;
    daemon.until_status("the short ban ends", |status| status.bans == 2)?;
    wire.arrives("198.51.100.7")?;
    wire.blocked("198.51.100.8")?;
    wire.blocked("198.51.100.9")?;
    let until: Vec<_> = daemon
        .bans()?
        .iter()
        .map(|row| row.holders[0].until)
        .collect();
    assert_eq!(until, [Some(time + 600); 2]);
    assert_eq!(
        daemon.does(&Request::Unban {
            address: "198.51.100.8".to_owned(),
            holder: Some("sshd".to_owned())
        })?,
        Outcome::Lifted
    );
    wire.arrives("198.51.100.8")?;
    wire.arrives(HONEST)?;
    wire.arrives(HONEST_V6)
}

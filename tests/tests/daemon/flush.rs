//! fail2ban's flush: of a jail that stops, and of `unban --all`.

use anyhow::Result;
use nicban_protocol::{Outcome, Request};
use nicban_tests::daemon::{Daemon, Site};

use crate::now;

const OFFENDERS: [&str; 3] = ["198.51.100.7", "203.0.113.0", "2001:db8:bad::1"];

fn jail(request: fn(String) -> Request) -> Request {
    request("sshd".to_owned())
}

fn flush(daemon: &Daemon) -> Result<Outcome> {
    daemon.does(&jail(|holder| Request::Flush { holder }))
}

/// Bans of some time ago: a flush spares what was banned in its own second.
fn ban_all(daemon: &Daemon) -> Result<()> {
    for address in OFFENDERS {
        daemon.ban("sshd", address, now() - 5, 600)?;
    }
    Ok(())
}

#[test]
fn a_flush_that_a_stop_follows_keeps_the_bans() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let time = now();
    for address in OFFENDERS {
        daemon.ban("sshd", address, time, 600)?;
    }
    assert_eq!(flush(&daemon)?, Outcome::Held);
    daemon.does(&jail(|holder| Request::Stop { holder }))?;
    // Another jail's flush comes due meanwhile, so that the window has certainly passed.
    daemon.ban("nginx", "198.51.100.99", time, 600)?;
    daemon.does(&Request::Flush {
        holder: "nginx".to_owned(),
    })?;
    daemon.until_status("the other jail's flush is due", |status| status.bans == 3)?;
    wire.arrives("198.51.100.99")?;
    for address in OFFENDERS {
        wire.blocked(address)?;
    }
    daemon.does(&jail(|holder| Request::Start { holder }))?;
    for address in OFFENDERS {
        assert_eq!(daemon.ban("sshd", address, time, 600)?, Outcome::Unchanged);
        wire.blocked(address)?;
    }
    Ok(())
}

#[test]
fn a_flush_alone_lifts() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    ban_all(&daemon)?;
    daemon.ban("nginx", OFFENDERS[0], now(), 600)?;
    site.action(&["flush", "--", "sshd"])?.well()?;
    daemon.until_status("the flush is due", |status| status.bans == 1)?;
    // The other jail's is left.
    wire.blocked(OFFENDERS[0])?;
    wire.arrives(OFFENDERS[1])?;
    wire.arrives(OFFENDERS[2])
}

#[test]
fn what_is_banned_after_a_flush_stays() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    ban_all(&daemon)?;
    flush(&daemon)?;
    daemon.ban("sshd", OFFENDERS[0], now(), 900)?;
    daemon.ban("sshd", "198.51.100.99", now(), 900)?;
    daemon.until_status("the flush is due", |status| status.bans == 2)?;
    wire.blocked(OFFENDERS[0])?;
    wire.blocked("198.51.100.99")?;
    wire.arrives(OFFENDERS[1])
}

#[test]
fn a_flush_waits_out_a_crash() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    ban_all(&daemon)?;
    flush(&daemon)?;
    daemon.kill()?;
    wire.blocked(OFFENDERS[0])?;
    let daemon = site.start(&site.config())?;
    daemon.until_status("the flush is due", |status| status.bans == 0)?;
    wire.arrives(OFFENDERS[0])
}

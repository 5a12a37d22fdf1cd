//! An attachment on trial.

use std::process::{Command, Stdio};

use anyhow::Result;
use nicban_protocol::{Outcome, RefusalKind, Request};
use nicban_tests::daemon::{Daemon, DaemonConfig, Ran, Site, Wire};

use crate::now;

const OFFENDER: &str = "198.51.100.7";

fn detached(site: &Site, wire: &Wire<'_>) -> Result<Daemon> {
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    daemon.does(&Request::Detach { interface: None })?;
    wire.arrives(OFFENDER)?;
    Ok(daemon)
}

fn attach(daemon: &Daemon, confirm_s: u64) -> Result<Outcome> {
    daemon.does(&Request::Attach {
        interface: None,
        confirm_s: Some(confirm_s),
        ssh_peer: None,
    })
}

/// An attach on trial, and what is typed to the question.
fn answered(site: &Site, word: &str) -> Result<Ran> {
    let command = site.nicban_command(&["attach", "--confirm", "60s"])?;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("echo {word} | \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    Ran::to_end(&mut shell)
}

#[test]
fn unconfirmed_it_is_rolled_back() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = detached(&site, &wire)?;
    attach(&daemon, 2)?;
    wire.blocked(OFFENDER)?;
    let status = daemon.status()?;
    assert!(
        status.attachments[0].confirm_within_s.is_some(),
        "{status:?}"
    );
    let page = site.nicban(&["status"])?.well()?;
    assert!(page.contains("unless confirmed: nicban confirm"), "{page}");
    daemon.until_status("it is rolled back", |status| {
        status.attachments[0].mode.is_none()
    })?;
    wire.arrives(OFFENDER)?;
    let refusal = daemon.refuses(&Request::Confirm {})?;
    assert_eq!(refusal.kind, RefusalKind::NotFound);
    daemon.kill()?;
    let _daemon = site.start(&site.config())?;
    wire.arrives(OFFENDER)
}

#[test]
fn confirmed_it_stays_also_over_a_crash() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = detached(&site, &wire)?;
    attach(&daemon, 2)?;
    site.nicban(&["confirm"])?.well()?;
    let status = daemon.status()?;
    assert_eq!(status.attachments[0].confirm_within_s, None);
    assert_eq!(status.warnings, [""; 0]);
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    wire.blocked(OFFENDER)?;
    daemon.kill()?;
    wire.blocked(OFFENDER)?;
    let _daemon = site.start(&site.config())?;
    wire.blocked(OFFENDER)
}

#[test]
fn a_daemon_that_dies_within_the_window_takes_it_along() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = detached(&site, &wire)?;
    attach(&daemon, 600)?;
    wire.blocked(OFFENDER)?;
    daemon.kill()?;
    wire.arrives(OFFENDER)?;
    let daemon = site.start(&site.config())?;
    wire.arrives(OFFENDER)?;
    assert_eq!(daemon.status()?.attachments[0].mode, None);
    Ok(())
}

#[test]
fn the_command_asks_and_takes_yes_or_no() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let _daemon = detached(&site, &wire)?;
    let error = answered(&site, "no")?.with_code(5)?;
    assert!(error.contains("declined"), "{error}");
    wire.arrives(OFFENDER)?;
    answered(&site, "yes")?.well()?;
    wire.blocked(OFFENDER)?;
    let status = site.nicban(&["status"])?.well()?;
    assert!(!status.contains("unless confirmed"), "{status}");
    Ok(())
}

/// A site with a second cable, its configuration, and a daemon that is attached to
/// the first for good and has been detached from the second.
fn one_for_good(site: &Site) -> Result<(DaemonConfig, Daemon)> {
    site.cable("eth1")?;
    let config = site
        .config()
        .set("xdp", "interfaces", "[\"eth0\", \"eth1\"]");
    let daemon = site.start(&config)?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    daemon.does(&Request::Detach {
        interface: Some("eth1".to_owned()),
    })?;
    Ok((config, daemon))
}

#[test]
fn a_no_takes_back_only_what_was_on_trial() -> Result<()> {
    let site = Site::new()?;
    let (config, daemon) = one_for_good(&site)?;
    let (eth0, eth1) = (site.wire()?, site.wire_on("eth1")?);
    eth0.blocked(OFFENDER)?;
    eth1.arrives(OFFENDER)?;
    let error = answered(&site, "no")?.with_code(5)?;
    assert!(error.contains("declined"), "{error}");
    eth0.blocked(OFFENDER)?;
    eth1.arrives(OFFENDER)?;
    // So it is after a restart, too: only the one is remembered as detached.
    daemon.stop()?;
    let _daemon = site.start(&config)?;
    eth0.blocked(OFFENDER)?;
    eth1.arrives(OFFENDER)?;

    answered(&site, "yes")?.well()?;
    eth0.blocked(OFFENDER)?;
    eth1.blocked(OFFENDER)
}

#[test]
fn a_trial_that_lapses_is_told_beside_what_stays() -> Result<()> {
    let site = Site::new()?;
    let (_config, daemon) = one_for_good(&site)?;
    let (eth0, eth1) = (site.wire()?, site.wire_on("eth1")?);
    let mut trial = site
        .nicban_command(&["attach", "--confirm", "10s"])?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Kept open: somebody sits there, and says nothing.
    let silence = trial.stdin.take();
    let on_trial = daemon.until_status("eth1 is on trial", |status| {
        status.attachments[1].confirm_within_s.is_some()
    });
    let blocked = on_trial.and_then(|_| eth1.blocked(OFFENDER));
    let output = trial.wait_with_output()?;
    drop(silence);
    blocked?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.contains("not confirmed in time"), "{error}");
    eth1.arrives(OFFENDER)?;
    eth0.blocked(OFFENDER)
}

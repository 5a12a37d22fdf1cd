//! An attachment on trial.

use std::process::Stdio;

use anyhow::Result;
use nicban_protocol::{Outcome, RefusalKind, Request};
use nicban_tests::daemon::{Daemon, Ran, Site, Wire};

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
    let refusal = daemon.refuses(&Request::Confirm)?;
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
    let answered = |word: &str| -> Result<Ran> {
        let command = site.nicban_command(&["attach", "--confirm", "60s"])?;
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &format!("echo {word} | \"$@\""), "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null());
        Ran::to_end(&mut shell)
    };
    let error = answered("no")?.with_code(5)?;
    assert!(error.contains("declined"), "{error}");
    wire.arrives(OFFENDER)?;
    answered("yes")?.well()?;
    wire.blocked(OFFENDER)?;
    let status = site.nicban(&["status"])?.well()?;
    assert!(!status.contains("unless confirmed"), "{status}");
    Ok(())
}

//! Who must always get in, shown with packets, and a session that dies in a trial.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nicban_protocol::Request;
use nicban_tests::clock::now;
use nicban_tests::daemon::{Daemon, GATEWAY, GATEWAY_V6, Ran, Site};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scene::start_behind;

const RESOLVER: &str = "198.51.100.53";
const RESOLVER_V6: &str = "2001:db8:d15::53";
const PEER: &str = "198.51.100.22";
const FRIEND: &str = "198.51.100.99";
const OFFENDER: &str = "198.51.100.7";

/// A daemon on a machine whose name servers are ours: where only it sees them.
fn with_name_servers(site: &Site) -> Result<Daemon> {
    let file = site.folder().join("resolv.conf");
    fs::write(
        &file,
        format!("nameserver {RESOLVER}\nnameserver {RESOLVER_V6}\n"),
    )?;
    start_behind(site, "mount --bind \"$1\" /etc/resolv.conf", &[&file])
}

#[test]
fn what_the_host_needs_passes_inside_banned_networks_and_is_refused_by_itself() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = with_name_servers(&site)?;
    site.nicban(&["allow", "add", FRIEND])?.well()?;
    for (network, inside, stranger, why) in [
        ("192.0.2.0/24", GATEWAY, "192.0.2.77", "a gateway"),
        ("2001:db8::/48", GATEWAY_V6, "2001:db8::77", "a gateway"),
        ("198.51.100.0/24", RESOLVER, OFFENDER, "a name server"),
        (
            "2001:db8:d15::/48",
            RESOLVER_V6,
            "2001:db8:d15::54",
            "a name server",
        ),
        ("198.51.100.0/24", FRIEND, OFFENDER, "allow list"),
        // The instance metadata service and the VPC's own resolver.
        ("169.0.0.0/8", "169.254.169.254", "169.1.2.3", "link-local"),
        ("169.0.0.0/8", "169.254.169.253", "169.1.2.3", "link-local"),
    ] {
        let holder = format!("of {inside}");
        daemon.ban(&holder, network, now(), 600)?;
        wire.blocked(stranger)?;
        wire.arrives(inside)?;
        for told in [
            site.nicban(&["ban", inside])?.with_code(1)?,
            site.action(&["ban", "--", "sshd", inside, &now().to_string(), "600"])?
                .with_code(1)?,
        ] {
            ensure!(told.contains(why), "{inside}: {told}");
        }
        wire.arrives(inside)?;
        daemon.unban(&holder, network)?;
        wire.arrives(stranger)?;
    }
    Ok(())
}

/// An attach from an SSH session of [`PEER`].
fn attach(site: &Site, words: &[&str]) -> Result<Command> {
    let mut command = site.nicban_command(&[&["attach"], words].concat())?;
    command.env("SSH_CONNECTION", format!("{PEER} 50000 192.0.2.1 22"));
    Ok(command)
}

#[test]
fn the_peer_of_an_attach_passes_over_crashes_of_the_daemon() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", "198.51.100.0/24", now(), 600)?;
    daemon.does(&Request::Detach { interface: None })?;
    Ran::to_end(&mut attach(&site, &[])?)?.well()?;
    let mut daemon = daemon;
    for _ in 0..3 {
        wire.arrives(PEER)?;
        wire.blocked(OFFENDER)?;
        daemon.kill()?;
        wire.arrives(PEER)?;
        wire.blocked(OFFENDER)?;
        daemon = site.start(&site.config())?;
        let error = site.nicban(&["ban", PEER])?.with_code(1)?;
        ensure!(error.contains("SSH session"), "{error}");
    }
    Ok(())
}

#[test]
fn a_trial_ends_with_its_window_whatever_ends_the_session() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    daemon.does(&Request::Detach { interface: None })?;
    // A hang-up of the terminal, a kill of the session's processes, and a session that
    // hangs: each leaves nobody to confirm.
    for end in [Signal::SIGHUP, Signal::SIGKILL, Signal::SIGSTOP] {
        wire.arrives(OFFENDER)?;
        let mut session = attach(&site, &["--confirm", "10s"])?
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("attach")?;
        let on_trial = daemon.until_status("eth0 is on trial", |status| {
            status.attachments[0].confirm_within_s.is_some()
        });
        let blocked = on_trial.and_then(|_| wire.blocked(OFFENDER));
        let pid = Pid::from_raw(i32::try_from(session.id())?);
        kill(pid, end)?;
        let rolled_back = blocked.and_then(|()| {
            nicban_tests::wait::until("it is rolled back", crate::scene::PATIENCE, || {
                let status = daemon.status()?;
                Ok(status.attachments[0].mode.is_none().then_some(()))
            })
        });
        session.kill()?;
        session.wait()?;
        rolled_back.with_context(|| format!("after {end}"))?;
        wire.arrives(OFFENDER)?;
    }
    Ok(())
}

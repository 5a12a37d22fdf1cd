//! Who may speak on the socket.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use nicban_tests::daemon::Site;
use nix::unistd::{Uid, User};

use crate::now;

fn nobody() -> Result<Uid> {
    Ok(User::from_name("nobody")?.expect("the user nobody").uid)
}

const OFFENDER: &str = "198.51.100.7";

#[test]
fn the_files_mode_keeps_a_stranger_out() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let mode = site.socket().metadata()?.permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let time = now().to_string();
    let words = ["--wait", "0", "ban", "--", "sshd", OFFENDER, &time, "600"];
    let error = site.action_as(nobody()?, &words)?.with_code(3)?;
    assert!(error.contains("ermission denied"), "{error}");
    assert_eq!(daemon.bans()?, []);
    wire.arrives(OFFENDER)?;
    site.action_as(Uid::from_raw(0), &words)?.well()?;
    wire.blocked(OFFENDER)
}

#[test]
fn behind_an_open_mode_the_peers_credentials_decide() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let open = site.config().set("daemon", "socket_mode", "0o666");
    let daemon = site.start(&open)?;
    let time = now().to_string();
    let words = ["--wait", "0", "ban", "--", "sshd", OFFENDER, &time, "600"];
    let error = site.action_as(nobody()?, &words)?.with_code(1)?;
    assert!(error.contains("forbidden"), "{error}");
    assert_eq!(daemon.bans()?, []);
    wire.arrives(OFFENDER)?;
    daemon.stop()?;

    // The same user, once the configuration names it.
    let daemon = site.start(&open.set("daemon", "users", "[\"nobody\"]"))?;
    site.action_as(nobody()?, &words)?.well()?;
    wire.blocked(OFFENDER)?;
    daemon.stop()
}

#[test]
fn a_member_of_the_sockets_group_may_speak() -> Result<()> {
    let site = Site::new()?;
    let uid = nobody()?;
    // setpriv gives it a group of the same number as its own.
    let config = site
        .config()
        .set("daemon", "socket_group", &uid.to_string());
    let daemon = site.start(&config)?;
    let time = now().to_string();
    site.action_as(
        uid,
        &["--wait", "0", "ban", "--", "sshd", OFFENDER, &time, "600"],
    )?
    .well()?;
    let stranger = Uid::from_raw(uid.as_raw() - 1);
    site.action_as(stranger, &["--wait", "0", "check", "--", "sshd"])?
        .with_code(3)?;
    assert_eq!(daemon.bans()?.len(), 1);
    Ok(())
}

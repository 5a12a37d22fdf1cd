//! Two jails on one address.

use anyhow::Result;
use nicban_protocol::{Outcome, Request};
use nicban_tests::daemon::Site;

use crate::now;

const OFFENDER: &str = "198.51.100.7";

#[test]
fn one_jails_unban_leaves_the_others_ban() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    wire.arrives(OFFENDER)?;
    assert_eq!(daemon.ban("sshd", OFFENDER, now(), 600)?, Outcome::Enforced);
    assert_eq!(
        daemon.ban("nginx", OFFENDER, now(), 900)?,
        Outcome::Enforced
    );
    wire.blocked(OFFENDER)?;
    let rows = daemon.bans()?;
    let holders: Vec<_> = rows[0].holders.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(holders, ["nginx", "sshd"]);

    assert_eq!(daemon.unban("nginx", OFFENDER)?, Outcome::StillHeld);
    wire.blocked(OFFENDER)?;
    assert_eq!(daemon.unban("sshd", OFFENDER)?, Outcome::Lifted);
    wire.arrives(OFFENDER)?;
    Ok(())
}

#[test]
fn a_network_and_an_address_in_it_are_two_bans() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    daemon.ban("sshd", "198.51.100.0/24", now(), 600)?;
    daemon.unban("sshd", OFFENDER)?;
    wire.blocked(OFFENDER)?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    daemon.unban("sshd", "198.51.100.0/24")?;
    wire.blocked(OFFENDER)?;
    wire.arrives("198.51.100.8")?;
    daemon.unban("sshd", OFFENDER)?;
    wire.arrives(OFFENDER)
}

#[test]
fn the_operator_lifts_whoever_holds_it() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    for holder in ["sshd", "nginx", "import:list"] {
        daemon.ban(holder, OFFENDER, now(), 600)?;
    }
    let said = site
        .nicban(&["unban", OFFENDER, "--holder", "nginx"])?
        .well()?;
    assert!(said.contains("still banned by another holder"), "{said}");
    wire.blocked(OFFENDER)?;
    let lifted = daemon.does(&Request::Unban {
        address: OFFENDER.to_owned(),
        holder: None,
    })?;
    assert_eq!(lifted, Outcome::Lifted);
    wire.arrives(OFFENDER)
}

//! Who attaches over SSH does not lock himself out.

use anyhow::Result;
use nicban_protocol::Request;
use nicban_tests::daemon::{Ran, Site};

use crate::now;

const PEER: &str = "198.51.100.7";
const HOUR: i64 = 3600;

/// An attach from an SSH session, or from a console.
fn attach(site: &Site, interface: &str, peer: Option<&str>) -> Result<Ran> {
    let mut command = site.nicban_command(&["attach", interface])?;
    command
        .env_remove("SSH_CONNECTION")
        .env_remove("SSH_CLIENT");
    if let Some(peer) = peer {
        command.env("SSH_CONNECTION", format!("{peer} 50000 192.0.2.1 22"));
    }
    Ran::to_end(&mut command)
}

/// The end of the peer's allowance, where it has one, in seconds since the Unix epoch.
fn allowed_until(site: &Site) -> Result<Option<i64>> {
    let list = site.nicban(&["allow", "list", "--json"])?.well()?;
    let list: Vec<nicban_protocol::Allowed> = serde_json::from_str(&list)?;
    let network = format!("{PEER}/32");
    let found = list.into_iter().find(|allowed| allowed.network == network);
    Ok(found.and_then(|allowed| allowed.until))
}

#[test]
fn the_peer_of_an_attach_is_allowed_for_an_hour() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let detach = || daemon.does(&Request::Detach { interface: None });
    daemon.ban("sshd", PEER, now(), 600)?;
    wire.blocked(PEER)?;
    detach()?;
    wire.arrives(PEER)?;

    attach(&site, "eth0", None)?.well()?;
    wire.blocked(PEER)?;
    detach()?;

    let before = now();
    attach(&site, "eth0", Some(PEER))?.well()?;
    wire.arrives(PEER)?;
    let until = allowed_until(&site)?.unwrap_or_default();
    assert!(
        (before + HOUR..=now() + HOUR).contains(&until),
        "{before} and an hour is not {until}"
    );
    let error = site.nicban(&["ban", PEER])?.with_code(1)?;
    assert!(error.contains("SSH session"), "{error}");
    Ok(())
}

#[test]
fn an_attach_that_attaches_nothing_allows_nobody() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", PEER, now(), 600)?;
    let said = attach(&site, "eth0", Some(PEER))?.well()?;
    assert!(said.contains("attached already"), "{said}");
    wire.blocked(PEER)?;
    attach(&site, "absent0", Some(PEER))?.with_code(1)?;
    wire.blocked(PEER)?;
    assert_eq!(allowed_until(&site)?, None);

    // One that fails leaves what an earlier one gave.
    daemon.does(&Request::Detach { interface: None })?;
    attach(&site, "eth0", Some(PEER))?.well()?;
    let given = allowed_until(&site)?;
    assert!(given.is_some());
    attach(&site, "absent0", Some(PEER))?.with_code(1)?;
    assert_eq!(allowed_until(&site)?, given);
    wire.arrives(PEER)
}

//! Waiting until the worst offenders hold the NACL's slots.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use ipnet::IpNet;
use nicban_protocol::NaclState;

use super::cast::Attacker;
use super::services::Services;
use super::story::Story;
use crate::standin::acl::{Acl, Action, Entry};

/// Slots for each family in a NACL as AWS makes it: a quota of 20, less the
/// allow-all and the default deny.
pub(super) const SLOTS: usize = 18;

/// So many of the loudest IPv4 addresses have to come into a slot.
const LOUDEST: usize = 5;

/// By when, counted from the beginning of the story.
const BY: Duration = Duration::from_secs(150);

/// How often the boundary is asked.
const POLL: Duration = Duration::from_millis(250);

/// What a NACL's ingress list denies, default denies left out.
pub(super) fn denials(acl: &Acl) -> impl Iterator<Item = &Entry> {
    acl.entries
        .values()
        .filter(|entry| !entry.egress && entry.action == Action::Deny && !entry.is_protected())
}

/// The networks of those entries.
pub(super) fn denied(acl: &Acl) -> Vec<IpNet> {
    denials(acl).map(|entry| entry.network).collect()
}

/// Waits until every slot that can be filled is, and each of the loudest has held
/// one: not all at a time, since an incumbent gives way for its probation.
/// Gives what is missing from that when the time is over.
///
/// # Errors
/// A service has ended, or can't be asked.
pub(super) fn wait(
    services: &mut Services,
    attackers: &[Attacker],
    story: &Story,
) -> Result<Option<String>> {
    let goal = goal(attackers);
    let mut outside = loudest(attackers);
    let progress = story.progress(goal);
    let mut seen = Vec::new();
    loop {
        services.expect_alive()?;
        let denied = denied(&services.boundary.enforced()?);
        tell(story, "the boundary denies", &denied, &seen);
        tell(story, "and no longer", &seen, &denied);
        outside.retain(|loud| !denied.iter().any(|network| network.contains(loud)));
        progress.reached(
            denied.len(),
            &format!(
                "slots; {} of the {LOUDEST} loudest held one",
                LOUDEST - outside.len()
            ),
        );
        if denied.len() >= goal && outside.is_empty() {
            return Ok(None);
        }
        let nacl = services.daemon.status()?.nacl;
        let hopeless = matches!(nacl.state, NaclState::Off | NaclState::Refused);
        if hopeless || story.elapsed() >= BY {
            return Ok(Some(format!(
                "{} of {goal} slots are filled, and of the loudest these have held none: {outside:?}; \
                 nicban says that its NACL tier is {:?}: {}; its log:\n{}",
                denied.len(),
                nacl.state,
                nacl.reason,
                services.daemon.log()
            )));
        }
        seen = denied;
        thread::sleep(POLL);
    }
}

/// Slots that can be filled, of both families.
fn goal(attackers: &[Attacker]) -> usize {
    let v6 = attackers
        .iter()
        .filter(|attacker| attacker.address.is_ipv6())
        .count();
    SLOTS.min(attackers.len() - v6) + SLOTS.min(v6)
}

/// Says which networks are in one list, but not in the other.
fn tell(story: &Story, what: &str, these: &[IpNet], not: &[IpNet]) {
    let networks: Vec<_> = these
        .iter()
        .filter(|network| !not.contains(network))
        .map(IpNet::to_string)
        .collect();
    // A few to a line, so that it fits a terminal.
    for line in networks.chunks(4) {
        story.say(&format!("{what} {}", line.join(", ")));
    }
}

fn loudest(attackers: &[Attacker]) -> Vec<IpAddr> {
    let mut v4: Vec<&Attacker> = attackers
        .iter()
        .filter(|attacker| attacker.address.is_ipv4())
        .collect();
    v4.sort_by(|a, b| b.rate.total_cmp(&a.rate));
    v4.iter()
        .take(LOUDEST)
        .map(|attacker| attacker.address)
        .collect()
}

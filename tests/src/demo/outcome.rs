//! Whether it all held, in numbers.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::evidence::{Evidence, Fate};
use super::promotion::SLOTS;
use crate::hosts::Served;

/// What was measured; the demo's last line.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Attackers that are banned.
    pub banned: usize,
    /// Packets that XDP dropped.
    pub xdp_dropped_packets: u64,
    /// IPv4 networks that the NACL denies.
    pub nacl_entries_v4: usize,
    /// IPv6 networks that the NACL denies.
    pub nacl_entries_v6: usize,
    /// Packets that arrived at the bastion from an address once its ban had been seen in
    /// the daemon's list. What came between the acknowledgement and that look is not among
    /// them: a counter can't tell it from what came before the ban.
    pub leaked_packets: u64,
    /// How long that was at the most, in ms: no ban was in force for longer without a watch.
    pub unwatched_ms: u128,
    /// Whether every session of the honest client was served.
    pub honest_ok: bool,
    /// Its sessions.
    pub honest_sessions: u32,
    /// Packets that the boundary dropped because of the NACL.
    pub boundary_dropped_packets: u64,
    /// Packets that the attackers sent after their bans, SSH's own left out.
    pub sent_packets: u64,
    /// Attackers that held a slot for the whole of the comparison.
    pub in_slot: usize,
    /// Packets of those that came as far as XDP meanwhile.
    pub in_slot_at_xdp: u64,
    /// Passwords that were tried.
    pub guesses: usize,
    /// The story's length, in seconds.
    pub elapsed_s: u64,
    /// What should have held, and didn't.
    #[serde(skip)]
    pub failures: Vec<String>,
}

impl Outcome {
    /// `shortfall` is what the promotion left to be desired.
    pub(super) fn of(
        evidence: &Evidence,
        shortfall: Option<String>,
        honest: &Served,
        elapsed: Duration,
    ) -> Self {
        let fates = || evidence.fates.values();
        let of_family = |v6: bool| {
            evidence
                .denied
                .iter()
                .filter(|network| network.addr().is_ipv6() == v6)
                .count()
        };
        let in_slot = || fates().filter_map(|fate| fate.in_slot);
        let mut outcome = Self {
            banned: fates().filter(|fate| fate.holders.is_some()).count(),
            xdp_dropped_packets: evidence.dropped_at_xdp,
            nacl_entries_v4: of_family(false),
            nacl_entries_v6: of_family(true),
            leaked_packets: fates().map(|fate| fate.leaked).sum(),
            unwatched_ms: evidence.unwatched.as_millis(),
            honest_ok: honest.ok(),
            honest_sessions: honest.served,
            boundary_dropped_packets: fates().map(|fate| fate.at_boundary).sum(),
            sent_packets: fates().map(|fate| fate.sent).sum(),
            in_slot: in_slot().count(),
            in_slot_at_xdp: in_slot().map(|slot| slot.at_xdp).sum(),
            guesses: evidence.guesses,
            elapsed_s: elapsed.as_secs(),
            failures: Vec::new(),
        };
        outcome.failures = outcome.failures(evidence, honest);
        outcome.failures.extend(shortfall);
        outcome
    }

    /// Whether all of it held.
    pub fn ok(&self) -> bool {
        self.failures.is_empty()
    }

    fn failures(&self, evidence: &Evidence, honest: &Served) -> Vec<String> {
        let fates = || evidence.fates.iter();
        let mut failures = Failures::default();
        failures.unless(self.banned == evidence.fates.len(), || {
            format!(
                "{} of {} attackers are banned",
                self.banned,
                evidence.fates.len()
            )
        });
        failures.each(fates().filter(|(_, fate)| fate.arrived == 0), |who, _| {
            format!("no packet of {who} arrived before its ban, so that its silence proves nothing")
        });
        failures.each(
            fates().filter(|(_, fate)| fate.at_xdp + fate.at_boundary == 0),
            |who, _| format!("no packet of {who} was dropped anywhere"),
        );
        failures.each(fates().filter(|(_, fate)| fate.leaked > 0), |who, fate| {
            format!(
                "{} packets of {who} arrived after its ban was seen",
                fate.leaked
            )
        });
        let v6 = fates().filter(|(who, _)| who.is_ipv6()).count();
        failures.unless(self.nacl_entries_v4 == SLOTS, || {
            format!(
                "the NACL denies {} IPv4 networks, not {SLOTS}",
                self.nacl_entries_v4
            )
        });
        failures.unless(self.nacl_entries_v6 == v6, || {
            format!(
                "the NACL denies {} IPv6 networks, not {v6}",
                self.nacl_entries_v6
            )
        });
        failures.unless(self.xdp_dropped_packets > 0, || {
            "XDP dropped nothing".to_owned()
        });
        failures.unless(self.in_slot > 0, || {
            "nobody held a slot for long enough to compare counters".to_owned()
        });
        failures.each(
            fates().filter(|(_, fate)| fate.in_slot.is_some_and(|slot| slot.at_boundary == 0)),
            |who, _| format!("{who} held a slot, but the boundary dropped none of its packets"),
        );
        failures.each(
            fates().filter(|(_, fate)| fate.in_slot.is_some_and(|slot| slot.at_xdp > 0)),
            |who, _| format!("{who} held a slot, but its packets still came as far as XDP"),
        );
        failures.unless(honest.ok(), || {
            format!(
                "the honest client was served {} times, and turned away {} times: {}",
                honest.served,
                honest.failures.len(),
                honest.failures.join("; ")
            )
        });
        failures.0
    }
}

#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn unless(&mut self, held: bool, failure: impl FnOnce() -> String) {
        if !held {
            self.0.push(failure());
        }
    }

    fn each<'a>(
        &mut self,
        culprits: impl Iterator<Item = (&'a std::net::IpAddr, &'a Fate)>,
        failure: impl Fn(&std::net::IpAddr, &Fate) -> String,
    ) {
        self.0
            .extend(culprits.map(|(who, fate)| failure(who, fate)));
    }
}

impl fmt::Display for Outcome {
    /// One line of JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

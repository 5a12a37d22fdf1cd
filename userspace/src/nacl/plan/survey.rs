//! What a NACL holds, sorted into ours and others', with the room that is left.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::{Finding, Input};
use crate::nacl::acl::{Acl, DIRECTIONS, Direction, Entry, Family, Position, Rule, RuleAction};
use crate::nacl::ledger::LedgerEntry;
use crate::nacl::market::{Market, Withdrawn};
use crate::nacl::quota::List;
use crate::nacl::selftest;

/// How long EC2 may take at the worst to show a change: twice the pause up
/// to which one is to look again ("Eventual consistency in the Amazon EC2 API").
const LATEST: Duration = Duration::from_mins(10);

/// An entry of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ours {
    pub(super) rule: Rule,
    pub(super) since: i64,
    /// Whether it was seen. If not it was put there a moment ago, and must not
    /// be touched before it shows; nor must what a test is looking at.
    pub(super) visible: bool,
}

/// What one NACL holds.
pub(super) struct Survey<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) acl: &'a Acl,
    /// What the last plan left; nothing after a restart.
    before: Option<&'a Market>,
    pub(super) range: RangeInclusive<u16>,
    pub(super) ours: BTreeMap<Position, Ours>,
    pub(super) others: BTreeMap<Position, &'a Entry>,
    pub(super) allows: Vec<&'a Entry>,
    pub(super) withdrawn: BTreeMap<Position, Withdrawn>,
    pub(super) forget: Vec<LedgerEntry>,
    /// Entries of ours that are taken to be gone from now on.
    gone: BTreeSet<Rule>,
    pub(super) findings: Vec<Finding>,
    pub(super) slots: BTreeMap<Family, usize>,
}

/// The NACLs in the order of their ids.
pub(super) fn by_id(acls: &[Acl]) -> BTreeMap<&str, &Acl> {
    acls.iter().map(|acl| (acl.id.as_str(), acl)).collect()
}

/// An allowed network that a network overlaps.
pub(super) fn overlap(allowed: &[IpNet], network: &IpNet) -> Option<IpNet> {
    let overlaps = |other: &&IpNet| other.contains(network) || network.contains(*other);
    allowed.iter().find(overlaps).copied()
}

/// Our entries wherever they stand, by position.
pub(super) fn ours_anywhere(acl: &Acl, ledger: &[LedgerEntry]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = acl
        .entries
        .iter()
        .filter(|entry| {
            ledger
                .iter()
                .any(|known| known.acl == acl.id && is_ours(entry, &known.rule))
        })
        .map(|entry| Rule {
            position: entry.position,
            network: entry.network,
        })
        .collect();
    rules.sort_unstable();
    rules
}

/// The networks that hold a slot somewhere: seen there, or put there a moment ago.
pub(super) fn held(input: &Input<'_>) -> impl Iterator<Item = IpNet> {
    let held = input.ledger.iter().filter(|known| {
        let position = known.rule.position;
        let mut acls = input.acls.iter();
        let Some(acl) = acls.find(|acl| acl.id == known.acl) else {
            return false;
        };
        let seen = acl.entries.iter().any(|entry| is_ours(entry, &known.rule));
        let young = known.is_younger(input.config.settle, input.now);
        input.config.is_on(position.direction)
            && input.config.range(acl).contains(&position.number)
            && (seen || young)
    });
    held.map(|known| known.rule.network.trunc())
}

/// Whether EC2 may still show an entry that it does not show at `now`, in seconds since
/// the Unix epoch.
pub(super) fn may_show(record: &LedgerEntry, now: i64) -> bool {
    record.is_younger(LATEST, now)
}

/// Whether an entry is what the ledger says that we put there.
fn is_ours(entry: &Entry, rule: &Rule) -> bool {
    entry.position == rule.position
        && entry.action == RuleAction::Deny
        && entry.all_traffic
        && entry.network.trunc() == rule.network.trunc()
}

impl<'a> Survey<'a> {
    pub(super) fn take(input: &'a Input<'a>, acl: &'a Acl) -> Self {
        let config = input.config;
        let before = input.market.acls.get(&acl.id);
        let mut survey = Survey {
            input,
            acl,
            before,
            range: config.range(acl).clone(),
            ours: BTreeMap::new(),
            others: acl
                .entries
                .iter()
                .map(|entry| (entry.position, entry))
                .collect(),
            allows: acl
                .entries
                .iter()
                .filter(|entry| entry.action == RuleAction::Allow)
                // We never deny what an allowed network overlaps, so an allow
                // within one can't shadow us.
                .filter(|entry| {
                    let covers = |allowed: &IpNet| allowed.contains(&entry.network);
                    !input.allowed.iter().any(covers)
                })
                .collect(),
            withdrawn: before.map(|it| it.withdrawn.clone()).unwrap_or_default(),
            forget: Vec::new(),
            gone: BTreeSet::new(),
            findings: Vec::new(),
            slots: BTreeMap::new(),
        };
        survey.forgive();
        let mut known: BTreeMap<Position, Vec<&LedgerEntry>> = BTreeMap::new();
        for entry in input.ledger.iter().filter(|entry| entry.acl == acl.id) {
            known.entry(entry.rule.position).or_default().push(entry);
        }
        for (position, mut known) in known {
            // The latest first, and equals by network.
            known.sort_by_key(|entry| (std::cmp::Reverse(entry.since), entry.rule.network));
            survey.compare(position, &known);
        }
        survey.report_removed();
        survey.report_neighbours();
        survey.count_slots();
        survey
    }

    /// Compares a position with what the ledger says of it.
    fn compare(&mut self, position: Position, known: &[&LedgerEntry]) {
        let found = self.others.get(&position).copied();
        let settle = self.input.config.settle;
        let settled = |entry: &LedgerEntry| !entry.is_younger(settle, self.input.now);
        let ours = found.and_then(|found| known.iter().find(|known| is_ours(found, &known.rule)));
        if let Some(ours) = ours {
            let others = known.iter().copied();
            self.strike_out(others.filter(|entry| entry.rule.network != ours.rule.network));
            self.admit(ours, !selftest::may_be_at_work(ours, self.input.now));
            return;
        }
        if let Some(pending) = known.iter().find(|entry| !settled(entry)) {
            self.admit(pending, false);
            return;
        }
        self.strike_out(known.iter().copied());
        // What EC2 never told of need not have been there: nobody is to blame.
        let Some(gone) = known.iter().find(|known| self.was_there(&known.rule)) else {
            return;
        };
        self.gone.insert(gone.rule);
        if let Some(found) = found {
            self.findings.push(Finding::Edited {
                acl: gone.acl.clone(),
                rule: gone.rule,
                found: found.clone(),
            });
        } else if self.is_wanted(&gone.rule) {
            self.withdraw(&gone.rule);
        }
    }

    /// Strikes records out, but for those that EC2 may yet prove right: whoever knew of
    /// such an entry no more would never take it out.
    fn strike_out<'r>(&mut self, records: impl Iterator<Item = &'r LedgerEntry>) {
        let now = self.input.now;
        let disproved = records.filter(|record| !may_show(record, now));
        self.forget.extend(disproved.cloned());
    }

    /// Whether EC2 has acknowledged or shown an entry. Of a daemon before this one
    /// nobody knows, and it most likely has.
    fn was_there(&self, rule: &Rule) -> bool {
        let before = self.before;
        before.is_none_or(|before| before.confirmed.contains(rule))
    }

    /// Our entries that EC2 has acknowledged or shown.
    pub(super) fn confirmed(&self) -> BTreeSet<Rule> {
        let earlier = self.before.map(|before| &before.confirmed);
        let records = self.input.ledger.iter();
        records
            .filter(|known| known.acl == self.acl.id && !self.gone.contains(&known.rule))
            .filter(|known| {
                let mut entries = self.acl.entries.iter();
                entries.any(|entry| is_ours(entry, &known.rule))
                    || earlier.is_some_and(|earlier| earlier.contains(&known.rule))
            })
            .map(|known| known.rule)
            .collect()
    }

    /// Entries that EC2 takes in one rule list, the default deny counted.
    pub(super) fn quota(&self, direction: Direction, family: Family) -> u32 {
        let list = List {
            acl: self.acl.id.clone(),
            direction,
            family,
        };
        let Input {
            learnt,
            config,
            now,
            ..
        } = *self.input;
        learnt.limit(&list, config.quota, now)
    }

    /// Enters an entry as ours, if it stands where we may change it.
    fn admit(&mut self, entry: &LedgerEntry, visible: bool) {
        let rule = Rule {
            position: entry.rule.position,
            network: entry.rule.network.trunc(),
        };
        if !self.range.contains(&rule.position.number) {
            if visible {
                let acl = entry.acl.clone();
                self.findings.push(Finding::OutOfRange { acl, rule });
            }
            return;
        }
        self.others.remove(&rule.position);
        let since = entry.since;
        self.ours.insert(
            rule.position,
            Ours {
                rule,
                since,
                visible,
            },
        );
    }

    fn is_wanted(&self, rule: &Rule) -> bool {
        self.input.config.is_on(rule.position.direction)
            && self.range.contains(&rule.position.number)
            && self.input.stands(&rule.network)
    }

    /// Leaves a position alone from which our entry was removed, and the network that
    /// it denied. Once may be an accident, and is mended soon; what is removed again is
    /// left alone for longer each time, wherever it stood.
    fn withdraw(&mut self, rule: &Rule) {
        let config = self.input.config;
        let earlier = self.withdrawn.iter().filter(|(position, earlier)| {
            **position == rule.position
                || position.direction == rule.position.direction && earlier.network == rule.network
        });
        let wait = match earlier.map(|(_, earlier)| earlier.wait).max() {
            Some(wait) => wait
                .saturating_mul(2)
                .clamp(config.back_off, config.longest_back_off),
            None => config.repair_after,
        };
        let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        self.withdrawn.insert(
            rule.position,
            Withdrawn {
                network: rule.network,
                until: self.input.now.saturating_add(seconds),
                wait,
            },
        );
    }

    /// Forgets removals since which peace has lasted: as long as the longest back-off,
    /// or what someone runs each hour would pass for an accident each time.
    fn forgive(&mut self) {
        let now = self.input.now;
        let memory = self.input.config.longest_back_off.as_secs();
        let memory = i64::try_from(memory).unwrap_or(i64::MAX);
        self.withdrawn.retain(|_, withdrawn| {
            let wait = i64::try_from(withdrawn.wait.as_secs()).unwrap_or(i64::MAX);
            // A clock that stepped back must not prolong it.
            withdrawn.until = withdrawn.until.min(now.saturating_add(wait));
            now < withdrawn.until.saturating_add(memory)
        });
    }

    fn report_removed(&mut self) {
        let first = self.input.config.repair_after;
        for (position, withdrawn) in &self.withdrawn {
            if self.is_left_alone(*position) {
                self.findings.push(Finding::Removed {
                    acl: self.acl.id.clone(),
                    rule: Rule {
                        position: *position,
                        network: withdrawn.network,
                    },
                    until: withdrawn.until,
                    again: withdrawn.wait > first,
                });
            }
        }
    }

    pub(super) fn is_left_alone(&self, position: Position) -> bool {
        self.withdrawn
            .get(&position)
            .is_some_and(|withdrawn| self.input.now < withdrawn.until)
    }

    /// Whether a network waits, in a direction, since someone removed our deny of it.
    pub(super) fn is_barred_in(&self, direction: Direction, network: &IpNet) -> bool {
        self.withdrawn.iter().any(|(position, withdrawn)| {
            position.direction == direction
                && withdrawn.network == *network
                && self.is_left_alone(*position)
        })
    }

    /// Whether it does in any direction that is on.
    pub(super) fn is_barred(&self, network: &IpNet) -> bool {
        DIRECTIONS.into_iter().any(|direction| {
            self.input.config.is_on(direction) && self.is_barred_in(direction, network)
        })
    }

    fn report_neighbours(&mut self) {
        let edited: Vec<Position> = self
            .findings
            .iter()
            .filter_map(|finding| match finding {
                Finding::Edited { rule, .. } => Some(rule.position),
                _ => None,
            })
            .collect();
        for (position, entry) in &self.others {
            if self.range.contains(&position.number)
                && self.input.config.is_on(position.direction)
                && !edited.contains(position)
            {
                self.findings.push(Finding::Neighbour {
                    acl: self.acl.id.clone(),
                    entry: (*entry).clone(),
                });
            }
        }
    }

    /// The networks that hold a slot and may go on doing so, with the moment
    /// since when they do. An entry behind an allow holds one if it can be moved.
    pub(super) fn incumbents(&self, family: Family) -> BTreeMap<IpNet, i64> {
        let mut incumbents = BTreeMap::new();
        for ours in self.ours.values() {
            let Rule { position, network } = ours.rule;
            if Family::of(&network) == family
                && self.input.config.is_on(position.direction)
                && self.input.stands(&network)
                && (self.works(position, family)
                    || !self.is_barred_in(position.direction, &network))
            {
                incumbents
                    .entry(network)
                    .and_modify(|since: &mut i64| *since = ours.since.min(*since))
                    .or_insert(ours.since);
            }
        }
        incumbents
    }

    /// Whether entries of others deny a network already, wherever we would.
    pub(super) fn denied_by_others(&self, network: &IpNet) -> bool {
        let family = Family::of(network);
        let denied = |direction: Direction| {
            self.others.iter().any(|(position, entry)| {
                position.direction == direction
                    && entry.action == RuleAction::Deny
                    && entry.all_traffic
                    && entry.network.contains(network)
                    && self.works(*position, family)
            })
        };
        DIRECTIONS
            .into_iter()
            .filter(|direction| self.input.config.is_on(*direction))
            .all(denied)
    }
}

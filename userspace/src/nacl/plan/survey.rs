//! What a NACL holds, sorted into ours and others', with the room that is left.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Finding, Input};
use crate::nacl::acl::{Acl, DIRECTIONS, Direction, Entry, Family, Position, Rule, RuleAction};
use crate::nacl::ledger::LedgerEntry;
use crate::nacl::market::Withdrawn;
use crate::nacl::selftest;

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
    pub(super) range: RangeInclusive<u16>,
    pub(super) ours: BTreeMap<Position, Ours>,
    pub(super) others: BTreeMap<Position, &'a Entry>,
    pub(super) allows: Vec<&'a Entry>,
    pub(super) withdrawn: BTreeMap<Position, Withdrawn>,
    pub(super) forget: Vec<LedgerEntry>,
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
        let young = known.since.abs_diff(input.now) < input.config.settle.as_secs();
        input.config.is_on(position.direction)
            && input.config.range(acl).contains(&position.number)
            && (seen || young)
    });
    held.map(|known| known.rule.network.trunc())
}

/// Whether an entry is what the ledger says that we put there.
fn is_ours(entry: &Entry, rule: &Rule) -> bool {
    entry.position == rule.position
        && entry.action == RuleAction::Deny
        && entry.all_traffic
        && entry.network.trunc() == rule.network.trunc()
}

impl<'a> Survey<'a> {
    pub(super) fn take(
        input: &'a Input<'a>,
        acl: &'a Acl,
        withdrawn: BTreeMap<Position, Withdrawn>,
    ) -> Self {
        let config = input.config;
        let mut survey = Survey {
            input,
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
            withdrawn,
            forget: Vec::new(),
            findings: Vec::new(),
            slots: BTreeMap::new(),
        };
        let mut known: BTreeMap<Position, Vec<&LedgerEntry>> = BTreeMap::new();
        for entry in input.ledger.iter().filter(|entry| entry.acl == acl.id) {
            known.entry(entry.rule.position).or_default().push(entry);
        }
        for (position, mut known) in known {
            // The latest first, and equals by network.
            known.sort_by_key(|entry| (std::cmp::Reverse(entry.since), entry.rule.network));
            survey.compare(position, &known);
        }
        survey.leave_alone(acl);
        survey.report_neighbours(acl);
        survey.count_slots(acl);
        survey
    }

    /// Compares a position with what the ledger says of it.
    fn compare(&mut self, position: Position, known: &[&LedgerEntry]) {
        let found = self.others.get(&position).copied();
        let settle = self.input.config.settle.as_secs();
        let settled = |entry: &LedgerEntry| entry.since.abs_diff(self.input.now) >= settle;
        let ours = found.and_then(|found| known.iter().find(|known| is_ours(found, &known.rule)));
        if let Some(ours) = ours {
            let stale = known
                .iter()
                .filter(|entry| entry.rule.network != ours.rule.network && settled(entry));
            self.forget.extend(stale.map(|entry| (*entry).clone()));
            self.admit(ours, !selftest::may_be_at_work(ours, self.input.now));
            return;
        }
        if let Some(pending) = known.iter().find(|entry| !settled(entry)) {
            self.admit(pending, false);
            return;
        }
        self.forget
            .extend(known.iter().map(|entry| (*entry).clone()));
        let Some(last) = known.first() else { return };
        if let Some(found) = found {
            self.findings.push(Finding::Edited {
                acl: last.acl.clone(),
                rule: last.rule,
                found: found.clone(),
            });
        } else if self.is_wanted(&last.rule) {
            self.withdraw(&last.rule);
        }
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

    /// Leaves a position alone from which our entry was removed.
    fn withdraw(&mut self, rule: &Rule) {
        let config = self.input.config;
        let wait = match self.withdrawn.get(&rule.position) {
            Some(before) => before.wait.saturating_mul(2).min(config.longest_back_off),
            None => config.back_off,
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

    /// Reports positions that are left alone, and forgets those whose peace has
    /// lasted.
    fn leave_alone(&mut self, acl: &Acl) {
        let now = self.input.now;
        self.withdrawn.retain(|_, withdrawn| {
            let wait = i64::try_from(withdrawn.wait.as_secs()).unwrap_or(i64::MAX);
            // A clock that stepped back must not prolong it.
            withdrawn.until = withdrawn.until.min(now.saturating_add(wait));
            now < withdrawn.until.saturating_add(wait)
        });
        for (position, withdrawn) in &self.withdrawn {
            if self.is_left_alone(*position) && !self.others.contains_key(position) {
                self.findings.push(Finding::Removed {
                    acl: acl.id.clone(),
                    rule: Rule {
                        position: *position,
                        network: withdrawn.network,
                    },
                    until: withdrawn.until,
                });
            }
        }
    }

    pub(super) fn is_left_alone(&self, position: Position) -> bool {
        self.withdrawn
            .get(&position)
            .is_some_and(|withdrawn| self.input.now < withdrawn.until)
    }

    fn report_neighbours(&mut self, acl: &Acl) {
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
                    acl: acl.id.clone(),
                    entry: (*entry).clone(),
                });
            }
        }
    }

    /// The networks that hold a slot and may go on doing so, with the moment
    /// since when they do.
    pub(super) fn incumbents(&self, family: Family) -> BTreeMap<IpNet, i64> {
        let mut incumbents = BTreeMap::new();
        for ours in self.ours.values() {
            let Rule { position, network } = ours.rule;
            if Family::of(&network) == family
                && self.input.config.is_on(position.direction)
                && self.input.stands(&network)
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

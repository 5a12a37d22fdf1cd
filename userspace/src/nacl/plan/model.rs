//! A model of AWS and of the executor, to try plans on.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;

use super::{Change, Input, Plan, PlanConfig, Step, plan};
use crate::nacl::acl::{Acl, Direction, Entry, Family, Position, Rule, RuleAction};
use crate::nacl::ledger::LedgerEntry;
use crate::nacl::market::{Candidate, MarketConfig, MarketState};
use crate::nacl::quota::LearntQuotas;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Made, and confirmed.
    Works,
    /// Refused, and known to be.
    Refused,
    /// Not made, but nobody knows.
    Lost,
    /// Made, but nobody knows.
    ReplyLost,
}

/// NACLs, with what is known of them on the host.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) acls: Vec<Acl>,
    pub(super) ledger: Vec<LedgerEntry>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) allowed: Vec<IpNet>,
    pub(super) market: MarketState,
    pub(super) learnt: LearntQuotas,
    pub(super) config: PlanConfig,
    pub(super) now: i64,
}

impl World {
    /// A subnet as AWS makes it: allows at 100 and 101, nothing else. Neighbours share
    /// no slot.
    pub(super) fn new() -> Self {
        let mut config = PlanConfig {
            market: MarketConfig {
                minimum_term: Duration::from_mins(1),
                first_term: Duration::from_mins(5),
                longest_term: Duration::from_hours(1),
                probation: Duration::from_secs(30),
                margin: 1.5,
                floor: 0.5,
                trials: 2,
                ..MarketConfig::default()
            },
            ..PlanConfig::default()
        };
        config.sharing.members = 0;
        let acl = Acl {
            id: "acl-1".to_owned(),
            owner: "111122223333".to_owned(),
            vpc: "vpc-1".to_owned(),
            firewall_manager: false,
            entries: vec![allow(100, "0.0.0.0/0"), allow(101, "::/0")],
        };
        Self {
            acls: vec![acl],
            ledger: Vec::new(),
            candidates: Vec::new(),
            allowed: Vec::new(),
            market: MarketState::default(),
            learnt: LearntQuotas::default(),
            config,
            now: 1_000_000,
        }
    }

    pub(super) fn ban(&mut self, network: &str, rate: f64, bancount: u32) {
        self.unban(network);
        self.candidates.push(Candidate {
            network: network.parse().unwrap(),
            rate,
            bancount,
            banned_since: self.now,
            until: None,
        });
    }

    pub(super) fn unban(&mut self, network: &str) {
        let network: IpNet = network.parse().unwrap();
        self.candidates.retain(|other| other.network != network);
    }

    pub(super) fn plan(&self) -> Plan {
        let banned = |network: &IpNet| {
            let mut candidates = self.candidates.iter();
            candidates.any(|candidate| candidate.network.trunc() == *network)
        };
        plan(&Input {
            acls: &self.acls,
            ledger: &self.ledger,
            candidates: &self.candidates,
            banned: &banned,
            allowed: &self.allowed,
            market: &self.market,
            learnt: &self.learnt,
            account: Some("111122223333"),
            config: &self.config,
            now: self.now,
        })
    }

    /// Plans, and makes every call.
    pub(super) fn reconcile(&mut self) -> Plan {
        let plan = self.plan();
        self.begin(&plan);
        for step in &plan.steps {
            self.execute(step, Call::Works);
        }
        plan
    }

    /// What the executor does before the first call.
    pub(super) fn begin(&mut self, plan: &Plan) {
        self.ledger.retain(|entry| !plan.forget.contains(entry));
        self.market = plan.market.clone();
    }

    /// Makes one call as the executor does. Panics where AWS refuses it.
    pub(super) fn execute(&mut self, step: &Step, call: Call) {
        if let Err(refusal) = self.attempt(step, call) {
            panic!("{step}: {refusal}");
        }
    }

    /// Makes one call as the executor does, and tells whether AWS took it.
    pub(super) fn attempt(&mut self, step: &Step, mut call: Call) -> Result<(), String> {
        let new = match step.change {
            Change::Create(rule) | Change::Replace { rule, .. } => Some(rule),
            Change::Delete { .. } => None,
        };
        let old = match step.change {
            Change::Create(_) => None,
            Change::Replace { rule, from } => Some((rule.position, from)),
            Change::Delete { position, network } => Some((position, network)),
        };
        if let Some(rule) = new {
            self.strike(&step.acl, rule.position, rule.network);
            self.ledger.push(LedgerEntry {
                acl: step.acl.clone(),
                rule,
                since: self.now,
            });
        }
        let mut outcome = Ok(());
        if matches!(call, Call::Works | Call::ReplyLost) {
            outcome = self.call(step);
            if outcome.is_err() && call == Call::Works {
                call = Call::Refused;
            }
        }
        if let (Call::Works, Some(rule)) = (call, new) {
            self.market.confirm(&step.acl, rule);
        }
        match (call, new, old) {
            (Call::Works, _, Some((position, network))) => {
                self.strike(&step.acl, position, network);
            }
            (Call::Refused, Some(rule), _) => {
                self.strike(&step.acl, rule.position, rule.network);
            }
            _ => {}
        }
        outcome
    }

    fn strike(&mut self, acl: &str, position: Position, network: IpNet) {
        self.ledger
            .retain(|entry| entry.acl != acl || entry.rule != Rule { position, network });
    }

    /// AWS's part.
    fn call(&mut self, step: &Step) -> Result<(), String> {
        let quota = self.config.quota as usize;
        let acl = self.acls.iter_mut().find(|acl| acl.id == step.acl);
        let acl = acl.ok_or("InvalidNetworkAclID.NotFound")?;
        let position = step.change.position();
        let at = acl.entries.iter().position(|e| e.position == position);
        match step.change {
            Change::Create(rule) => {
                if at.is_some() {
                    return Err("NetworkAclEntryAlreadyExists".to_owned());
                }
                if count(acl, rule.position.direction, &rule.network) >= quota {
                    return Err("NetworkAclEntryLimitExceeded".to_owned());
                }
                acl.entries.push(deny_at(rule));
            }
            Change::Replace { rule, .. } => {
                let at = at.ok_or("InvalidNetworkAclEntry.NotFound")?;
                acl.entries[at] = deny_at(rule);
            }
            Change::Delete { .. } => {
                let at = at.ok_or("InvalidNetworkAclEntry.NotFound")?;
                acl.entries.remove(at);
            }
        }
        Ok(())
    }

    /// Our networks that an ACL denies in a direction, by rule number.
    pub(super) fn denied(&self, direction: Direction) -> BTreeMap<u16, IpNet> {
        super::survey::ours_anywhere(&self.acls[0], &self.ledger)
            .into_iter()
            .filter(|rule| rule.position.direction == direction)
            .map(|rule| (rule.position.number, rule.network))
            .collect()
    }

    /// Whether a network is denied on its way in.
    pub(super) fn denies(&self, network: &str) -> bool {
        let network: IpNet = network.parse().unwrap();
        let denied = self.denied(Direction::Ingress);
        denied.values().any(|other| *other == network)
    }

    /// Removes an entry behind nicban's back.
    pub(super) fn remove(&mut self, number: u16) {
        self.acls[0]
            .entries
            .retain(|entry| entry.position != ingress(number));
    }
}

/// Entries of a family in a direction, the default deny counted.
pub(super) fn count(acl: &Acl, direction: Direction, network: &IpNet) -> usize {
    let family = Family::of(network);
    let same = acl.entries.iter().filter(|entry| {
        entry.position.direction == direction && Family::of(&entry.network) == family
    });
    1 + same.count()
}

pub(super) const fn ingress(number: u16) -> Position {
    Position {
        direction: Direction::Ingress,
        number,
    }
}

pub(super) fn allow(number: u16, network: &str) -> Entry {
    Entry {
        action: RuleAction::Allow,
        ..deny(number, network)
    }
}

pub(super) fn deny(number: u16, network: &str) -> Entry {
    deny_at(Rule {
        position: ingress(number),
        network: network.parse().unwrap(),
    })
}

const fn deny_at(rule: Rule) -> Entry {
    Entry {
        position: rule.position,
        action: RuleAction::Deny,
        network: rule.network,
        all_traffic: true,
    }
}

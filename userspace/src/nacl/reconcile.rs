//! One round of the NACL tier: plan upon what is believed, apply, believe what is acknowledged.

#[cfg(test)]
mod properties;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use nicban_protocol::{Mode, NaclEntry, NaclStep};
use thiserror::Error;

use super::{
    acl::{Acl, Direction, FAMILIES, Family, Position, Rule},
    api::AclApi,
    apply::{Outcome, Report, apply, strike_out},
    believed::Believed,
    caller::{CallError, Caller, Calls},
    clock::Clock,
    error::Response,
    gone::strike_out_gone,
    ledger::{Ledger, LedgerEntry, LedgerError},
    market::{Candidate, MarketState, Measure},
    plan::{Change, Finding, Input, Plan, PlanConfig, Step, plan, release},
    quota::{LearntQuotas, List},
    roster::Incumbents,
};

/// Who competes, as the engine tells it.
pub use crate::engine::Market as Contenders;

/// What is remembered between rounds.
#[derive(Debug)]
pub struct Reconciler<A, C, L> {
    caller: Caller<A, C>,
    ledger: L,
    place: Place,
    config: PlanConfig,
    market: MarketState,
    believed: Believed,
    /// Why each entry holds its slot, by NACL and network.
    reasons: BTreeMap<(String, IpNet), String>,
    promotions: u64,
    /// Families of which the last plan left a slot free.
    vacant: BTreeSet<Family>,
    /// Quotas that EC2 has shown to be lower than configured.
    learnt: LearntQuotas,
}

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    /// Steps that EC2 acknowledged.
    pub done: usize,
    /// What stood in the way, and what it asks for.
    pub trouble: Option<(Response, String)>,
    /// What was noticed.
    pub findings: Vec<String>,
    /// Slots, IPv4 and IPv6, over all NACLs.
    pub slots: [u32; 2],
}

/// Why a round could not be made.
#[derive(Debug, Error)]
pub enum RoundError {
    /// EC2 was asked in vain.
    #[error("cannot observe the network ACLs")]
    Call(#[from] CallError),
    /// The ledger can't be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl RoundError {
    /// What the failure asks for.
    pub fn response(&self) -> Response {
        match self {
            Self::Call(error) => error.response(),
            Self::Ledger(_) => Response::Suspend,
        }
    }
}

/// Where the tier works.
#[derive(Debug, Clone)]
pub struct Place {
    /// Such as `eu-central-1`.
    pub region: String,
    /// The host's subnets.
    pub subnets: Vec<String>,
    /// The host's account.
    pub account: String,
    /// Networks of the VPC, which a NACL must never deny.
    pub vpc_networks: Vec<IpNet>,
}

impl<A: AclApi, C: Clock, L: Ledger + Send> Reconciler<A, C, L> {
    /// A reconciler that has seen nothing yet.
    pub fn new(caller: Caller<A, C>, ledger: L, place: Place, config: PlanConfig) -> Self {
        Self {
            caller,
            ledger,
            place,
            config,
            market: MarketState::default(),
            believed: Believed::default(),
            reasons: BTreeMap::new(),
            promotions: 0,
            vacant: BTreeSet::from(FAMILIES),
            learnt: LearntQuotas::default(),
        }
    }

    /// Who holds a slot now, as far as is known: before the first observation the
    /// ledger alone tells.
    pub fn incumbents(&self) -> Result<Incumbents, LedgerError> {
        let ledger = self.ledger.entries()?;
        Ok(Incumbents {
            seated: self.seated(),
            recorded: ledger.iter().map(|entry| entry.rule.network).collect(),
            vacant: self.vacant.clone(),
        })
    }

    fn seated(&self) -> BTreeSet<IpNet> {
        let markets = self.market.acls.values();
        markets
            .flat_map(|market| market.incumbents.keys().copied())
            .collect()
    }

    /// The clock that observations and changes are timed by.
    pub const fn clock(&self) -> &C {
        self.caller.clock()
    }

    /// The host stands elsewhere now, or may. What is known of NACLs stays, and so does
    /// the budget for calls.
    pub fn relocate(&mut self, place: Place) {
        self.place = place;
    }

    /// What would be done, judged by what is believed; asks nobody.
    pub fn preview(&self, contenders: &Contenders) -> Result<Plan, LedgerError> {
        let ledger = self.ledger.entries()?;
        Ok(self.plan(contenders, &ledger))
    }

    /// Plans, applies, and takes what EC2 acknowledges for made; observes at once what
    /// came of it only where something went wrong. A later observation verifies the rest.
    pub async fn round(&mut self, contenders: &Contenders) -> Result<Round, RoundError> {
        let ledger = self.ledger.entries()?;
        let plan = self.plan(contenders, &ledger);
        strike_out(&mut self.ledger, &plan.forget)?;
        let report = apply(&mut self.caller, &mut self.ledger, &plan.steps).await;
        self.remember(&plan, &report);
        if !report.complete() {
            self.observe().await?;
        }
        let mut slots = [0_u32; 2];
        for slot in &plan.slots {
            let total = u32::try_from(slot.total).unwrap_or(u32::MAX);
            slots[usize::from(slot.family == Family::V6)] += total;
        }
        let mut findings: Vec<String> = plan.findings.iter().map(Finding::to_string).collect();
        findings.extend(self.learnt.findings(self.config.quota));
        Ok(Round {
            done: report.done(),
            trouble: trouble(&report)
                .or_else(|| foreign(&plan, self.believed.acls()))
                .or_else(|| self.nothing_there()),
            findings,
            slots,
        })
    }

    /// Takes out every entry of ours, and nothing else; how many there were.
    pub async fn release(&mut self) -> Result<(usize, Report), RoundError> {
        let ledger = self.ledger.entries()?;
        // Also from a NACL that this host's subnets have been taken from since.
        let known: BTreeSet<String> = ledger.iter().map(|entry| entry.acl.clone()).collect();
        let acls = self.caller.describe_each(&known).await?;
        let acls = self.believed.corrected(acls);
        let plan = release(&acls, &ledger, self.clock().unix());
        strike_out(&mut self.ledger, &plan.forget)?;
        let report = apply(&mut self.caller, &mut self.ledger, &plan.steps).await;
        self.believe(&plan, &report);
        self.market = MarketState::default();
        self.vacant = BTreeSet::from(FAMILIES);
        self.observe().await?;
        Ok((plan.steps.len(), report))
    }

    /// Our entries as they are believed to stand, with what is known of each.
    pub fn entries(&self) -> Result<Vec<NaclEntry>, LedgerError> {
        let now = self.caller.clock().unix();
        let ledger = self.ledger.entries()?;
        let mut entries = Vec::new();
        for acl in self.believed.acls() {
            let market = self.market.acls.get(&acl.id);
            for record in ledger.iter().filter(|record| stands(acl, record)) {
                let Rule { position, network } = record.rule;
                let incumbent = market.and_then(|market| market.incumbents.get(&network));
                let worth = incumbent.and_then(|it| it.remembered(now, &self.config.market));
                let (rate, failures) = match self.config.market.measure {
                    Measure::Rate => (worth, None),
                    Measure::Failures => (None, worth),
                };
                let reason = self.reasons.get(&(acl.id.clone(), network)).cloned();
                entries.push(NaclEntry {
                    acl: acl.id.clone(),
                    direction: position.direction.to_string(),
                    number: position.number,
                    network: network.to_string(),
                    since: record.since,
                    rate: rate.unwrap_or_default(),
                    failures,
                    reason: reason.unwrap_or_else(|| "put in before the daemon started".to_owned()),
                });
            }
        }
        Ok(entries)
    }

    /// Calls to EC2 so far.
    pub fn calls(&self) -> &Calls {
        self.caller.calls()
    }

    /// Offenders that got a slot so far.
    pub const fn promotions(&self) -> u64 {
        self.promotions
    }

    /// NACLs that were seen.
    pub fn acls(&self) -> impl Iterator<Item = &str> {
        self.believed.acls().iter().map(|acl| acl.id.as_str())
    }

    /// Observes the NACLs, which takes a while when EC2 falters.
    pub async fn observe(&mut self) -> Result<(), RoundError> {
        let acls = self.caller.describe_by_subnets(&self.place.subnets).await?;
        let (now, settle) = (self.clock().unix(), self.config.settle);
        self.believed.observed(acls, now, settle);
        self.learnt.observed(self.believed.acls());
        let observed = self.believed.acls();
        strike_out_gone(&mut self.caller, &mut self.ledger, observed, settle).await
    }

    /// How many entries may stand in NACLs for which nicban is to answer.
    pub fn records(&self) -> Result<usize, LedgerError> {
        Ok(self.ledger.entries()?.len())
    }

    /// Says so where EC2 shows no NACL: AWS gives one to each subnet that there is.
    fn nothing_there(&self) -> Option<(Response, String)> {
        let Place {
            region, subnets, ..
        } = &self.place;
        self.believed.acls().is_empty().then(|| {
            let subnets = subnets.join(", ");
            let why = format!("EC2 shows no network ACL for {subnets} in {region}");
            (Response::Suspend, why)
        })
    }

    fn plan(&self, contenders: &Contenders, ledger: &[LedgerEntry]) -> Plan {
        // In observe mode nobody may be denied, so nobody counts as banned.
        let candidates: &[Candidate] = match contenders.mode {
            Mode::Enforce => &contenders.candidates,
            Mode::Observe => &[],
        };
        let banned: BTreeSet<IpNet> = candidates.iter().map(|it| it.network).collect();
        let allowed: Vec<IpNet> = self
            .place
            .vpc_networks
            .iter()
            .chain(&contenders.allowed)
            .copied()
            .collect();
        plan(&Input {
            acls: self.believed.acls(),
            ledger,
            candidates,
            banned: &|network| banned.contains(network),
            allowed: &allowed,
            market: &self.market,
            learnt: &self.learnt,
            account: Some(&self.place.account),
            config: &self.config,
            now: self.caller.clock().unix(),
        })
    }

    fn remember(&mut self, plan: &Plan, report: &Report) {
        self.market = plan.market.clone();
        let vacant = plan.slots.iter().filter(|slots| slots.held < slots.total);
        self.vacant = vacant.map(|slots| slots.family).collect();
        self.believe(plan, report);
        for (step, outcome) in plan.steps.iter().zip(&report.outcomes) {
            match (outcome, &step.change) {
                (Outcome::Done, Change::Create(rule) | Change::Replace { rule, .. }) => {
                    let key = (step.acl.clone(), rule.network);
                    self.reasons.insert(key, step.reason.to_string());
                    self.market.confirm(&step.acl, *rule);
                    if rule.position.direction == Direction::Ingress {
                        self.promotions += 1;
                    }
                }
                (Outcome::Failed(error), Change::Create(rule))
                    if error.response() == Response::LearnQuota =>
                {
                    self.learn_quota(&step.acl, rule);
                }
                _ => {}
            }
        }
        let seated = self.seated();
        self.reasons
            .retain(|(_, network), _| seated.contains(network));
    }

    fn believe(&mut self, plan: &Plan, report: &Report) {
        let now = self.caller.clock().unix();
        for (step, outcome) in plan.steps.iter().zip(&report.outcomes) {
            match outcome {
                Outcome::Done => self.believed.acknowledged(&step.acl, &step.change, now),
                Outcome::Failed(_) | Outcome::Unrecorded(_) => {
                    self.believed.doubted(&step.acl, &step.change);
                }
                Outcome::NotTried => {}
            }
        }
    }

    /// EC2 says that a list is full: what stands in it and the default deny is all that
    /// it holds. What EC2 doesn't show yet stands in the ledger; with one record too many
    /// the quota is taken for too high, and learnt again, where one too few would leave
    /// slots unused.
    fn learn_quota(&mut self, id: &str, refused: &Rule) {
        let Some(acl) = self.believed.acls().iter().find(|acl| acl.id == id) else {
            return;
        };
        // Without the ledger the count would be too low; the next refusal teaches it.
        let Ok(ledger) = self.ledger.entries() else {
            return;
        };
        let list = List::of(id, refused.position, Family::of(&refused.network));
        let same = |direction, network: &IpNet| {
            direction == list.direction && Family::of(network) == list.family
        };
        let seen = acl
            .entries
            .iter()
            .map(|entry| (entry.position, entry.network));
        let now = self.clock().unix();
        let settle = self.config.settle;
        let ours = ledger
            .iter()
            .filter(|record| record.acl == id && record.is_younger(settle, now))
            .map(|record| (record.rule.position, record.rule.network));
        let mut standing: BTreeSet<Position> = seen
            .chain(ours)
            .filter(|(position, network)| same(position.direction, network))
            .map(|(position, _)| position)
            .collect();
        standing.remove(&refused.position);
        let standing = standing.len();
        let full_at = u32::try_from(standing)
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        self.learnt.refused(list, full_at, now);
    }
}

/// A step for people.
pub fn step(step: &Step) -> NaclStep {
    NaclStep {
        acl: step.acl.clone(),
        action: step.change.to_string(),
        reason: step.reason.to_string(),
    }
}

fn stands(acl: &Acl, record: &LedgerEntry) -> bool {
    record.acl == acl.id
        && acl.entries.iter().any(|entry| {
            entry.position == record.rule.position && entry.network == record.rule.network
        })
}

/// Says so where none of the NACLs may be changed by this account.
fn foreign(plan: &Plan, observed: &[Acl]) -> Option<(Response, String)> {
    let of_others: Vec<String> = plan
        .findings
        .iter()
        .filter(|finding| matches!(finding, Finding::NotOwner { .. }))
        .map(Finding::to_string)
        .collect();
    let none_is_ours = !observed.is_empty() && of_others.len() == observed.len();
    none_is_ours.then(|| (Response::TurnOff, of_others.join("; ")))
}

/// The first failure of a report, with what it asks for. A quota that was learnt is
/// told of only where nothing worse is.
fn trouble(report: &Report) -> Option<(Response, String)> {
    let failures = report.outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Failed(error) => Some((error.response(), error.to_string())),
        Outcome::Unrecorded(error) => Some((Response::Suspend, error.to_string())),
        Outcome::Done | Outcome::NotTried => None,
    });
    failures.min_by_key(|(response, _)| *response == Response::LearnQuota)
}

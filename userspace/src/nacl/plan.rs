//! The plan of changes to the network ACLs.
//!
//! [`plan`] takes what was observed and what is wanted, and returns steps, each
//! with its reason. It reads no clock and calls nobody, so that a test, a
//! simulator or an operator's dry run gets exactly what the daemon would do. On
//! the result of its own steps it has nothing more to do.
//!
//! What the executor owes it: an entry stands in the ledger *before* the call
//! that creates it (or that replaces another by it), and leaves it only after
//! the call that removes it has succeeded. Then a lost reply leaves nothing in a
//! NACL that is not known to be ours. While a replacement is under way the
//! ledger so holds two entries for one position, and what is observed there
//! tells which one is true.

mod config;
mod finding;
mod layout;
mod reason;
mod room;
mod sharing;
mod survey;

#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;

use crate::nacl::acl::{Acl, DIRECTIONS, FAMILIES, Family, Position, Rule};
use crate::nacl::ledger::LedgerEntry;
use crate::nacl::market::{
    Candidate, Field, Former, Incumbent, Left, Market, MarketState, contest, elapsed,
};
use crate::nacl::quota::LearntQuotas;

pub use config::PlanConfig;
pub use finding::Finding;
pub use reason::Reason;
use sharing::Neighbours;
pub use sharing::SharingConfig;
use survey::Survey;

/// A change to one NACL.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The NACL's id.
    pub acl: String,
    /// What changes.
    pub change: Change,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.acl, self.change, self.reason)
    }
}

/// One call to AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Puts a deny where no entry is.
    Create(Rule),
    /// Puts a deny where another of ours is.
    Replace {
        /// The new entry.
        rule: Rule,
        /// What the old one denies.
        from: IpNet,
    },
    /// Takes a deny of ours out.
    Delete {
        /// Where it is.
        position: Position,
        /// What it denies.
        network: IpNet,
    },
}

impl Change {
    /// Where the change is.
    pub const fn position(&self) -> Position {
        match self {
            Self::Create(rule) | Self::Replace { rule, .. } => rule.position,
            Self::Delete { position, .. } => *position,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(Rule { position, network }) => {
                write!(f, "create {position} deny {network}")
            }
            Self::Replace {
                rule: Rule { position, network },
                from,
            } => write!(f, "replace {position} deny {from} by deny {network}"),
            Self::Delete { position, network } => write!(f, "delete {position} deny {network}"),
        }
    }
}

/// What a plan is made from.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The NACLs, as observed.
    pub acls: &'a [Acl],
    /// What nicban put into them.
    pub ledger: &'a [LedgerEntry],
    /// Banned networks that are worth a slot: the loudest, the most repeated,
    /// and those in a slot now.
    pub candidates: &'a [Candidate],
    /// Whether a network is banned now.
    pub banned: &'a dyn Fn(&IpNet) -> bool,
    /// Networks that must never be denied.
    pub allowed: &'a [IpNet],
    /// The state that the last plan returned; empty after a restart.
    pub market: &'a MarketState,
    /// Quotas that EC2 has shown to be lower than configured.
    pub learnt: &'a LearntQuotas,
    /// Our account, without which nobody can tell whose a NACL is.
    pub account: Option<&'a str>,
    /// The knobs.
    pub config: &'a PlanConfig,
    /// The moment, in seconds since the Unix epoch.
    pub now: i64,
}

impl Input<'_> {
    /// Whether a network is banned and may be denied. All addresses at once never
    /// are, whoever bans them: that would cut the subnet off.
    fn stands(&self, network: &IpNet) -> bool {
        network.prefix_len() > 0
            && (self.banned)(network)
            && survey::overlap(self.allowed, network).is_none()
    }
}

/// What to do, and what was noticed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Calls, to be made in this order.
    pub steps: Vec<Step>,
    /// What others did, or what makes the tier useless. An edit is told once,
    /// and then as a neighbour; the rest for as long as it is so.
    pub findings: Vec<Finding>,
    /// Ledger entries that no longer stand in their NACL; to be struck out
    /// before the steps are made.
    pub forget: Vec<LedgerEntry>,
    /// How many slots there are.
    pub slots: Vec<Slots>,
    /// The state that holds once the steps are made.
    pub market: MarketState,
}

/// The slots of one NACL for one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// The NACL's id.
    pub acl: String,
    /// The family.
    pub family: Family,
    /// How many networks can be denied, in each direction that is on.
    pub total: usize,
    /// How many are, once the steps are made.
    pub held: usize,
}

/// Plans what is to change so that the worst offenders hold the slots.
pub fn plan(input: &Input<'_>) -> Plan {
    let field = field(input);
    let banned = |network: &IpNet| field.shared.contains(network) || (input.banned)(network);
    let input = &Input {
        banned: &banned,
        ..*input
    };
    let mut plan = Plan::default();
    let observed = survey::by_id(input.acls);
    finding::unobserved(&observed, input.ledger, &mut plan.findings);
    for (id, acl) in observed {
        let before = input.market.acls.get(id).cloned().unwrap_or_default();
        if let Some(account) = input.account.filter(|account| **account != acl.owner) {
            plan.findings.push(Finding::NotOwner {
                acl: id.to_owned(),
                owner: acl.owner.clone(),
                account: account.to_owned(),
            });
            plan.market.acls.insert(id.to_owned(), before);
            continue;
        }
        plan_acl(input, acl, &before, &field, &mut plan);
    }
    // What must no longer be denied comes first. Neither a deletion nor a
    // replacement needs room, so they may be moved ahead of the rest.
    plan.steps.sort_by_key(|step| !step.reason.is_urgent());
    plan
}

/// Takes every entry of ours out of the NACLs, and nothing else. What EC2 does not show
/// at `now` (seconds since the Unix epoch) is struck out once it can't show any more.
pub fn release(acls: &[Acl], ledger: &[LedgerEntry], now: i64) -> Plan {
    let mut plan = Plan::default();
    let observed = survey::by_id(acls);
    finding::unobserved(&observed, ledger, &mut plan.findings);
    for (id, acl) in observed {
        let ours = survey::ours_anywhere(acl, ledger);
        let unseen = ledger
            .iter()
            .filter(|record| record.acl == id && !ours.contains(&record.rule));
        let disproved = unseen.filter(|record| !survey::may_show(record, now));
        plan.forget.extend(disproved.cloned());
        for rule in ours {
            plan.steps.push(Step {
                acl: id.to_owned(),
                change: Change::Delete {
                    position: rule.position,
                    network: rule.network,
                },
                reason: Reason::Released,
            });
        }
    }
    plan
}

/// The candidates whose ban goes on, by network.
fn standing(input: &Input<'_>) -> BTreeMap<IpNet, Candidate> {
    let mut standing: BTreeMap<IpNet, Candidate> = BTreeMap::new();
    for candidate in input.candidates {
        let network = candidate.network.trunc();
        let over = candidate.until.is_some_and(|until| until <= input.now);
        if over || !input.stands(&network) {
            continue;
        }
        let candidate = Candidate {
            network,
            // Neither a rate that is no number nor one beyond all wires may
            // upset the order.
            rate: if candidate.rate.is_nan() {
                0.0
            } else {
                candidate.rate.clamp(0.0, 1e12)
            },
            ..candidate.clone()
        };
        standing
            .entry(network)
            .and_modify(|known| {
                known.rate = known.rate.max(candidate.rate);
                known.bancount = known.bancount.max(candidate.bancount);
            })
            .or_insert(candidate);
    }
    standing
}

/// Who competes: networks that share a slot in the place of their members.
fn field(input: &Input<'_>) -> Field {
    let mut candidates = standing(input);
    let held = survey::held(input);
    let markets = input.market.acls.values();
    let former = markets.flat_map(|market| market.former.values());
    let tried = former
        .filter(|former| {
            let out = elapsed(former.since, input.now);
            former.left != Left::BanEnded && out < input.config.market.probation
        })
        .map(|former| former.incumbent.network);
    let incumbents = held.chain(tried).collect();
    let config = &input.config.market;
    let counted = candidates
        .values()
        .map(|candidate| (candidate.network, candidate.rate));
    let markets = input.market.acls.values();
    let remembered = markets
        .flat_map(|market| market.incumbents.values())
        .filter_map(|it| Some((it.network, it.remembered(input.now, config)?)));
    let sending = counted
        .chain(remembered)
        .filter(|(_, rate)| *rate >= config.floor)
        .map(|(network, _)| network)
        .collect();
    let neighbours = Neighbours {
        candidates: &candidates,
        incumbents: &incumbents,
        sending: &sending,
        allowed: input.allowed,
    };
    let shared = sharing::shared(&neighbours, &input.config.sharing);
    for (network, members) in &shared {
        for member in members {
            candidates.remove(&member.network);
        }
        candidates.insert(*network, sharing::as_one(*network, members));
    }
    let shared = shared.into_keys().collect();
    Field { candidates, shared }
}

/// What becomes of one NACL with a number of slots.
struct Outcome {
    market: Market,
    steps: Vec<Step>,
    /// Networks that got a slot, but for which no rule number was left.
    unplaced: BTreeSet<IpNet>,
}

fn plan_acl(input: &Input<'_>, acl: &Acl, before: &Market, field: &Field, plan: &mut Plan) {
    let survey = Survey::take(input, acl);
    plan.findings.extend(survey.findings.iter().cloned());
    plan.forget.extend(survey.forget.iter().cloned());

    let mut slots = FAMILIES.map(|family| survey.slots(family));
    let outcome = loop {
        let outcome = settle(input, acl, before, &survey, field, slots);
        if outcome.unplaced.is_empty() {
            break outcome;
        }
        // Rare: a slot without a rule number is none.
        for (slots, family) in slots.iter_mut().zip(FAMILIES) {
            let unplaced = outcome.unplaced.iter();
            let without = unplaced.filter(|network| Family::of(network) == family);
            *slots = slots.saturating_sub(without.count());
        }
    };
    for (family, total) in FAMILIES.into_iter().zip(slots) {
        let incumbents = outcome.market.incumbents.keys();
        plan.slots.push(Slots {
            acl: acl.id.clone(),
            family,
            total,
            held: incumbents
                .filter(|network| Family::of(network) == family)
                .count(),
        });
    }
    plan.steps.extend(outcome.steps);
    plan.market.acls.insert(acl.id.clone(), outcome.market);
}

/// Settles who holds the slots, and lays out the steps that bring it about.
fn settle(
    input: &Input<'_>,
    acl: &Acl,
    before: &Market,
    survey: &Survey<'_>,
    field: &Field,
    slots: [usize; 2],
) -> Outcome {
    let mut market = Market {
        withdrawn: survey.withdrawn.clone(),
        confirmed: survey.confirmed(),
        ..Market::default()
    };
    let mut seat = |index: usize| {
        let family = FAMILIES[index];
        let mut contested = before_contest(input, before, survey, family);
        let seating = contest(
            &mut contested,
            slots[index],
            &of_family(field, family),
            |network| !survey.denied_by_others(network) && !survey.is_barred(network),
            &input.config.market,
            input.now,
        );
        market.incumbents.append(&mut contested.incumbents);
        market.former.append(&mut contested.former);
        seating
    };
    let seatings = [seat(0), seat(1)];
    let settled = layout::Settled {
        input,
        acl,
        survey,
        market: &market,
        seatings: &seatings,
        slots,
    };
    let mut steps = Vec::new();
    let mut unplaced = BTreeSet::new();
    for direction in DIRECTIONS {
        let (changes, without) = layout::steps(&settled, direction);
        steps.extend(changes);
        unplaced.extend(without);
    }
    Outcome {
        market,
        steps,
        unplaced,
    }
}

/// The market of one family as it stands before the contest: what was known,
/// corrected by what is seen.
fn before_contest(
    input: &Input<'_>,
    before: &Market,
    survey: &Survey<'_>,
    family: Family,
) -> Market {
    let mut market = Market::default();
    for (network, since) in survey.incumbents(family) {
        // One that the last plan took out, but that is still in, was never taken
        // out.
        let known = before
            .incumbents
            .get(&network)
            .or_else(|| Some(&before.former.get(&network)?.incumbent));
        let mut incumbent = known
            .cloned()
            .unwrap_or_else(|| Incumbent::rebuilt(network, since, &input.config.market));
        incumbent.since = incumbent.since.min(input.now);
        incumbent.measured = incumbent.measured.min(input.now);
        market.incumbents.insert(network, incumbent);
    }
    for (network, former) in &before.former {
        if Family::of(network) == family && !market.incumbents.contains_key(network) {
            let mut former = former.clone();
            former.since = former.since.min(input.now);
            market.former.insert(*network, former);
        }
    }
    // Whose ban has ended is remembered too: a ban anew shows that it went on.
    for (network, incumbent) in &before.incumbents {
        if Family::of(network) == family
            && !market.incumbents.contains_key(network)
            && !(input.banned)(network)
        {
            let ended = Former {
                incumbent: incumbent.clone(),
                since: input.now,
                left: Left::BanEnded,
            };
            market.former.insert(*network, ended);
        }
    }
    market
}

fn of_family(field: &Field, family: Family) -> Field {
    let is_of = |network: &&IpNet| Family::of(network) == family;
    let candidates = field.candidates.iter();
    Field {
        candidates: candidates
            .filter(|(network, _)| is_of(network))
            .map(|(network, candidate)| (*network, candidate.clone()))
            .collect(),
        shared: field.shared.iter().filter(is_of).copied().collect(),
    }
}

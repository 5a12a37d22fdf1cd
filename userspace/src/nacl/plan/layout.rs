//! The steps that bring one rule list of a NACL to the seating that was settled.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::survey::{Survey, overlap};
use super::{Change, Input, Reason, Step};
use crate::nacl::acl::{Acl, Direction, FAMILIES, Family, Position, Rule};
use crate::nacl::market::{Challenge, Market, MarketConfig, Seating, Wins};

/// What is settled for a NACL.
pub(super) struct Settled<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) acl: &'a Acl,
    pub(super) survey: &'a Survey<'a>,
    /// Its incumbents are those that shall hold a slot.
    pub(super) market: &'a Market,
    /// IPv4's, then IPv6's.
    pub(super) seatings: &'a [Seating; 2],
    /// Slots for IPv4, and for IPv6.
    pub(super) slots: [usize; 2],
}

impl<'a> Settled<'a> {
    fn newcomers(&self, family: Family) -> &'a [Challenge] {
        let [v4, v6] = self.seatings;
        match family {
            Family::V4 => &v4.newcomers,
            Family::V6 => &v6.newcomers,
        }
    }
}

/// The changes to one rule list, in the making.
struct Layout<'a> {
    settled: &'a Settled<'a>,
    direction: Direction,
    replaces: Vec<Step>,
    deletes: Vec<Step>,
    creates: Vec<(IpNet, Reason)>,
    /// Entries that work no more, of networks that are to be put elsewhere.
    moves: Vec<(Position, IpNet, Reason)>,
}

/// The steps for one rule list, with the networks for which no place was found.
///
/// Replacements come first, then deletions, then creations, so that the quota
/// holds at every moment. A network goes without a place only where rule numbers
/// are scarce and an allow was moved, so that one family's entries stand on the
/// numbers that the other needs.
pub(super) fn steps(settled: &Settled<'_>, direction: Direction) -> (Vec<Step>, Vec<IpNet>) {
    let mut layout = Layout {
        settled,
        direction,
        replaces: Vec::new(),
        deletes: Vec::new(),
        creates: Vec::new(),
        moves: Vec::new(),
    };
    if settled.input.config.is_on(direction) {
        for family in FAMILIES {
            layout.arrange(family);
        }
    } else {
        layout.clear();
    }
    layout.finish()
}

impl Layout<'_> {
    fn step(&self, change: Change, reason: Reason) -> Step {
        Step {
            acl: self.settled.acl.id.clone(),
            change,
            reason,
        }
    }

    fn delete(&self, position: Position, network: IpNet, reason: Reason) -> Step {
        self.step(Change::Delete { position, network }, reason)
    }

    /// Takes out everything of ours in a direction that is off.
    fn clear(&mut self) {
        let direction = self.direction;
        for (position, ours) in &self.settled.survey.ours {
            if position.direction == direction && ours.visible {
                let network = ours.rule.network;
                let reason = match overlap(self.settled.input.allowed, &network) {
                    Some(by) => Reason::NowAllowed { by },
                    None => Reason::DirectionOff { direction },
                };
                let step = self.delete(*position, network, reason);
                self.deletes.push(step);
            }
        }
    }

    /// Sorts out one family: who stays, who is replaced by whom, and what is left
    /// to delete and to create.
    fn arrange(&mut self, family: Family) {
        let survey = self.settled.survey;
        let seats = &self.settled.market.incumbents;
        let mut missing: BTreeSet<IpNet> = seats
            .keys()
            .filter(|network| Family::of(network) == family)
            .copied()
            .collect();
        let mut leaving: BTreeMap<Position, (IpNet, Reason)> = BTreeMap::new();
        for (position, ours) in &survey.ours {
            let network = ours.rule.network;
            if position.direction != self.direction || Family::of(&network) != family {
                continue;
            }
            let works = survey.works(*position, family);
            let seated = seats.contains_key(&network);
            if seated && works && missing.remove(&network) {
                continue;
            }
            if !ours.visible {
                continue;
            }
            if works {
                let reason = if seated {
                    Reason::Duplicate
                } else {
                    self.goes(&network, family)
                };
                leaving.insert(*position, (network, reason));
            } else if seated {
                let allow = survey
                    .first_allow(self.direction, family)
                    .map_or(0, |allow| allow.position.number);
                self.moves
                    .push((*position, network, Reason::Shadowed { allow }));
            } else {
                let reason = self.goes(&network, family);
                let step = self.delete(*position, network, reason);
                self.deletes.push(step);
            }
        }
        // It holds its slot by its entry in the other direction alone.
        missing.retain(|network| !survey.is_barred_in(self.direction, network));
        self.pair(family, &mut missing, leaving);
    }

    /// Puts each that comes in the place of one that goes, as far as they last.
    fn pair(
        &mut self,
        family: Family,
        missing: &mut BTreeSet<IpNet>,
        mut leaving: BTreeMap<Position, (IpNet, Reason)>,
    ) {
        let market = &self.settled.input.config.market;
        let mut coming: Vec<(IpNet, Reason)> = Vec::new();
        for newcomer in self.settled.newcomers(family) {
            let network = newcomer.candidate.network;
            if !missing.remove(&network) {
                continue;
            }
            let place = leaving
                .iter()
                .find(|(_, (leaver, _))| Some(*leaver) == newcomer.out)
                .map(|(position, _)| *position);
            let Some((position, (from, _))) = place.and_then(|at| leaving.remove_entry(&at)) else {
                coming.push((network, comes(newcomer, market)));
                continue;
            };
            let rule = Rule { position, network };
            let step = self.step(Change::Replace { rule, from }, comes(newcomer, market));
            self.replaces.push(step);
        }
        coming.extend(missing.iter().map(|network| (*network, Reason::Missing)));

        let mut leaving: Vec<(Position, (IpNet, Reason))> = leaving.into_iter().collect();
        leaving.sort_by_key(|(_, (_, reason))| !reason.is_urgent());
        let mut leaving = leaving.into_iter();
        for (network, comes) in coming {
            let Some((position, (other, goes))) = leaving.next() else {
                self.creates.push((network, comes));
                continue;
            };
            let change = Change::Replace {
                rule: Rule { position, network },
                from: other,
            };
            let reason = Reason::InPlace {
                comes: Box::new(comes),
                other,
                goes: Box::new(goes),
            };
            let step = self.step(change, reason);
            self.replaces.push(step);
        }
        for (position, (network, reason)) in leaving {
            let step = self.delete(position, network, reason);
            self.deletes.push(step);
        }
    }

    /// Why a network that holds no slot any more goes.
    fn goes(&self, network: &IpNet, family: Family) -> Reason {
        let input = self.settled.input;
        if let Some(by) = overlap(input.allowed, network) {
            return Reason::NowAllowed { by };
        }
        if !(input.banned)(network) {
            return Reason::BanEnded;
        }
        let mut seats = self.settled.market.incumbents.keys();
        if let Some(by) = seats.find(|seat| *seat != network && seat.contains(network)) {
            return Reason::Covered { by: *by };
        }
        let mut newcomers = self.settled.newcomers(family).iter();
        let winner = newcomers.find(|newcomer| newcomer.out == Some(*network));
        winner.map_or_else(
            || Reason::FewerSlots {
                slots: self.settled.slots[index(network)],
            },
            |newcomer| comes(newcomer, &input.config.market),
        )
    }

    /// Finds places for what is to be created, and puts everything in order.
    fn finish(mut self) -> (Vec<Step>, Vec<IpNet>) {
        let mut unplaced = Vec::new();
        let survey = self.settled.survey;
        let quota = FAMILIES.map(|family| survey.quota(self.direction, family) as usize);
        let mut held = FAMILIES.map(|family| {
            let ours = survey.ours.values().filter(|ours| {
                ours.rule.position.direction == self.direction
                    && Family::of(&ours.rule.network) == family
            });
            survey.others(self.direction, family) + ours.count()
        });
        let mut freed = BTreeSet::new();
        for step in &self.deletes {
            if let Change::Delete { position, network } = step.change {
                held[index(&network)] -= 1;
                freed.insert(position);
            }
        }
        let mut taken = BTreeSet::new();
        let mut steps = std::mem::take(&mut self.replaces);
        steps.append(&mut self.deletes);
        let creates = std::mem::take(&mut self.creates);
        let mut coming: BTreeSet<IpNet> = creates.iter().map(|(network, _)| *network).collect();
        'creates: for (network, reason) in creates {
            let family = Family::of(&network);
            let Some(position) = self.place(family, &taken, &freed) else {
                unplaced.push(network);
                continue;
            };
            // One may not be enough: where the quota fell, entries whose networks
            // took another place still stand beyond it.
            while held[index(&network)] >= quota[index(&network)] {
                let Some(step) = self.make_room(&network, &coming) else {
                    unplaced.push(network);
                    continue 'creates;
                };
                steps.push(step);
                held[index(&network)] -= 1;
            }
            taken.insert(position);
            coming.remove(&network);
            held[index(&network)] += 1;
            let rule = Rule { position, network };
            steps.push(self.step(Change::Create(rule), reason));
        }
        for (position, network, reason) in std::mem::take(&mut self.moves) {
            steps.push(self.delete(position, network, reason));
        }
        (steps, unplaced)
    }

    /// A position for a new entry. The lowest that the other family could not
    /// use serves first, then the lowest. One that a deletion frees serves last:
    /// should the deletion fail, so would the creation.
    fn place(
        &self,
        family: Family,
        taken: &BTreeSet<Position>,
        freed: &BTreeSet<Position>,
    ) -> Option<Position> {
        let survey = self.settled.survey;
        let other = match family {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        };
        let number = |family| {
            let allow = survey.first_allow(self.direction, family);
            allow.map_or(u16::MAX, |allow| allow.position.number)
        };
        let (ours, theirs) = (number(family), number(other));
        let mut first = None;
        let mut last = None;
        for position in survey.usable(self.direction, family) {
            if taken.contains(&position) {
                continue;
            }
            if !survey.ours.contains_key(&position) {
                if position.number >= theirs || theirs >= ours {
                    return Some(position);
                }
                first = first.or(Some(position));
            } else if freed.contains(&position) {
                last = last.or(Some(position));
            }
        }
        first.or(last)
    }

    /// Takes out an entry that works no more ahead of its turn: one whose network
    /// stands elsewhere by now, else that of the network which is to be put
    /// elsewhere, else any.
    fn make_room(&mut self, network: &IpNet, coming: &BTreeSet<IpNet>) -> Option<Step> {
        let family = Family::of(network);
        let candidates = self.moves.iter().enumerate();
        let (at, _) = candidates
            .filter(|(_, (_, other, _))| Family::of(other) == family)
            .min_by_key(|(_, (_, other, _))| (coming.contains(other), other != network))?;
        let (position, network, reason) = self.moves.remove(at);
        Some(self.delete(position, network, reason))
    }
}

const fn index(network: &IpNet) -> usize {
    match network {
        IpNet::V4(_) => 0,
        IpNet::V6(_) => 1,
    }
}

/// Why a newcomer comes.
fn comes(newcomer: &Challenge, market: &MarketConfig) -> Reason {
    let rate = market.worth(newcomer.candidate.rate);
    let free = Reason::FreeSlot {
        bancount: newcomer.candidate.bancount,
        rate,
    };
    let Some(other) = newcomer.out else {
        return free;
    };
    match newcomer.wins {
        Wins::Free => free,
        Wins::Beats { other_rate, served } => Reason::Beats {
            rate,
            other,
            other_rate: market.worth(other_rate),
            served,
        },
        Wins::Succeeds { other_rate, term } => Reason::Succeeds {
            rate,
            other,
            other_rate: market.worth(other_rate),
            term,
        },
        Wins::Trial { other_rate, term } => Reason::Trial {
            rate,
            other,
            other_rate: other_rate.map(|rate| market.worth(rate)),
            term,
        },
        Wins::Returns { other_rate, tried } => Reason::Returns {
            rate,
            other,
            other_rate: market.worth(other_rate),
            tried,
        },
        Wins::Widens => Reason::Widens { rate, other },
    }
}

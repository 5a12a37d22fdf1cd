//! The contest for one family's slots: who stays, who gets in, who goes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;

use super::{Candidate, Former, Incumbent, Left, Market, MarketConfig, elapsed};

/// Why a newcomer gets a slot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wins {
    /// Nobody held it.
    Free,
    /// It has a clear lead over the incumbent.
    Beats { other_rate: f64, served: Duration },
    /// The incumbent's term is over, and its remembered rate is not above.
    Succeeds { other_rate: f64, term: Duration },
    /// The incumbent's term is over, and it has to show that it still sends.
    Trial {
        other_rate: Option<f64>,
        term: Duration,
    },
    /// It was on trial, still sends, and takes its slot back from its guest.
    Returns { other_rate: f64, tried: Duration },
    /// It takes in the incumbent, and maybe others.
    Widens,
}

/// A newcomer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Challenge {
    pub(crate) candidate: Candidate,
    /// The incumbent whose slot it gets; `None` for a free one.
    pub(crate) out: Option<IpNet>,
    pub(crate) wins: Wins,
}

/// The outcome of a contest. Who stays or is new stands in the market's
/// incumbents.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seating {
    /// The newcomers: of the free slots first, the loudest first.
    pub(crate) newcomers: Vec<Challenge>,
}

/// A newcomer before the contest is over.
struct Fresh {
    candidate: Candidate,
    out: Option<IpNet>,
    wins: Wins,
}

/// A challenger's way to a slot.
enum Way {
    OverFresh(IpNet),
    OverIncumbent(IpNet, Wins),
}

struct Contest<'a> {
    market: &'a mut Market,
    measured: BTreeMap<IpNet, f64>,
    fresh: BTreeMap<IpNet, Fresh>,
    config: &'a MarketConfig,
    now: i64,
    trials: usize,
}

/// Who competes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Field {
    /// Those whose ban goes on, incumbents among them.
    pub(crate) candidates: BTreeMap<IpNet, Candidate>,
    /// Those of them that stand for several banned neighbours.
    pub(crate) shared: BTreeSet<IpNet>,
}

/// Settles who holds `slots` slots. `market` holds one family's incumbents that
/// are in a slot now and may stay in one, `field` all that compete, `newcomers` are
/// the ones that may get a slot.
pub(crate) fn contest(
    market: &mut Market,
    slots: usize,
    field: &Field,
    newcomer: impl Fn(&IpNet) -> bool,
    config: &MarketConfig,
    now: i64,
) -> Seating {
    let candidates = &field.candidates;
    for (network, incumbent) in &mut market.incumbents {
        if let Some(candidate) = candidates.get(network) {
            incumbent.measure(candidate.rate, now, config);
        }
    }
    let mut contest = Contest {
        trials: config.trials,
        measured: candidates
            .iter()
            .map(|(network, candidate)| (*network, candidate.rate))
            .collect(),
        fresh: BTreeMap::new(),
        market,
        config,
        now,
    };

    contest.widen(field, &newcomer);
    contest.shrink(slots);
    contest.judge(candidates, &newcomer);
    let mut challengers: Vec<Candidate> = candidates
        .values()
        .filter(|candidate| {
            !contest.market.incumbents.contains_key(&candidate.network)
                && !contest.fresh.contains_key(&candidate.network)
                && newcomer(&candidate.network)
        })
        .cloned()
        .collect();
    contest.fill(slots, &mut challengers);
    contest.challenge(challengers);
    Seating {
        newcomers: contest.finish(),
    }
}

impl Contest<'_> {
    /// Takes the quietest incumbents out of slots that are no more.
    fn shrink(&mut self, slots: usize) {
        while self.fresh.len() > slots {
            self.fresh.pop_first();
        }
        while self.market.incumbents.len() + self.fresh.len() > slots {
            let quietest = self
                .market
                .incumbents
                .values()
                .map(|incumbent| (self.worth(incumbent), incumbent.network))
                .min_by(by_worth);
            let Some((_, network)) = quietest else { break };
            self.demote(&network, Left::Outright);
        }
    }

    /// Gives networks that are shared from now on the slots of those they take in. One
    /// that may get no slot takes nobody's.
    fn widen(&mut self, field: &Field, newcomer: impl Fn(&IpNet) -> bool) {
        for network in &field.shared {
            let Some(candidate) = field.candidates.get(network) else {
                continue;
            };
            if !self.market.incumbents.contains_key(network) && !newcomer(network) {
                continue;
            }
            let inside: Vec<IpNet> = self
                .market
                .incumbents
                .keys()
                .filter(|other| *other != network && network.contains(*other))
                .copied()
                .collect();
            let mut rate = candidate.rate;
            for other in &inside {
                let incumbent = self.market.incumbents.remove(other);
                // Elsewhere what those in a slot are worth is in the sum already.
                if self.config.measure.is_blinded()
                    && let Some(incumbent) = incumbent
                {
                    let known = incumbent.remembered(self.now, self.config);
                    rate += known.unwrap_or(0.0);
                }
            }
            let Some(first) = inside.first() else {
                continue;
            };
            if !self.market.incumbents.contains_key(network) {
                let candidate = Candidate {
                    rate,
                    ..candidate.clone()
                };
                self.seat(candidate, Some(*first), Wins::Widens);
            }
        }
    }

    /// Gives those on trial that are seen to send their slots back, forgets those that
    /// were silent, and counts the trials that go on.
    fn judge(
        &mut self,
        candidates: &BTreeMap<IpNet, Candidate>,
        newcomer: impl Fn(&IpNet) -> bool,
    ) {
        let mut returning = Vec::new();
        let mut silent = Vec::new();
        for (network, former) in &self.market.former {
            let Left::OnTrial { guest } = former.left else {
                continue;
            };
            let rate = self.measured.get(network).copied().unwrap_or(0.0);
            if !former.is_on_probation(rate, self.now, self.config) {
                if rate < self.config.floor {
                    silent.push(*network);
                }
                continue;
            }
            let guest_rate = self
                .market
                .incumbents
                .get(&guest)
                .and_then(|guest| guest.remembered(self.now, self.config));
            match (guest_rate, candidates.get(network)) {
                (Some(other_rate), Some(candidate))
                    if self.config.beats(rate, other_rate) && newcomer(network) =>
                {
                    let tried = elapsed(former.since, self.now);
                    let wins = Wins::Returns { other_rate, tried };
                    returning.push((guest, candidate.clone(), wins));
                }
                _ => self.trials = self.trials.saturating_sub(1),
            }
        }
        for network in silent {
            self.market.former.remove(&network);
        }
        for (guest, candidate, wins) in returning {
            self.demote(&guest, Left::Outright);
            self.seat(candidate, Some(guest), wins);
        }
    }

    /// An incumbent's remembered rate; one that is not known counts as the
    /// highest, since nothing speaks against it.
    fn worth(&self, incumbent: &Incumbent) -> f64 {
        incumbent
            .remembered(self.now, self.config)
            .unwrap_or(f64::INFINITY)
    }

    fn demote(&mut self, network: &IpNet, left: Left) {
        if let Some(incumbent) = self.market.incumbents.remove(network) {
            let since = self.now;
            let former = Former {
                incumbent,
                since,
                left,
            };
            self.market.former.insert(*network, former);
        }
    }

    fn seat(&mut self, candidate: Candidate, out: Option<IpNet>, wins: Wins) {
        let fresh = Fresh {
            candidate,
            out,
            wins,
        };
        self.fresh.insert(fresh.candidate.network, fresh);
    }

    /// Free slots go to the most repeated, then the loudest, then the latest.
    fn fill(&mut self, slots: usize, challengers: &mut Vec<Candidate>) {
        let free = slots
            .saturating_sub(self.market.incumbents.len() + self.fresh.len())
            .min(challengers.len());
        challengers.sort_by(|a, b| {
            b.bancount
                .cmp(&a.bancount)
                .then_with(|| b.rate.total_cmp(&a.rate))
                .then_with(|| b.banned_since.cmp(&a.banned_since))
                .then_with(|| a.network.cmp(&b.network))
        });
        for candidate in challengers.drain(..free) {
            self.seat(candidate, None, Wins::Free);
        }
    }

    /// Contested slots go to the highest rate.
    fn challenge(&mut self, mut challengers: Vec<Candidate>) {
        challengers.retain(|candidate| self.may_challenge(candidate));
        // Popped from the end, so the loudest stands last.
        challengers.sort_by(quieter_first);
        while let Some(challenger) = challengers.pop() {
            let (out, wins) = match self.way(challenger.rate) {
                // Whoever is quieter finds no way either.
                None => break,
                Some(Way::OverFresh(network)) => {
                    let Some(beaten) = self.fresh.remove(&network) else {
                        break;
                    };
                    if self.may_challenge(&beaten.candidate) {
                        let at = challengers.partition_point(|other| {
                            quieter_first(other, &beaten.candidate).is_lt()
                        });
                        challengers.insert(at, beaten.candidate);
                    }
                    (beaten.out, beaten.wins)
                }
                Some(Way::OverIncumbent(network, wins)) => {
                    let left = if matches!(wins, Wins::Trial { .. }) {
                        self.trials -= 1;
                        let guest = challenger.network;
                        Left::OnTrial { guest }
                    } else {
                        Left::Outright
                    };
                    self.demote(&network, left);
                    (Some(network), wins)
                }
            };
            self.seat(challenger, out, wins);
        }
    }

    /// Whether it is loud enough to contest a slot, and has been counted long
    /// enough since it lost one.
    fn may_challenge(&self, candidate: &Candidate) -> bool {
        candidate.rate >= self.config.floor
            && !self
                .market
                .former
                .get(&candidate.network)
                .is_some_and(|it| it.is_on_probation(candidate.rate, self.now, self.config))
    }

    /// The slot that a challenger of this rate takes: the quietest of those that
    /// it may take outright, else one whose holder goes on trial.
    fn way(&self, rate: f64) -> Option<Way> {
        let (config, now) = (self.config, self.now);
        let fresh = self.fresh.values().filter_map(|fresh| {
            let other = &fresh.candidate;
            config.beats(rate, other.rate).then_some((
                other.rate,
                other.network,
                Way::OverFresh(other.network),
            ))
        });
        let held = self.market.incumbents.values().filter_map(|incumbent| {
            let other_rate = incumbent.remembered(now, config)?;
            let wins = if incumbent.may_be_beaten(now, config) && config.beats(rate, other_rate) {
                Wins::Beats {
                    other_rate,
                    served: incumbent.served(now),
                }
            } else if incumbent.term_is_over(now, config) && rate >= other_rate {
                Wins::Succeeds {
                    other_rate,
                    term: incumbent.term,
                }
            } else {
                return None;
            };
            let network = incumbent.network;
            Some((other_rate, network, Way::OverIncumbent(network, wins)))
        });
        fresh
            .chain(held)
            .min_by(|a, b| by_worth(&(a.0, a.1), &(b.0, b.1)))
            .map(|(_, _, way)| way)
            .or_else(|| self.trial(rate))
    }

    /// The incumbent to put on trial: one whose rate is not known, else the
    /// quietest. One that is seen to send at least as much needs no trial, and one
    /// that would lose more by it than the challenger can win is left in peace.
    fn trial(&self, rate: f64) -> Option<Way> {
        if self.trials == 0 {
            return None;
        }
        self.market
            .incumbents
            .values()
            .filter(|incumbent| {
                let measured = self.measured.get(&incumbent.network);
                incumbent.term_is_over(self.now, self.config)
                    && measured.is_none_or(|measured| *measured < rate)
            })
            .map(|incumbent| (incumbent, incumbent.remembered(self.now, self.config)))
            .filter(|(incumbent, remembered)| {
                let lost = remembered.unwrap_or(0.0) * self.config.probation.as_secs_f64();
                rate * incumbent.served(self.now).as_secs_f64() >= lost
            })
            .min_by(|(a, a_rate), (b, b_rate)| {
                let known = (a_rate.unwrap_or(-1.0), b_rate.unwrap_or(-1.0));
                by_worth(&(known.0, a.network), &(known.1, b.network))
            })
            .map(|(incumbent, other_rate)| {
                let term = incumbent.term;
                Way::OverIncumbent(incumbent.network, Wins::Trial { other_rate, term })
            })
    }

    /// Enters the newcomers in the market.
    fn finish(self) -> Vec<Challenge> {
        let Self {
            market,
            fresh,
            config,
            now,
            ..
        } = self;
        let mut newcomers: Vec<Challenge> = fresh
            .into_values()
            .map(|fresh| Challenge {
                candidate: fresh.candidate,
                out: fresh.out,
                wins: fresh.wins,
            })
            .collect();
        newcomers.sort_by(|a, b| {
            (a.wins != Wins::Free)
                .cmp(&(b.wins != Wins::Free))
                .then_with(|| quieter_first(&b.candidate, &a.candidate))
        });
        for Challenge { candidate, .. } in &newcomers {
            let term = market.term_for(candidate, config);
            market.former.remove(&candidate.network);
            market.incumbents.insert(
                candidate.network,
                Incumbent {
                    network: candidate.network,
                    since: now,
                    rate: Some(candidate.rate),
                    measured: now,
                    term,
                },
            );
        }
        let memory = config.longest_term.max(config.probation);
        market
            .former
            .retain(|_, former| elapsed(former.since, now) < memory);
        newcomers
    }
}

fn by_worth(a: &(f64, IpNet), b: &(f64, IpNet)) -> Ordering {
    a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1))
}

/// The quieter first, and of equals the higher address.
fn quieter_first(a: &Candidate, b: &Candidate) -> Ordering {
    a.rate
        .total_cmp(&b.rate)
        .then_with(|| b.network.cmp(&a.network))
}

//! What nobody can exceed in the mean who learns from packets that it has seen.
//!
//! A policy knows the bans, and what banned sources have sent so far. Suppose that it
//! knows by what law they were drawn, too, that it is never blind, and that it may
//! make as many calls as it likes. What it holds then changes neither what it sees nor
//! what the sources do, and the packets stopped add up over the seconds. So the best
//! that it can do in expectation is to do the best in each second: to hold those
//! from which most packets are to be expected, given all that it has seen. That is
//! what is done here. Blindness, a budget, and not to know the law can only take from it.
//!
//! Sources are drawn independently, so that each has an expectation of its own. For SSH
//! brute force that is Bayes' rule ([`belief`]), with the law of the durations and rates
//! that the generator draws from. For floods and pulses more is known than any policy
//! can see: each source's rate, and in each second whether it sent in the one before,
//! and since when. That is a bound all the more, and hardly a looser one, since
//! tens of packets a second tell as much.
//!
//! It is a bound in expectation: on one trace a policy may be luckier, by little
//! where sources are many. It holds for slots of one source each, as the optimum's are.

mod belief;

use std::collections::BTreeMap;

use nicban::nacl::acl::FAMILIES;

use super::law::{Law, Pace};
use super::seats::Seats;
use super::tally::Tally;
use super::trace::{Ban, Drawn, Source, Trace};
use belief::Belief;

/// Runs it over a trace; `None` if not all sources were drawn by a law that is known.
/// What is chosen at the beginning of a second works so many seconds later: at 0 no
/// policy stops more in the mean, and at [`LATENCY`](super::slots::LATENCY) none that
/// works through EC2.
pub(super) fn run(trace: &Trace, late: u32) -> Option<Tally> {
    Run::of(trace, late).map(|run| run.tally)
}

/// What came of it.
#[derive(Debug, Default)]
struct Run {
    tally: Tally,
    /// Packets that those held were expected to send.
    hoped: f64,
}

impl Run {
    fn of(trace: &Trace, late: u32) -> Option<Self> {
        let mut begins: BTreeMap<u32, Vec<(u32, Ban)>> = BTreeMap::new();
        for (index, source) in (0_u32..).zip(&trace.sources) {
            source.drawn.as_ref()?;
            for ban in &source.bans {
                begins.entry(ban.from).or_default().push((index, *ban));
            }
        }
        let mut run = Self::default();
        let mut seats = Seats::new();
        let mut watched: BTreeMap<u32, Watched<'_>> = BTreeMap::new();
        let mut heard = vec![0; trace.sources.len()];
        for (second, arrivals) in (0_u32..).zip(&trace.seconds) {
            run.tally.sent += arrivals.iter().map(|it| f64::from(it.rate)).sum::<f64>();
            for (index, ban) in begins.remove(&second).unwrap_or_default() {
                let source = &trace.sources[index as usize];
                let watched = watched.entry(index);
                watched
                    .and_modify(|it| it.banned(ban))
                    .or_insert(Watched::new(source, ban)?);
            }
            let works = second + late;
            let sent = trace.seconds.get(works as usize);
            let rates: Vec<(u32, f64)> = sent
                .into_iter()
                .flatten()
                .map(|it| (it.source, f64::from(it.rate)))
                .collect();
            let expected: Vec<(u32, f64)> = watched
                .iter()
                .map(|(index, it)| (*index, it.expected(second, works)))
                .collect();
            for family in FAMILIES {
                let held = seats.give(trace, family, works, expected.iter().copied());
                // What is chosen for after the end is nobody's to judge.
                if sent.is_some() {
                    let hoped = expected.iter().filter(|(source, _)| held.contains(source));
                    run.hoped += hoped.map(|(_, packets)| packets).sum::<f64>();
                }
                let stopped = rates.iter().filter(|(source, _)| held.contains(source));
                run.tally.stopped += stopped.map(|(_, rate)| rate).sum::<f64>();
            }
            for arrival in arrivals {
                heard[arrival.source as usize] = arrival.packets;
            }
            for (index, it) in &mut watched {
                if it.ban.covers(second) {
                    it.hear(heard[*index as usize]);
                }
            }
            for arrival in arrivals {
                heard[arrival.source as usize] = 0;
            }
        }
        run.tally.changes = seats.changes();
        Some(run)
    }
}

/// A source that has been banned.
#[derive(Debug)]
struct Watched<'t> {
    drawn: &'t Drawn,
    /// The ban in force, or the last one.
    ban: Ban,
    /// What its packets tell, if nothing else does.
    belief: Option<Belief>,
}

impl<'t> Watched<'t> {
    fn new(source: &'t Source, ban: Ban) -> Option<Self> {
        let drawn = source.drawn.as_ref()?;
        let belief = match &drawn.law.pace {
            Pace::Told => None,
            Pace::Drawn(rates) => {
                let from = drawn.phases.first()?.from;
                Some(Belief::new(rates, drawn.law.lasts, from, ban.from))
            }
        };
        Some(Self { drawn, ban, belief })
    }

    /// It is banned anew: a ban begins when its source sends.
    fn banned(&mut self, ban: Ban) {
        self.ban = ban;
        if let Some(belief) = &mut self.belief {
            belief.sends_in(ban.from);
        }
    }

    fn hear(&mut self, packets: u32) {
        if let Some(belief) = &mut self.belief {
            belief.hear(packets);
        }
    }

    /// What it is expected to send in a second, at the beginning of another.
    fn expected(&self, now: u32, second: u32) -> f64 {
        if !self.ban.covers(now) || !self.ban.covers(second) {
            return 0.0;
        }
        match &self.belief {
            Some(belief) => belief.expected(second),
            // A ban begins when its source sends.
            None if self.ban.from == now => self.drawn.told(now, second),
            None => self.drawn.told(now - 1, second),
        }
    }
}

impl Drawn {
    /// What it is expected to send in a second, of one whose rate is known, and what it
    /// did up to another one, `known`. The next pause and what follows it are both
    /// longer than it takes from the one to the other.
    fn told(&self, known: u32, second: u32) -> f64 {
        let Law {
            lasts,
            head_start,
            pause,
            ..
        } = &self.law;
        let Some(phase) = self.phases.iter().rfind(|phase| phase.from <= known) else {
            return 0.0;
        };
        let likely = if known < phase.until {
            lasts.goes_on(known - phase.from + head_start, second - known)
        } else {
            let (paused, until) = (known + 1 - phase.until, second - phase.until);
            pause.map_or(0.0, |pause| pause.is_over(paused, until))
        };
        likely * phase.rate
    }
}

#[cfg(test)]
mod tests;

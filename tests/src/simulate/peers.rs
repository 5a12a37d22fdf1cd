//! What others do with the slots.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;
use nicban::nacl::acl::{FAMILIES, Family};
use nicban::rank::{Counter, RankConfig, Ranking};

use super::slots::{SLOTS, Slots};
use super::tally::Tally;
use super::trace::Trace;

/// A way to choose who holds the slots.
pub(super) trait Policy {
    /// The sources of a family that shall hold slots, the most wanted first, at
    /// most [`SLOTS`]. `bans` are those in force, by the second of their beginning.
    fn choose(&mut self, family: Family, bans: &BTreeSet<(u32, u32)>, trace: &Trace) -> Vec<u32>;

    /// Takes in what every banned source sent in a second, stopped or not.
    fn watch(&mut self, _second: u32, _trace: &Trace) {}

    /// A ban has ended.
    fn forget(&mut self, _source: u32, _trace: &Trace) {}
}

/// Runs a policy over a trace. It gets the same EC2 as nicban, and all calls that
/// EC2 allows.
pub(super) fn run(trace: &Trace, policy: &mut dyn Policy) -> Tally {
    let mut slots = Slots::new(trace);
    let mut tally = Tally::default();
    let mut bans: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut turns: BTreeMap<u32, Vec<(u32, u32, bool)>> = BTreeMap::new();
    for (index, source) in (0_u32..).zip(&trace.sources) {
        for ban in &source.bans {
            let end = turns.entry(ban.until).or_default();
            end.push((index, ban.from, false));
            let begin = turns.entry(ban.from).or_default();
            begin.push((index, ban.from, true));
        }
    }
    for (second, arrivals) in (0_u32..).zip(&trace.seconds) {
        for (source, from, begins) in turns.remove(&second).unwrap_or_default() {
            if begins {
                bans.insert((from, source));
            } else {
                bans.remove(&(from, source));
                policy.forget(source, trace);
            }
        }
        slots.take_effect(second);
        for arrival in arrivals {
            let rate = f64::from(arrival.rate);
            tally.sent += rate;
            if slots.denies(arrival.source) {
                tally.stopped += rate;
            }
        }
        policy.watch(second, trace);
        for family in FAMILIES {
            let wanted = policy.choose(family, &bans, trace);
            slots.give(family, &wanted, second + 1);
        }
    }
    tally.changes = slots.changes();
    tally
}

fn of_family(bans: impl Iterator<Item = u32>, family: Family, trace: &Trace) -> Vec<u32> {
    bans.filter(|source| trace.sources[*source as usize].family() == family)
        .take(SLOTS)
        .collect()
}

/// The earliest bans keep the slots until they end: what every tool found does.
#[derive(Debug)]
pub(super) struct FirstCome;

impl Policy for FirstCome {
    fn choose(&mut self, family: Family, bans: &BTreeSet<(u32, u32)>, trace: &Trace) -> Vec<u32> {
        of_family(bans.iter().map(|(_, source)| *source), family, trace)
    }
}

/// Each new ban takes the slot of the least recent one.
#[derive(Debug)]
pub(super) struct LeastRecent;

impl Policy for LeastRecent {
    fn choose(&mut self, family: Family, bans: &BTreeSet<(u32, u32)>, trace: &Trace) -> Vec<u32> {
        of_family(bans.iter().rev().map(|(_, source)| *source), family, trace)
    }
}

/// The clairvoyant as late as EC2 makes it: it knows each source's true rate in the
/// second in which it acts, but its calls work no sooner than anyone's. Of equals
/// those stay that hold a slot, and so do those that send nothing until someone
/// else wants theirs. What it misses is the price of reacting through EC2 at all.
#[derive(Debug, Default)]
pub(super) struct LateOptimum {
    /// What each source sends in the second that begins, in packets/s.
    rates: BTreeMap<u32, f32>,
    holders: BTreeSet<u32>,
}

impl Policy for LateOptimum {
    fn watch(&mut self, second: u32, trace: &Trace) {
        let next = trace.seconds.get(second as usize + 1);
        self.rates = next
            .into_iter()
            .flatten()
            .map(|it| (it.source, it.rate))
            .collect();
    }

    fn forget(&mut self, source: u32, _trace: &Trace) {
        self.holders.remove(&source);
    }

    fn choose(&mut self, family: Family, _bans: &BTreeSet<(u32, u32)>, trace: &Trace) -> Vec<u32> {
        let ours = |source: &u32| trace.sources[*source as usize].family() == family;
        let idle = self
            .holders
            .iter()
            .filter(|source| !self.rates.contains_key(source));
        let rates = self.rates.iter().map(|(source, rate)| (*source, *rate));
        let mut wanted: Vec<(u32, f32)> = rates
            .chain(idle.map(|source| (*source, 0.0)))
            .filter(|(source, _)| ours(source))
            .collect();
        wanted.sort_by(|(a, a_rate), (b, b_rate)| {
            let stays = |source| self.holders.contains(source);
            b_rate
                .total_cmp(a_rate)
                .then_with(|| stays(b).cmp(&stays(a)))
        });
        let wanted: Vec<u32> = wanted
            .into_iter()
            .map(|(source, _)| source)
            .take(SLOTS)
            .collect();
        self.holders.retain(|source| !ours(source));
        self.holders.extend(&wanted);
        wanted
    }
}

/// The highest rates of this second, by nicban's own ranking, but with counters
/// that see what the slots stop, which no host can have; and without hysteresis.
#[derive(Debug)]
pub(super) struct LoudestNow {
    ranking: Ranking,
    counters: BTreeMap<IpNet, Counter>,
    sources: BTreeMap<IpNet, u32>,
}

impl LoudestNow {
    pub(super) fn new(trace: &Trace, config: RankConfig) -> Self {
        let mut ranking = Ranking::new(config);
        ranking.observe(Duration::ZERO, []);
        let networks = trace.sources.iter().map(|source| source.network);
        Self {
            ranking,
            counters: BTreeMap::new(),
            sources: networks.zip(0_u32..).collect(),
        }
    }
}

impl Policy for LoudestNow {
    fn watch(&mut self, second: u32, trace: &Trace) {
        for arrival in &trace.seconds[second as usize] {
            let network = trace.sources[arrival.source as usize].network;
            *self.counters.entry(network).or_default() += Counter {
                packets: arrival.packets.into(),
                bytes: 0,
            };
        }
        let now = Duration::from_secs(u64::from(second) + 1);
        let samples = self.counters.iter();
        let samples = samples.map(|(network, counter)| (*network, *counter));
        for network in self.ranking.observe(now, samples).idle {
            self.counters.remove(&network);
        }
    }

    fn forget(&mut self, source: u32, trace: &Trace) {
        let network = trace.sources[source as usize].network;
        self.counters.remove(&network);
        self.ranking.forget(&network);
    }

    fn choose(&mut self, family: Family, _bans: &BTreeSet<(u32, u32)>, _trace: &Trace) -> Vec<u32> {
        self.ranking
            .loudest_where(SLOTS, |network| Family::of(network) == family)
            .iter()
            .filter_map(|offender| self.sources.get(&offender.network).copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::optimum;
    use crate::simulate::trace::{Draft, Phase};

    #[test]
    fn the_late_optimum_misses_what_is_sent_until_its_calls_work_and_no_more() {
        let mut draft = Draft::default();
        let (slots, late) = (u32::try_from(SLOTS).unwrap(), 3.0);
        for host in 0..2 * slots {
            // Those that come second are louder, and put the first out.
            let second = host / slots;
            let phase = Phase {
                from: 200 * second,
                until: 505,
                rate: 1.0 + f64::from(second),
            };
            let network = format!("192.0.2.{host}/32").parse().unwrap();
            draft.add(network, vec![phase]);
        }
        let trace = draft.trace("test", 1, 505);
        let best = optimum::run(&trace);
        let found = run(&trace, &mut LateOptimum::default());
        assert_eq!(found.changes, u64::from(2 * slots));
        assert_eq!(found.changes, best.changes);
        // At first what all send; then the difference to those that they put out.
        let missed = f64::from(slots) * late * (1.0 + 1.0);
        assert!(
            (best.stopped - found.stopped - missed).abs() < 1e-6,
            "{found:?} {best:?}"
        );
    }
}

//! What no policy can exceed with a given number of calls, however clairvoyant.
//!
//! The best schedule under a budget is a large integer program: choose for each
//! ban i and second t whether it is in a slot (x = 1), so that at most k of a
//! family are in at a time and the entries (x rises from 0 to 1, one call each)
//! are at most N in all; gain the sum of r x, r the packets that i sends in t.
//!
//! [`Bound`] is its Lagrangian dual, hence an upper bound for whatever prices one
//! takes (weak duality): let a slot cost m(t) ≥ 0 in second t and an entry cost
//! c ≥ 0. For each schedule that keeps to the limits,
//!
//! ```text
//! gain ≤ sum of r x + sum over t of m(t) (k − sum over i of x) + c (N − entries)
//!      = k sum of m + c N + sum over i of (sum over t of (r − m) x − c entries)
//! ```
//!
//! and the last sum falls apart into one small problem for each ban: when to
//! be in, if a second in costs m and an entry c. That is solved exactly, forwards
//! in time. The least value over the prices that are tried is the bound. With
//! c = 0 and m(t) the (k + 1)-th rate it is the optimum without a budget, so the
//! bound never exceeds that. The token bucket's bursts, the calls that take a
//! deny out, latency and blindness are all left away, which can only raise it.

use nicban::nacl::acl::{FAMILIES, Family};

use super::slots::SLOTS;
use super::trace::Trace;

/// Seconds over which the slots' price is averaged, in turn.
const SMOOTHED: [usize; 4] = [1, 60, 300, 1_200];

/// Prices of an entry that are tried, in packets: these powers of 2.
const ENTRY_POWERS: std::ops::RangeInclusive<i32> = -2..=24;

/// The dual's value less c N, for the prices that were tried.
#[derive(Debug)]
pub(super) struct Bound {
    /// c, and the rest of the dual.
    values: Vec<(f64, f64)>,
}

/// One family's part of a trace.
struct Part {
    /// For each ban the seconds in which its source sends, with packets/s.
    bans: Vec<Vec<(usize, f64)>>,
    /// The rate of the first that finds no slot, by second.
    marginal: Vec<f64>,
}

impl Part {
    fn of(trace: &Trace, family: Family) -> Self {
        let mut bans: Vec<Vec<(usize, f64)>> = Vec::new();
        // Of each source the ban under way: its place above, and its end.
        let mut under_way = vec![(0, 0_u32); trace.sources.len()];
        let mut marginal = Vec::with_capacity(trace.seconds.len());
        for (at, arrivals) in (0_u32..).zip(&trace.seconds) {
            let second = marginal.len();
            let mut rates = Vec::new();
            for arrival in arrivals {
                let source = arrival.source as usize;
                if trace.sources[source].family() == family {
                    let rate = f64::from(arrival.rate);
                    let (place, until) = &mut under_way[source];
                    if at >= *until {
                        let mut all = trace.sources[source].bans.iter();
                        let ban = all.find(|ban| (ban.from..ban.until).contains(&at));
                        *until = ban.map_or(0, |ban| ban.until);
                        *place = bans.len();
                        bans.push(Vec::new());
                    }
                    bans[*place].push((second, rate));
                    rates.push(rate);
                }
            }
            rates.sort_unstable_by(|a, b| b.total_cmp(a));
            marginal.push(rates.get(SLOTS).copied().unwrap_or(0.0));
        }
        Self { bans, marginal }
    }

    /// The dual at these prices, less c N.
    fn dual(&self, slot: &[f64], entry: f64) -> f64 {
        // What a slot has cost up to a second.
        let mut spent = Vec::with_capacity(slot.len());
        let mut sum = 0.0;
        for cost in slot {
            spent.push(sum);
            sum += cost;
        }
        let slots = f64::from(u32::try_from(SLOTS).unwrap_or(u32::MAX));
        let mut dual = slots * sum;
        for seconds in &self.bans {
            let (mut out, mut inside, mut last) = (0.0_f64, f64::NEG_INFINITY, 0);
            for (second, rate) in seconds {
                let idle = spent[*second] - spent[last];
                // To enter before one sends never pays: m ≥ 0, and c is always the same.
                inside = (inside - idle).max(out - entry) + rate - slot[*second];
                out = out.max(inside);
                last = second + 1;
            }
            dual += out;
        }
        dual
    }
}

impl Bound {
    /// Tries the prices.
    pub(super) fn of(trace: &Trace) -> Self {
        let parts = FAMILIES.map(|family| Part::of(trace, family));
        let mut values = Vec::new();
        for width in SMOOTHED {
            let slots = parts.each_ref().map(|part| smooth(&part.marginal, width));
            for scale in [1.0, 0.5] {
                let slots = slots
                    .each_ref()
                    .map(|slot| slot.iter().map(|price| price * scale).collect::<Vec<_>>());
                for entry in [0.0]
                    .into_iter()
                    .chain(ENTRY_POWERS.map(f64::from).map(f64::exp2))
                {
                    let dual = parts
                        .iter()
                        .zip(&slots)
                        .map(|(part, slot)| part.dual(slot, entry));
                    values.push((entry, dual.sum()));
                }
            }
        }
        Self { values }
    }

    /// Packets that can be stopped with this many entries, at the most.
    pub(super) fn with(&self, calls: f64) -> f64 {
        let values = self.values.iter();
        values
            .map(|(entry, rest)| entry * calls + rest)
            .fold(f64::INFINITY, f64::min)
    }
}

impl Bound {
    /// Entries without which nobody stops so many packets.
    pub(super) fn calls_for(&self, packets: f64) -> f64 {
        // entry * calls + rest ≥ packets has to hold for each pair of prices.
        let values = self.values.iter().filter(|(entry, _)| *entry > 0.0);
        values
            .map(|(entry, rest)| (packets - rest) / entry)
            .fold(0.0, f64::max)
    }
}

/// The mean around each second.
fn smooth(values: &[f64], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0];
    let mut sum = 0.0;
    for value in values {
        sum += value;
        sums.push(sum);
    }
    (0..values.len())
        .map(|at| {
            let from = at.saturating_sub(width / 2);
            let until = (at + width.div_ceil(2)).min(values.len());
            let count = u32::try_from(until - from).unwrap_or(u32::MAX);
            (sums[until] - sums[from]) / f64::from(count)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::optimum;
    use crate::simulate::trace::{Draft, Phase};

    /// Twice as many sources as slots, that take turns of 100 s.
    fn turns() -> Trace {
        let mut draft = Draft::default();
        for host in 0..36_u32 {
            let phases = (0..10)
                .map(|turn| (2 * turn + host % 2) * 100)
                .map(|from| Phase {
                    from,
                    until: from + 100,
                    rate: 10.0,
                });
            let network = format!("192.0.2.{host}/32").parse().unwrap();
            draft.add(network, phases.collect());
        }
        draft.trace("turns", 1, 2_000)
    }

    #[test]
    fn with_calls_enough_it_is_the_optimum() {
        let trace = turns();
        let bound = Bound::of(&trace).with(1e9);
        let optimum = optimum::run(&trace).stopped;
        assert!((bound / optimum - 1.0).abs() < 1e-9, "{bound} {optimum}");
    }

    #[test]
    fn without_calls_nothing_is_stopped_and_each_one_buys_little() {
        let trace = turns();
        let bound = Bound::of(&trace);
        let optimum = optimum::run(&trace).stopped;
        assert!(bound.with(0.0) < 1e-6);
        // Every other source, held through each of its bans, stops half of the packets.
        let every_other = trace.sources.iter().step_by(2);
        let calls = every_other.map(|source| source.bans.len()).sum::<usize>();
        let half = bound.with(f64::from(u32::try_from(calls).unwrap()));
        assert!(half > 0.49 * optimum, "a bound: {half} {optimum}");
        assert!(half < 0.9 * optimum, "below the optimum: {half} {optimum}");
        // Nobody gets further with so few calls than the bound says.
        let needed = bound.calls_for(0.49 * optimum);
        assert!(needed > 18.0 && needed < f64::from(u32::try_from(calls).unwrap()));
    }
}

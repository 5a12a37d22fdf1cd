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
//! in time. Each family has its own m, and c is common to both; the least value
//! over the prices that are tried is the bound.
//!
//! With c = 0 and m(t) the (k + 1)-th rate of each second the dual is the optimum
//! without a budget, so the bound never exceeds that. For each c > 0 the prices m
//! stay the same for some seconds, and start from the (k + 1)-th of the sources'
//! mean rates. A mean takes in the pauses, which matters: where sources pause in
//! turns there are never more than k that send, and yet who would hold them all
//! needs more than k slots, or an entry for each turn. Subgradient steps make the
//! best of these starts better.
//!
//! The token bucket's bursts, the calls that take a deny out, looks, latency and
//! blindness are all left away, which can only raise the bound. It holds for slots
//! of one source each, as the optimum's are: an entry for a whole network is none
//! of the schedules above, and may exceed it.

mod full;
mod part;
mod prices;

use nicban::nacl::acl::FAMILIES;

pub(super) use full::entries as entries_of_full_slots;

use super::trace::Trace;
use part::Part;
use prices::Search;

/// Prices of an entry that are tried, in packets: these powers of 2.
const ENTRY_POWERS: std::ops::RangeInclusive<i32> = -4..=24;

/// The dual's value less c N, for the prices that were tried.
#[derive(Debug)]
pub(super) struct Bound {
    /// c, and the rest of the dual.
    values: Vec<(f64, f64)>,
}

impl Bound {
    /// Tries the prices.
    pub(super) fn of(trace: &Trace) -> Self {
        let parts = FAMILIES.map(|family| Part::of(trace, family));
        let unbudgeted = parts.iter().map(|part| part.unbudgeted).sum();
        let mut values = vec![(0.0, unbudgeted)];
        let mut searches = parts.each_ref().map(Search::new);
        for entry in ENTRY_POWERS.map(f64::from).map(f64::exp2) {
            let least = searches.iter_mut().map(|search| search.least(entry));
            values.push((entry, least.sum()));
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

    /// Entries without which nobody stops so many packets.
    pub(super) fn calls_for(&self, packets: f64) -> f64 {
        // entry * calls + rest ≥ packets has to hold for each pair of prices.
        let values = self.values.iter().filter(|(entry, _)| *entry > 0.0);
        values
            .map(|(entry, rest)| (packets - rest) / entry)
            .fold(0.0, f64::max)
    }
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

    #[test]
    fn where_sources_take_turns_holding_them_is_not_enough() {
        let trace = turns();
        let bound = Bound::of(&trace);
        let optimum = optimum::run(&trace);
        // Each group in the slots throughout: an entry for each of its bans.
        let held = trace.sources.iter().step_by(2);
        let holding = held.map(|source| source.bans.len()).sum::<usize>();
        let holding = f64::from(u32::try_from(holding).unwrap());
        let needed = bound.calls_for(0.95 * optimum.stopped);
        assert!(needed > 4.0 * holding, "{needed} {holding}");
        // And it is a bound: the optimum gets there.
        assert!(needed <= f64::from(u32::try_from(optimum.changes).unwrap()));
    }
}

//! The entries that full slots take at the least.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use nicban::nacl::acl::{FAMILIES, Family};

use crate::simulate::slots::SLOTS;
use crate::simulate::trace::Trace;

/// Entries that anyone makes who leaves no slot free while there is a ban to fill it with,
/// and denies nobody beyond a ban's end: one source to a slot.
///
/// Each entry covers a slot to its ban's end at the most. So this is a covering of time by
/// intervals, and the greedy choice takes the fewest: where a slot is free, the ban that
/// lasts longest. An exchange shows it: whatever else is chosen there ends no later, so that
/// the longest one can take its place from then on, and does all that it would have done.
pub(in crate::simulate) fn entries(trace: &Trace) -> u64 {
    FAMILIES
        .map(|family| entries_of(trace, family))
        .iter()
        .sum()
}

fn entries_of(trace: &Trace, family: Family) -> u64 {
    let length = u32::try_from(trace.seconds.len()).unwrap_or(u32::MAX);
    let sources = trace.sources.iter();
    let mut bans: Vec<(u32, u32)> = sources
        .filter(|source| source.family() == family)
        .flat_map(|source| &source.bans)
        .map(|ban| (ban.from, ban.until))
        .collect();
    let mut moments: Vec<u32> = bans
        .iter()
        .flat_map(|(from, until)| [*from, *until])
        .collect();
    moments.retain(|moment| *moment < length);
    moments.sort_unstable();
    moments.dedup();
    // The next to begin last.
    bans.sort_unstable_by(|a, b| b.cmp(a));

    let mut waiting: BinaryHeap<u32> = BinaryHeap::new();
    let mut holding: BinaryHeap<Reverse<u32>> = BinaryHeap::new();
    let mut entries = 0;
    for now in moments {
        while holding.peek().is_some_and(|Reverse(until)| *until <= now) {
            holding.pop();
        }
        while let Some((_, until)) = bans.pop_if(|(from, _)| *from <= now) {
            waiting.push(until);
        }
        while holding.len() < SLOTS {
            // Of those that wait, this one lasts longest.
            let Some(until) = waiting.pop().filter(|until| *until > now) else {
                break;
            };
            holding.push(Reverse(until));
            entries += 1;
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::trace::{Draft, Phase};

    /// Sources of `192.0.2.0/24` that send in these seconds, each banned 5 s later for 600 s.
    fn trace(times: impl IntoIterator<Item = (u32, u32)>) -> Trace {
        let mut draft = Draft::default();
        for (host, (from, until)) in times.into_iter().enumerate() {
            let network = format!("192.0.2.{host}/32").parse().unwrap();
            let rate = 1.0;
            draft.add(network, vec![Phase { from, until, rate }]);
        }
        draft.trace("test", 1, 3_000)
    }

    #[test]
    fn bans_that_all_find_a_slot_take_an_entry_each() {
        assert_eq!(entries(&trace([])), 0);
        assert_eq!(entries(&trace([(0, 10); 18])), 18);
        // Those that wait are banned no longer when a slot is free again.
        assert_eq!(entries(&trace([(0, 10); 40])), 18);
    }

    #[test]
    fn a_freed_slot_goes_to_the_ban_that_lasts_longest() {
        // 18 hold the slots for 5..605. At their end ten bans have 1 s left, which would
        // leave ten slots free again, and twenty have 300 s.
        let first = [(0, 10); 18].into_iter();
        let short = [(1, 10); 10].into_iter();
        let long = [(300, 310); 20].into_iter();
        let trace = trace(first.chain(short).chain(long));
        assert_eq!(entries(&trace), 18 + 18);
    }
}

//! The clairvoyant optimum: at every second the highest true rates, however many calls it takes.

use std::collections::BTreeSet;

use nicban::nacl::acl::{FAMILIES, Family};

use super::slots::SLOTS;
use super::tally::Tally;
use super::trace::{Arrival, Trace};

/// Runs the optimum over a trace. Its calls take no time. It makes none that it
/// need not: of equals those stay that hold a slot, and so do those that send
/// nothing, until someone else wants theirs or their ban ends.
pub(super) fn run(trace: &Trace) -> Tally {
    let mut tally = Tally::default();
    let mut holders = FAMILIES.map(|_| BTreeSet::<u32>::new());
    for (second, arrivals) in (0_u32..).zip(&trace.seconds) {
        for arrival in arrivals {
            tally.sent += f64::from(arrival.rate);
        }
        for (family, holders) in FAMILIES.into_iter().zip(&mut holders) {
            let banned = |source: &u32| {
                let mut bans = trace.sources[*source as usize].bans.iter();
                bans.any(|ban| ban.covers(second))
            };
            let before = holders.len();
            holders.retain(banned);
            let mut freed = before - holders.len();

            let best = best(trace, arrivals, family, holders);
            let wanted: BTreeSet<u32> = best.iter().map(|arrival| arrival.source).collect();
            tally.stopped += best.iter().map(|it| f64::from(it.rate)).sum::<f64>();
            for source in &wanted {
                if holders.insert(*source) {
                    // A deny whose ban has ended is replaced, in one call.
                    freed = freed.saturating_sub(1);
                    tally.changes += 1;
                }
            }
            tally.changes += freed as u64;
            while holders.len() > SLOTS {
                let idle = holders.iter().find(|it| !wanted.contains(it)).copied();
                let Some(idle) = idle else { break };
                holders.remove(&idle);
            }
        }
    }
    tally
}

/// The sources of a family that send most in a second; of equals those that hold
/// a slot.
fn best<'a>(
    trace: &Trace,
    arrivals: &'a [Arrival],
    family: Family,
    holders: &BTreeSet<u32>,
) -> Vec<&'a Arrival> {
    let mut sending: Vec<(bool, &Arrival)> = arrivals
        .iter()
        .filter(|it| trace.sources[it.source as usize].family() == family)
        .map(|it| (holders.contains(&it.source), it))
        .collect();
    sending.sort_unstable_by(|(a_in, a), (b_in, b)| {
        b.rate
            .total_cmp(&a.rate)
            .then_with(|| b_in.cmp(a_in))
            .then_with(|| a.source.cmp(&b.source))
    });
    sending.truncate(SLOTS);
    sending.into_iter().map(|(_, arrival)| arrival).collect()
}

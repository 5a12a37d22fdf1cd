//! The slots of who makes as many calls as it likes, none of which takes time.

use std::collections::BTreeSet;

use nicban::nacl::acl::{FAMILIES, Family};

use super::slots::SLOTS;
use super::trace::Trace;

/// The slots of both families, given anew each second to those that are worth most.
#[derive(Debug)]
pub(super) struct Seats {
    holders: [BTreeSet<u32>; 2],
    changes: u64,
}

impl Seats {
    pub(super) fn new() -> Self {
        Self {
            holders: FAMILIES.map(|_| BTreeSet::new()),
            changes: 0,
        }
    }

    /// Calls that were made so far.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Gives a family's slots to the sources that are worth most in a second, at most
    /// [`SLOTS`] of them, and tells which those are. Makes no call that it need not: of
    /// equals those stay that hold a slot, and so do those that are worth nothing, until
    /// someone else wants theirs or their ban ends.
    pub(super) fn give(
        &mut self,
        trace: &Trace,
        family: Family,
        second: u32,
        worth: impl Iterator<Item = (u32, f64)>,
    ) -> BTreeSet<u32> {
        let holders = &mut self.holders[usize::from(family == Family::V6)];
        let banned = |source: &u32| {
            let mut bans = trace.sources[*source as usize].bans.iter();
            bans.any(|ban| ban.covers(second))
        };
        let before = holders.len();
        holders.retain(banned);
        let mut freed = before - holders.len();

        let mut all: Vec<(u32, f64, bool)> = worth
            .filter(|(source, worth)| {
                *worth > 0.0 && trace.sources[*source as usize].family() == family
            })
            .map(|(source, worth)| (source, worth, holders.contains(&source)))
            .collect();
        all.sort_unstable_by(|(a, a_worth, a_in), (b, b_worth, b_in)| {
            b_worth
                .total_cmp(a_worth)
                .then_with(|| b_in.cmp(a_in))
                .then_with(|| a.cmp(b))
        });
        let wanted: BTreeSet<u32> = all.iter().take(SLOTS).map(|it| it.0).collect();
        for source in &wanted {
            if holders.insert(*source) {
                // A deny whose ban has ended is replaced, in one call.
                freed = freed.saturating_sub(1);
                self.changes += 1;
            }
        }
        self.changes += freed as u64;
        while holders.len() > SLOTS {
            let idle = holders.iter().find(|it| !wanted.contains(it)).copied();
            let Some(idle) = idle else { break };
            holders.remove(&idle);
        }
        wanted
    }
}

//! The slots of a policy that is not nicban's: who holds them, and since when that works.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use nicban::nacl::acl::{FAMILIES, Family};
use nicban::nacl::budget::{Allowance, Budget};

use super::ec2::{ANSWER, EFFECT};
use super::trace::Trace;

/// Slots of a family: what the quota leaves beside the allow and the default deny.
pub(super) const SLOTS: usize = 18;

/// What EC2 lets an account make of changes: 50 at once, 5/s ("Request throttling
/// for the Amazon EC2 API").
const EC2: Allowance = Allowance {
    burst: NonZeroU32::new(50).expect("not 0"),
    period: Duration::from_millis(200),
};

/// What a policy chooses at the beginning of a second works from this many later on.
#[expect(clippy::cast_possible_truncation, reason = "seconds")]
pub(super) const LATENCY: u32 = ANSWER.saturating_add(EFFECT).as_secs() as u32 + 1;

/// The slots of both families.
#[derive(Debug)]
pub(super) struct Slots {
    /// As acknowledged: IPv4's, then IPv6's.
    holders: [Vec<Option<u32>>; 2],
    /// Seconds from which a source is denied, or no longer is.
    pending: VecDeque<(u32, u32, bool)>,
    denied: Vec<bool>,
    budget: Budget,
    changes: u64,
}

impl Slots {
    pub(super) fn new(trace: &Trace) -> Self {
        Self {
            holders: FAMILIES.map(|_| vec![None; SLOTS]),
            pending: VecDeque::new(),
            denied: vec![false; trace.sources.len()],
            budget: Budget::new(EC2),
            changes: 0,
        }
    }

    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether a source's packets are stopped in a second. Seconds are asked for
    /// in their order.
    pub(super) fn take_effect(&mut self, second: u32) {
        while let Some((_, source, denied)) = self.pending.pop_front_if(|it| it.0 <= second) {
            self.denied[source as usize] = denied;
        }
    }

    pub(super) fn denies(&self, source: u32) -> bool {
        self.denied[source as usize]
    }

    /// Makes the calls that give the slots to these sources, at most [`SLOTS`] of
    /// them, as far as EC2 lets it this second; the first of them first.
    pub(super) fn give(&mut self, family: Family, wanted: &[u32], second: u32) {
        let holders = &mut self.holders[usize::from(family == Family::V6)];
        let mut newcomers: Vec<u32> = wanted
            .iter()
            .copied()
            .filter(|source| !holders.contains(&Some(*source)))
            .collect();
        newcomers.reverse();
        let now = Duration::from_secs(second.into());
        let works = second + LATENCY;
        // Free slots first, so that nobody is put out for one.
        let order = [true, false];
        for free in order {
            for holder in holders.iter_mut().filter(|it| it.is_none() == free) {
                if holder.is_some_and(|source| wanted.contains(&source)) {
                    continue;
                }
                if free && newcomers.is_empty() {
                    break;
                }
                if self.budget.take(now).is_err() {
                    return;
                }
                self.changes += 1;
                let comes = newcomers.pop();
                let goes = std::mem::replace(holder, comes);
                self.pending
                    .extend(goes.map(|source| (works, source, false)));
                self.pending
                    .extend(comes.map(|source| (works, source, true)));
            }
        }
    }
}

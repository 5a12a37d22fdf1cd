//! What a wall clock that was set does to sentences: nothing.
//!
//! They are told and shown by the wall clock, and served by the boot clock. So when the
//! wall clock jumps, beginnings and ends move with it, and what was left is left.

use super::change::Until;
use super::entry::{Entry, Kept};
use super::state::{Bans, Deadline};

/// A hold that begins later than this after the present, in seconds, was told by another
/// clock. Less may be a log whose times run ahead.
const AHEAD: i64 = 3600;

/// One jump of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// By so many seconds; below 0 it was set back. Rounded so that no ban ends early.
    pub by: i64,
    /// What it showed just before, in seconds since the Unix epoch.
    pub from: i64,
}

impl Step {
    /// Whether what began at `since` moves along. What lies ahead of the clock stays: that
    /// clock was behind, as of a machine without a battery, and is now put right.
    pub const fn moves(self, since: i64) -> bool {
        since <= self.latest_that_moves()
    }

    /// The latest beginning that moves along.
    pub const fn latest_that_moves(self) -> i64 {
        self.from.saturating_add(AHEAD)
    }

    /// A time on the clock as it is now.
    pub const fn time(self, time: i64) -> i64 {
        time.saturating_add(self.by)
    }

    /// An end on the clock as it is now.
    pub const fn end(self, until: Until) -> Until {
        match until {
            Until::At(end) => Until::At(self.time(end)),
            Until::Permanent => Until::Permanent,
        }
    }
}

impl Bans {
    /// Moves every sentence, and every flush that waits, with the wall clock.
    pub fn follow(&mut self, step: Step) {
        for entry in self.entries.values_mut() {
            entry.each(|kept| {
                if step.moves(kept.since) {
                    *kept = Kept::new(
                        kept.holder,
                        step.time(kept.since),
                        step.end(kept.until()),
                        kept.bancount,
                        kept.failures,
                    );
                }
            });
        }
        self.queue = self
            .entries
            .iter()
            .filter_map(|(target, entry)| Some(Deadline::new(end_of(entry)?, *target)))
            .collect();
        for jail in self.jails.values_mut() {
            for flush in jail.flushes().into_iter().flatten() {
                flush.due = step.time(flush.due);
            }
        }
    }
}

fn end_of(entry: &Entry) -> Option<i64> {
    entry.next_end().seconds()
}

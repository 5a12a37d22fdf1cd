//! A jail's flushes: whether one was an order of its own, or part of a stop.
//!
//! fail2ban runs the same `actionflush` when a jail stops and at `unban --all`.
//! So a flush waits: a stop that follows within the window claims it, and nothing
//! is lifted. A second flush shows that the first was no part of a stop, and
//! settles it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::target::Target;

/// One flush of a jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flush {
    /// When it takes effect.
    pub(super) due: i64,
    /// What the jail banned after it asked for the flush.
    pub(super) spared: BTreeSet<Target>,
}

/// What is known of a jail beyond its bans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Jail {
    /// A flush that no stop can claim any more.
    pub(super) settled: Option<Flush>,
    /// A flush that a stop may yet claim.
    pub(super) pending: Option<Flush>,
    /// It has stopped, and not started again.
    pub(super) stopped: bool,
}

impl Jail {
    /// The flush that is to be carried out by `now`.
    pub(super) fn due(&self, now: i64) -> Option<&Flush> {
        self.settled
            .as_ref()
            .or_else(|| self.pending.as_ref().filter(|flush| flush.due <= now))
    }

    /// When the next flush is due.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        self.settled
            .as_ref()
            .or(self.pending.as_ref())
            .map(|flush| flush.due)
    }

    pub(super) fn flushes(&mut self) -> [&mut Option<Flush>; 2] {
        [&mut self.settled, &mut self.pending]
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// What a change means to a jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JailEdit {
    pub(super) holder: Arc<str>,
    pub(super) kind: JailEditKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JailEditKind {
    /// It banned the target: a flush asked for earlier leaves it alone.
    Spare(Target),
    /// It asked for a flush.
    Flush {
        /// When.
        at: i64,
        /// When it takes effect.
        due: i64,
    },
    /// It asked for a flush that no stop is to claim.
    Lift {
        /// When.
        at: i64,
    },
    /// The flush that was due is carried out.
    Flushed,
    /// It stopped.
    Stop,
    /// It started.
    Start,
}

/// How to take a [`JailEdit`] back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JailUndo {
    /// The target was not spared before: by the settled flush, by the pending one.
    Unspare(Target, [bool; 2]),
    /// The jail as it was.
    Restore(Jail),
}

impl JailEdit {
    /// Changes the jail.
    pub(super) fn apply(&self, jail: &mut Jail) -> JailUndo {
        if let JailEditKind::Spare(target) = self.kind {
            let added = jail.flushes().map(|flush| {
                flush
                    .as_mut()
                    .is_some_and(|flush| flush.spared.insert(target))
            });
            return JailUndo::Unspare(target, added);
        }
        let before = jail.clone();
        match self.kind {
            JailEditKind::Spare(_) => {}
            JailEditKind::Flush { at, due } => {
                if let Some(earlier) = jail.pending.take() {
                    // It spares less than a flush settled before, and so covers that too.
                    jail.settled = Some(Flush { due: at, ..earlier });
                }
                jail.pending = Some(Flush {
                    due,
                    spared: BTreeSet::new(),
                });
            }
            JailEditKind::Lift { at } => {
                // It spares nothing, and so covers every flush before it.
                *jail = Jail {
                    settled: Some(Flush {
                        due: at,
                        spared: BTreeSet::new(),
                    }),
                    pending: None,
                    stopped: jail.stopped,
                };
            }
            JailEditKind::Flushed => {
                if jail.settled.take().is_none() {
                    jail.pending = None;
                }
            }
            JailEditKind::Stop => {
                jail.pending = None;
                jail.stopped = true;
            }
            JailEditKind::Start => jail.stopped = false,
        }
        JailUndo::Restore(before)
    }
}

impl JailUndo {
    /// Makes the jail what it was.
    pub(super) fn apply(self, jail: &mut Jail) {
        match self {
            Self::Restore(before) => *jail = before,
            Self::Unspare(target, added) => {
                for (flush, added) in jail.flushes().into_iter().zip(added) {
                    if let (Some(flush), true) = (flush, added) {
                        flush.spared.remove(&target);
                    }
                }
            }
        }
    }
}

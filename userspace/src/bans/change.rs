//! The words in which bans and their changes are told.

use std::sync::Arc;

use nicban_protocol::{Holder, Outcome, PERMANENT};

use super::jail::JailEdit;
use super::many::Fresh;
use crate::target::{Map, Target};

/// When a hold ends. A permanent one is later than any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Until {
    /// The first second in which it no longer holds.
    At(i64),
    /// Never.
    Permanent,
}

/// A length of ban that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a ban of {bantime} s has no meaning: allowed is 0 or more, or -1 for a permanent one")]
pub struct SentenceError {
    /// What was given, in seconds.
    pub bantime: i64,
}

impl Until {
    /// The end of a sentence of `bantime` seconds that began at `time`: a ban
    /// that is told late is not served longer. A sum beyond the clock is permanent.
    pub const fn of_sentence(time: i64, bantime: i64) -> Result<Self, SentenceError> {
        match bantime {
            PERMANENT => Ok(Self::Permanent),
            ..0 => Err(SentenceError { bantime }),
            _ => Ok(match time.checked_add(bantime) {
                Some(end) if end < i64::MAX => Self::At(end),
                _ => Self::Permanent,
            }),
        }
    }

    /// Whether it lies in the past.
    pub const fn is_over(self, now: i64) -> bool {
        match self {
            Self::At(end) => end <= now,
            Self::Permanent => false,
        }
    }

    /// The end, `None` for never.
    pub const fn seconds(self) -> Option<i64> {
        match self {
            Self::At(end) => Some(end),
            Self::Permanent => None,
        }
    }
}

impl From<Option<i64>> for Until {
    fn from(end: Option<i64>) -> Self {
        end.map_or(Self::Permanent, Self::At)
    }
}

/// That one holder wants a target dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Who: a jail's name, `manual`, `import:NAME`.
    pub holder: Arc<str>,
    /// When the sentence began.
    pub since: i64,
    /// When it ends.
    pub until: Until,
    /// How often the holder has banned the target, this time included.
    pub bancount: u32,
    /// The failures behind it.
    pub failures: u32,
    /// An operator's reason.
    pub reason: Option<Box<str>>,
}

/// Holds what was dropped when the store was lost: who did is not known any more. The
/// first holder that bans such a target takes its place, and any holder's unban lifts it.
pub const RECOVERED: &str = "recovered";

impl Hold {
    /// A hold in place of those that are not known any more.
    pub fn recovered(since: i64, until: Until) -> Self {
        Self {
            holder: RECOVERED.into(),
            since,
            until,
            bancount: 1,
            failures: 0,
            reason: None,
        }
    }
}

impl From<Hold> for Holder {
    fn from(hold: Hold) -> Self {
        Self {
            name: hold.holder.to_string(),
            since: hold.since,
            until: hold.until.seconds(),
            bancount: hold.bancount,
            failures: hold.failures,
            reason: hold.reason.map(String::from),
        }
    }
}

/// What the kernel's map must do with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelChange {
    /// Drop it until then, whether or not it is there already. The grace comes on top.
    Put(Until),
    /// Drop it no longer. That it is gone already is no error.
    Remove,
}

/// What the store must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChange {
    /// Keep a hold, in place of the one that the same holder has on the target.
    PutHold {
        /// What it is on.
        target: Target,
        /// The hold.
        hold: Hold,
    },
    /// Keep many holds of one holder, on targets that it does not hold.
    PutMany {
        /// Whose they are.
        holder: Arc<str>,
        /// When they began.
        since: i64,
        /// What they are on, in order, and when each ends.
        holds: Fresh,
    },
    /// Forget a hold.
    DeleteHold {
        /// What it is on.
        target: Target,
        /// Whose it is.
        holder: Arc<str>,
    },
    /// Count an offence of a target.
    CountOffence {
        /// The offender.
        target: Target,
        /// When.
        at: i64,
    },
    /// Remember that a jail's bans are to be flushed.
    PutFlush {
        /// The jail.
        holder: Arc<str>,
        /// When it asked for that.
        at: i64,
    },
    /// The flush is done, or was part of a stop.
    DeleteFlush {
        /// The jail.
        holder: Arc<str>,
    },
}

/// A planned change: nothing of it has been done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is about; `None` where it is about a jail.
    pub target: Option<Target>,
    /// What to answer.
    pub outcome: Outcome,
    /// What the kernel must do about `target`.
    pub kernel: Option<KernelChange>,
    /// What the store must do. Empty where it knows already.
    pub store: Vec<StoreChange>,
    /// What it means to the jail.
    pub(super) jail: Option<JailEdit>,
}

impl Change {
    /// Whether there is nothing for the kernel and the store to do.
    pub const fn is_idle(&self) -> bool {
        self.kernel.is_none() && self.store.is_empty()
    }
}

/// A map has no room for another ban; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{target} is not banned: all {capacity} places for bans of its kind are taken; raise {} in [xdp], or lift bans", map.key()
)]
pub struct Full {
    /// What was to be banned.
    pub target: Target,
    /// The kernel map.
    pub map: Map,
    /// Bans that it can hold.
    pub capacity: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_runs_from_its_own_beginning() {
        assert_eq!(Until::of_sentence(1_000, 600), Ok(Until::At(1_600)));
        assert_eq!(Until::of_sentence(1_000, 0), Ok(Until::At(1_000)));
        assert_eq!(Until::of_sentence(1_000, -1), Ok(Until::Permanent));
        assert_eq!(Until::of_sentence(1_000, i64::MAX), Ok(Until::Permanent));
        assert_eq!(
            Until::of_sentence(1_000, -2),
            Err(SentenceError { bantime: -2 })
        );
    }

    #[test]
    fn an_end_is_the_first_second_that_is_free() {
        assert!(!Until::At(100).is_over(99));
        assert!(Until::At(100).is_over(100));
        assert!(!Until::Permanent.is_over(i64::MAX));
        assert!(Until::At(i64::MAX) < Until::Permanent);
    }
}

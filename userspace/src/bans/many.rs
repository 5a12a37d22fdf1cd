//! Many bans of one holder at once: what `nicban import` asks for.
//!
//! A target that nobody held needs neither a [`Change`] nor an undo of its own: it comes, or
//! it goes again. That is most of a list, and makes a million of them cheap. What somebody
//! holds already is planned as any other ban is.

use std::sync::Arc;

use nicban_protocol::Outcome;

use super::change::{Change, Hold, StoreChange, Until};
use super::entry::{Entry, Kept};
use super::plan::Word;
use super::state::Bans;
use crate::target::{Map, Target};

/// How often a list has banned what is on it.
const BANCOUNT: u32 = 1;

/// Bans that nobody held before, in the order of their targets, each target once.
pub type Fresh = Arc<[(Target, Until)]>;

/// Many planned bans: nothing of it has been done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManyChange {
    holder: Arc<str>,
    since: i64,
    fresh: Fresh,
    /// Those on targets that are held already.
    held: Vec<Change>,
    /// How many end as they did already.
    unchanged: usize,
    /// How many are over already.
    expired: usize,
}

impl ManyChange {
    /// What nobody held before.
    pub fn fresh(&self) -> &Fresh {
        &self.fresh
    }

    /// Takes out what is to be done to targets that are held already.
    pub fn take_held(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.held)
    }

    /// How many of them have each outcome; the rest is fresh, and [`Outcome::Enforced`].
    pub fn count(&self, outcome: Outcome) -> usize {
        let told = self.held.iter();
        let told = told.filter(|change| change.outcome == outcome).count();
        told + match outcome {
            Outcome::Enforced => self.fresh.len(),
            Outcome::Unchanged => self.unchanged,
            Outcome::Expired => self.expired,
            _ => 0,
        }
    }

    /// What the store must do about the fresh ones.
    pub fn store(&self) -> Option<StoreChange> {
        (!self.fresh.is_empty()).then(|| StoreChange::PutMany {
            holder: Arc::clone(&self.holder),
            since: self.since,
            holds: Arc::clone(&self.fresh),
        })
    }
}

/// A map has no room for all of them; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{new} more bans do not fit: {} is {capacity}, and there is room for {room}; raise {} in [xdp] and restart nicban, or lift bans",
    map.key(), map.key()
)]
pub struct TooMany {
    /// The kernel map.
    pub map: Map,
    /// Bans that it can hold.
    pub capacity: usize,
    /// How many of the request are new to it.
    pub new: usize,
    /// How many more it can hold.
    pub room: usize,
}

/// Takes fresh bans back.
#[derive(Debug)]
#[must_use = "without it the change stands"]
pub struct UndoMany {
    fresh: Fresh,
}

impl UndoMany {
    /// The targets that nobody held before.
    pub fn targets(&self) -> impl Iterator<Item = Target> {
        self.fresh.iter().map(|(target, _)| *target)
    }
}

impl Bans {
    /// Many bans of one holder that begin at `since`, each with its end. Of a target that is
    /// named more than once, the latest end counts. What the holder holds until the same end
    /// already is left as it is: a list that is told again every day costs nothing.
    ///
    /// All of it fits, or nothing is planned.
    pub fn plan_many(
        &self,
        holder: &Arc<str>,
        since: i64,
        mut bans: Vec<(Target, Until)>,
        now: i64,
    ) -> Result<ManyChange, TooMany> {
        let told = bans.len();
        bans.retain(|(_, until)| !until.is_over(now));
        let expired = told - bans.len();
        bans.sort_unstable();
        // The latest end of each stands last.
        bans.reverse();
        bans.dedup_by_key(|(target, _)| *target);
        bans.reverse();
        let mut unchanged = told - expired - bans.len();
        let id = self.names.find(holder);
        // What is banned while a flush waits has to be noted one by one.
        let jail = self.jails.get(holder);
        let flushes = jail.is_some_and(|jail| jail.settled.is_some() || jail.pending.is_some());
        let mut new = [0; Map::ALL.len()];
        let mut fresh = Vec::with_capacity(bans.len());
        let mut told_again = Vec::new();
        for (target, until) in bans {
            let entry = self.entries.get(&target);
            new[target.map(self.prefix()) as usize] += usize::from(entry.is_none());
            let own = entry.zip(id).and_then(|(entry, id)| entry.hold_of(id));
            if flushes {
                told_again.push((target, until));
            } else if entry.is_none() {
                fresh.push((target, until));
            } else if own.is_some_and(|own| own.until() == until) {
                unchanged += 1;
            } else {
                told_again.push((target, until));
            }
        }
        self.room_for(new)?;
        let mut held = Vec::with_capacity(told_again.len());
        for (target, until) in told_again {
            let wanted = Hold {
                holder: Arc::clone(holder),
                since,
                until,
                bancount: BANCOUNT,
                failures: 0,
                reason: None,
            };
            // Being on a list is no offence. Room was looked for.
            match self.plan_hold(target, wanted, Word::Latest, false, now) {
                Ok(change) => held.push(change),
                Err(full) => return Err(self.too_many(full.map, 1)),
            }
        }
        Ok(ManyChange {
            holder: Arc::clone(holder),
            since,
            fresh: fresh.into(),
            held,
            unchanged,
            expired,
        })
    }

    /// Makes the fresh bans of a planned change; its held ones are committed one by one.
    /// It must have been planned on this very state.
    pub fn commit_many(&mut self, change: &ManyChange) -> UndoMany {
        let fresh = Arc::clone(&change.fresh);
        if !fresh.is_empty() {
            let holder = self.names.take_many(&change.holder, fresh.len());
            for (target, until) in fresh.iter() {
                let kept = Kept::new(holder, change.since, *until, BANCOUNT, 0);
                self.insert(*target, Entry::new(kept, None));
            }
        }
        UndoMany { fresh }
    }

    /// Takes it back. Changes committed after it must be taken back before it.
    pub fn undo_many(&mut self, undo: &UndoMany) {
        for target in undo.targets() {
            self.clear(target);
        }
    }

    /// Whether so many new ones fit each map.
    fn room_for(&self, new: [usize; Map::ALL.len()]) -> Result<(), TooMany> {
        for map in Map::ALL {
            let new = new[map as usize];
            if new > 0 && self.used(map) + new > self.limits().of(map) {
                return Err(self.too_many(map, new));
            }
        }
        Ok(())
    }

    fn too_many(&self, map: Map, new: usize) -> TooMany {
        let capacity = self.limits().of(map);
        TooMany {
            map,
            capacity,
            new,
            room: capacity.saturating_sub(self.used(map)),
        }
    }
}

//! The bans in force, as committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::change::{Change, Full, Hold, KernelChange, StoreChange, Until};
use super::entry::{Entry, Kept, Removal};
use super::jail::{Jail, JailEdit, JailEditKind, JailUndo};
use super::names::{NameId, Names};
use crate::target::{Ipv6Prefix, Map, Target};

/// How many bans each kernel map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// [`Map::HashV4`].
    pub hash_v4: usize,
    /// [`Map::HashV6`].
    pub hash_v6: usize,
    /// [`Map::TrieV4`].
    pub trie_v4: usize,
    /// [`Map::TrieV6`].
    pub trie_v6: usize,
}

impl Limits {
    /// The limit of one map.
    pub const fn of(&self, map: Map) -> usize {
        match map {
            Map::HashV4 => self.hash_v4,
            Map::HashV6 => self.hash_v6,
            Map::TrieV4 => self.trie_v4,
            Map::TrieV6 => self.trie_v6,
        }
    }
}

/// All bans in force, and who holds them.
#[derive(Debug)]
pub struct Bans {
    limits: Limits,
    prefix: Ipv6Prefix,
    used: [usize; Map::ALL.len()],
    pub(super) entries: BTreeMap<Target, Entry>,
    /// Each target under the earliest end of its holds, unless all are permanent.
    pub(super) queue: BTreeSet<Deadline>,
    pub(super) names: Names,
    pub(super) jails: BTreeMap<Arc<str>, Jail>,
}

/// An end and its target, ordered by the end. Kept as bytes, it needs no padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline {
    end: [u8; 8],
    pub(super) target: Target,
}

impl Deadline {
    pub(super) fn new(end: i64, target: Target) -> Self {
        // With the sign flipped, the bytes are in the order of the numbers.
        let end = (end ^ i64::MIN).to_be_bytes();
        Self { end, target }
    }

    pub(super) fn end(&self) -> i64 {
        i64::from_be_bytes(self.end) ^ i64::MIN
    }
}

const _: () = assert!(size_of::<Deadline>() == 26);

/// Takes a committed change back.
#[derive(Debug)]
#[must_use = "without it the change stands"]
pub struct Undo {
    target: Option<Target>,
    kernel: Option<KernelChange>,
    before: Vec<Hold>,
    offences: u32,
    jail: Option<(Arc<str>, JailUndo)>,
}

impl Undo {
    /// The target that the change was about.
    pub const fn target(&self) -> Option<Target> {
        self.target
    }

    /// What makes the kernel's map as it was, where the change touched it.
    pub const fn kernel(&self) -> Option<KernelChange> {
        self.kernel
    }
}

impl Bans {
    /// No bans yet. Single IPv6 addresses are banned at `prefix`.
    pub fn new(limits: Limits, prefix: Ipv6Prefix) -> Self {
        Self {
            limits,
            prefix,
            used: [0; Map::ALL.len()],
            entries: BTreeMap::new(),
            queue: BTreeSet::new(),
            names: Names::default(),
            jails: BTreeMap::new(),
        }
    }

    /// The limits.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The prefix of single IPv6 addresses.
    pub const fn prefix(&self) -> Ipv6Prefix {
        self.prefix
    }

    /// Bans of one kernel map.
    pub const fn used(&self, map: Map) -> usize {
        self.used[map as usize]
    }

    /// Whether there is room for a target that is not banned yet.
    pub(super) fn room(&self, target: Target) -> Result<(), Full> {
        let map = target.map(self.prefix);
        let capacity = self.limits.of(map);
        if self.used(map) < capacity {
            return Ok(());
        }
        Err(Full {
            target,
            map,
            capacity,
        })
    }

    /// Takes in a hold as the store had it, with the target's `offences`. One that
    /// has ended meanwhile is taken in, too: [`Self::plan_due`] then lifts it, in
    /// the kernel as well. Refused where the maps have shrunk; the store keeps it.
    pub fn restore(&mut self, target: Target, hold: Hold, offences: u32) -> Result<(), Full> {
        if !self.entries.contains_key(&target) {
            self.room(target)?;
        }
        self.put(target, hold);
        self.set_offences(&target, offences);
        Ok(())
    }

    /// Takes in a flush that was asked for `at` a time, as the store had it; the
    /// holds come first. The daemon may have missed the stop that it was part of,
    /// so it waits for the whole `window` (s) again.
    pub fn restore_flush(&mut self, holder: &Arc<str>, at: i64, window: i64, now: i64) {
        let edit = JailEdit {
            holder: Arc::clone(holder),
            kind: JailEditKind::Flush {
                at,
                due: due(window, now),
            },
        };
        let jail = self.jails.entry(Arc::clone(holder)).or_default();
        edit.apply(jail);
        // What was banned between the flush and the restart is known by its beginning.
        let id = self.names.find(holder);
        let later = self.entries.iter().filter(|(_, entry)| {
            entry
                .holds()
                .any(|kept| Some(kept.holder) == id && kept.since >= at)
        });
        if let Some(flush) = &mut jail.pending {
            flush.spared.extend(later.map(|(target, _)| *target));
        }
    }

    /// Notes how many offences the store has counted of a banned target.
    pub fn set_offences(&mut self, target: &Target, offences: u32) {
        if let Some(entry) = self.entries.get_mut(target) {
            entry.offences = entry.offences.max(offences);
        }
    }

    /// Makes a planned change. It must have been planned on this very state: since
    /// then nothing else may have been committed about the same target or jail.
    pub fn commit(&mut self, change: &Change) -> Undo {
        let (before, offences) = change.target.map_or((Vec::new(), 0), |target| {
            self.get(&target).map_or((Vec::new(), 0), |ban| {
                (ban.holds().collect(), ban.offences())
            })
        });
        let kernel = change.kernel.map(|_| {
            let end = before.iter().map(|hold| hold.until).max();
            end.map_or(KernelChange::Remove, KernelChange::Put)
        });
        for change in &change.store {
            match change {
                StoreChange::PutHold { target, hold } => self.put(*target, hold.clone()),
                StoreChange::DeleteHold { target, holder } => self.delete(*target, holder),
                StoreChange::CountOffence { target, .. } => {
                    if let Some(entry) = self.entries.get_mut(target) {
                        entry.offences = entry.offences.max(offences.saturating_add(1));
                    }
                }
                // Many come by a commit of their own.
                StoreChange::PutMany { .. }
                | StoreChange::PutFlush { .. }
                | StoreChange::DeleteFlush { .. } => {}
            }
        }
        let jail = change.jail.as_ref().map(|edit| {
            let jail = self.jails.entry(Arc::clone(&edit.holder)).or_default();
            let undo = edit.apply(jail);
            if jail.is_idle() {
                self.jails.remove(&edit.holder);
            }
            (Arc::clone(&edit.holder), undo)
        });
        Undo {
            target: change.target,
            kernel,
            before,
            offences,
            jail,
        }
    }

    /// Takes a change back. Changes committed after it must be taken back before it.
    pub fn undo(&mut self, undo: Undo) {
        if let Some(target) = undo.target {
            self.clear(target);
            for hold in undo.before {
                self.put(target, hold);
            }
            if let Some(entry) = self.entries.get_mut(&target) {
                entry.offences = undo.offences;
            }
        }
        if let Some((holder, undo)) = undo.jail {
            let jail = self.jails.entry(Arc::clone(&holder)).or_default();
            undo.apply(jail);
            if jail.is_idle() {
                self.jails.remove(&holder);
            }
        }
    }

    fn put(&mut self, target: Target, hold: Hold) {
        let holder = self.names.take(&hold.holder);
        let kept = Kept::new(holder, hold.since, hold.until, hold.bancount, hold.failures);
        let Some(entry) = self.entries.get_mut(&target) else {
            self.insert(target, Entry::new(kept, hold.reason));
            return;
        };
        let before = entry.next_end();
        if entry.put(kept, hold.reason) {
            self.names.release(holder);
        }
        requeue(
            &mut self.queue,
            target,
            Some(before),
            Some(entry.next_end()),
        );
    }

    /// Takes in a target that is not there.
    pub(super) fn insert(&mut self, target: Target, entry: Entry) {
        requeue(&mut self.queue, target, None, Some(entry.next_end()));
        self.entries.insert(target, entry);
        self.used[target.map(self.prefix) as usize] += 1;
    }

    fn delete(&mut self, target: Target, holder: &str) {
        let (Some(holder), Some(entry)) = (self.names.find(holder), self.entries.get_mut(&target))
        else {
            return;
        };
        let before = entry.next_end();
        match entry.remove(holder) {
            Removal::Absent => return,
            Removal::Removed => {
                requeue(
                    &mut self.queue,
                    target,
                    Some(before),
                    Some(entry.next_end()),
                );
            }
            Removal::Last => {
                requeue(&mut self.queue, target, Some(before), None);
                self.forget(target);
            }
        }
        self.names.release(holder);
    }

    pub(super) fn clear(&mut self, target: Target) {
        let Some(entry) = self.entries.get(&target) else {
            return;
        };
        let holders: Vec<NameId> = entry.holds().map(|kept| kept.holder).collect();
        requeue(&mut self.queue, target, Some(entry.next_end()), None);
        self.forget(target);
        for holder in holders {
            self.names.release(holder);
        }
    }

    fn forget(&mut self, target: Target) {
        self.entries.remove(&target);
        self.used[target.map(self.prefix) as usize] -= 1;
    }
}

/// When a flush asked for at `now` takes effect: `now` may have been cut down by
/// almost a second, and the window is to be waited for in full.
pub(super) const fn due(window: i64, now: i64) -> i64 {
    now.saturating_add(window).saturating_add(1)
}

fn requeue(
    queue: &mut BTreeSet<Deadline>,
    target: Target,
    before: Option<Until>,
    after: Option<Until>,
) {
    if before == after {
        return;
    }
    if let Some(Until::At(end)) = before {
        queue.remove(&Deadline::new(end, target));
    }
    if let Some(Until::At(end)) = after {
        queue.insert(Deadline::new(end, target));
    }
}

//! Looking at bans.

use std::ops::Bound;
use std::sync::Arc;

use super::change::{Hold, Until};
use super::entry::Entry;
use super::state::Bans;
use crate::nacl::acl::Family;
use crate::target::Target;

/// A ban in force.
#[derive(Debug, Clone, Copy)]
pub struct Ban<'a> {
    /// What it is on.
    pub target: Target,
    bans: &'a Bans,
    entry: &'a Entry,
}

impl<'a> Ban<'a> {
    /// The end of its latest holder: when the kernel may forget it, less the grace.
    pub fn end(&self) -> Until {
        self.entry.end()
    }

    /// How often the target was banned, as far as is known, at least 1: the
    /// holders' own counts, or the store's if it is higher.
    pub fn offences(&self) -> u32 {
        let told = self.entry.holds().map(|kept| kept.bancount).max();
        self.entry.offences.max(told.unwrap_or(0))
    }

    /// The holds, in no order.
    pub fn holds(&self) -> impl Iterator<Item = Hold> + use<'a> {
        let Self { bans, entry, .. } = *self;
        entry.holds().map(move |kept| Hold {
            holder: Arc::clone(bans.names.name(kept.holder)),
            since: kept.since,
            until: kept.until(),
            bancount: kept.bancount,
            failures: kept.failures,
            reason: entry.reason_of(kept.holder).map(Box::from),
        })
    }

    /// When this holder's hold ends; `None` if it does not hold it.
    pub fn end_for(&self, holder: &str) -> Option<Until> {
        let id = self.bans.names.find(holder)?;
        self.entry.hold_of(id).map(super::entry::Kept::until)
    }

    /// The failures behind each of its holds, with when that began.
    pub fn failures(&self) -> impl Iterator<Item = (u32, i64)> + use<'a> {
        let entry = self.entry;
        entry.holds().map(|kept| (kept.failures, kept.since))
    }

    /// When the first of its holds began.
    pub fn since(&self) -> i64 {
        let begun = self.entry.holds().map(|kept| kept.since).min();
        begun.unwrap_or_default()
    }
}

impl Bans {
    /// Bans in force.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The ban on exactly this target.
    pub fn get(&self, target: &Target) -> Option<Ban<'_>> {
        let entry = self.entries.get(target)?;
        Some(self.ban(*target, entry))
    }

    /// The ban on this target and those on the networks around it, narrowest first.
    pub fn around(&self, target: Target) -> impl Iterator<Item = Ban<'_>> {
        target.around().filter_map(|target| self.get(&target))
    }

    /// All bans of a family, found in time linear in those.
    pub fn of(&self, family: Family) -> impl Iterator<Item = Ban<'_>> {
        let is_of = move |target: &Target| Family::of(&target.network()) == family;
        let (v4, v6) = match family {
            Family::V4 => (Some(self.entries.iter()), None),
            Family::V6 => (None, Some(self.entries.iter().rev())),
        };
        // IPv4 stands before IPv6.
        let v4 = v4.into_iter().flatten().take_while(move |it| is_of(it.0));
        let v6 = v6.into_iter().flatten().take_while(move |it| is_of(it.0));
        v4.chain(v6).map(|(target, entry)| self.ban(*target, entry))
    }

    /// The bans on this target and on those within it, in the order of their targets.
    pub fn within(&self, target: Target) -> impl Iterator<Item = Ban<'_>> {
        let around = target.network();
        self.entries
            .range(target..)
            .take_while(move |(inner, _)| around.contains(&inner.network()))
            .map(|(inner, entry)| self.ban(*inner, entry))
    }

    /// All bans, in the order of their targets.
    pub fn iter(&self) -> impl Iterator<Item = Ban<'_>> {
        self.entries
            .iter()
            .map(|(target, entry)| self.ban(*target, entry))
    }

    /// At most `limit` bans that come `after` a target, of one holder if it is
    /// named, in the order of their targets.
    pub fn page(&self, after: Option<&Target>, limit: usize, holder: Option<&str>) -> Vec<Ban<'_>> {
        let id = holder.map(|name| self.names.find(name));
        if id == Some(None) {
            return Vec::new();
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries
            .range((from, Bound::Unbounded))
            .filter(|(_, entry)| match id.flatten() {
                Some(id) => entry.hold_of(id).is_some(),
                None => true,
            })
            .take(limit)
            .map(|(target, entry)| self.ban(*target, entry))
            .collect()
    }

    /// Bans that come `after` a target, in the order of their targets.
    pub fn after(&self, after: Option<&Target>) -> impl Iterator<Item = Ban<'_>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries
            .range((from, Bound::Unbounded))
            .map(|(target, entry)| self.ban(*target, entry))
    }

    /// Every holder of a ban with the number of its bans, in no order.
    pub fn holders(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.names.counts()
    }

    /// Whether a jail has stopped, and not started again.
    pub fn is_stopped(&self, holder: &str) -> bool {
        self.jails.get(holder).is_some_and(|jail| jail.stopped)
    }

    const fn ban<'a>(&'a self, target: Target, entry: &'a Entry) -> Ban<'a> {
        Ban {
            target,
            bans: self,
            entry,
        }
    }
}

//! The holds on one target, kept small: a million of them must fit.

use super::change::Until;
use super::names::NameId;

/// A hold without its reason, the holder by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) since: i64,
    /// `i64::MAX` has no end; [`Until::of_sentence`] never gives that second.
    until: i64,
    pub(super) holder: NameId,
    pub(super) bancount: u32,
    pub(super) failures: u32,
}

impl Kept {
    pub(super) fn new(
        holder: NameId,
        since: i64,
        until: Until,
        bancount: u32,
        failures: u32,
    ) -> Self {
        Self {
            since,
            until: until.seconds().unwrap_or(i64::MAX),
            holder,
            bancount,
            failures,
        }
    }

    pub(super) const fn until(&self) -> Until {
        match self.until {
            i64::MAX => Until::Permanent,
            end => Until::At(end),
        }
    }
}

/// What few targets have: further holds, operators' reasons.
#[derive(Debug, Default)]
struct Extra {
    others: Vec<Kept>,
    reasons: Vec<(NameId, Box<str>)>,
}

/// The holds on one target, at least one, at most one of each holder.
#[derive(Debug)]
pub(super) struct Entry {
    first: Kept,
    /// Offences of the target as far as known here, at least 1.
    pub(super) offences: u32,
    extra: Option<Box<Extra>>,
}

impl Entry {
    pub(super) fn new(kept: Kept, reason: Option<Box<str>>) -> Self {
        let mut entry = Self {
            first: kept,
            offences: kept.bancount.max(1),
            extra: None,
        };
        entry.set_reason(kept.holder, reason);
        entry
    }

    pub(super) fn holds(&self) -> impl Iterator<Item = &Kept> {
        let others = self.extra.iter().flat_map(|extra| &extra.others);
        std::iter::once(&self.first).chain(others)
    }

    /// Changes each hold.
    pub(super) fn each(&mut self, change: impl FnMut(&mut Kept)) {
        let others = self.extra.iter_mut().flat_map(|extra| &mut extra.others);
        std::iter::once(&mut self.first)
            .chain(others)
            .for_each(change);
    }

    pub(super) fn hold_of(&self, holder: NameId) -> Option<&Kept> {
        self.holds().find(|kept| kept.holder == holder)
    }

    pub(super) fn reason_of(&self, holder: NameId) -> Option<&str> {
        let reasons = &self.extra.as_ref()?.reasons;
        let (_, reason) = reasons.iter().find(|(of, _)| *of == holder)?;
        Some(reason)
    }

    /// The latest end of its holds.
    pub(super) fn end(&self) -> Until {
        self.holds()
            .map(Kept::until)
            .fold(self.first.until(), Until::max)
    }

    /// The earliest end of its holds.
    pub(super) fn next_end(&self) -> Until {
        self.holds()
            .map(Kept::until)
            .fold(self.first.until(), Until::min)
    }

    /// Adds a hold, or replaces its holder's. Tells whether it replaced one.
    pub(super) fn put(&mut self, kept: Kept, reason: Option<Box<str>>) -> bool {
        self.set_reason(kept.holder, reason);
        if self.first.holder == kept.holder {
            self.first = kept;
            return true;
        }
        let others = &mut self.extra.get_or_insert_default().others;
        if let Some(old) = others.iter_mut().find(|old| old.holder == kept.holder) {
            *old = kept;
            return true;
        }
        others.push(kept);
        false
    }

    /// Takes a holder's hold away, unless it is the only one.
    pub(super) fn remove(&mut self, holder: NameId) -> Removal {
        let others = self.extra.as_mut().map(|extra| &mut extra.others);
        let removal = match others {
            Some(others) if self.first.holder == holder && !others.is_empty() => {
                self.first = others.swap_remove(0);
                Removal::Removed
            }
            Some(others) => match others.iter().position(|kept| kept.holder == holder) {
                Some(at) => {
                    others.swap_remove(at);
                    Removal::Removed
                }
                None if self.first.holder == holder => return Removal::Last,
                None => return Removal::Absent,
            },
            None if self.first.holder == holder => return Removal::Last,
            None => return Removal::Absent,
        };
        self.set_reason(holder, None);
        removal
    }

    fn set_reason(&mut self, holder: NameId, reason: Option<Box<str>>) {
        if let Some(extra) = &mut self.extra {
            extra.reasons.retain(|(of, _)| *of != holder);
        }
        if let Some(reason) = reason {
            let reasons = &mut self.extra.get_or_insert_default().reasons;
            reasons.push((holder, reason));
        }
        self.extra
            .take_if(|extra| extra.others.is_empty() && extra.reasons.is_empty());
    }
}

/// What [`Entry::remove`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// The hold is gone, others remain.
    Removed,
    /// It is the only one: the entry itself must go.
    Last,
    /// There is none.
    Absent,
}

const _: () = assert!(size_of::<Kept>() == 32 && size_of::<Entry>() == 48);

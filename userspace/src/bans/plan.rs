//! What a request or the time changes.

use std::sync::Arc;

use nicban_protocol::Outcome;

use super::change::{Change, Full, Hold, KernelChange, RECOVERED, StoreChange};
use super::entry::{Entry, Kept};
use super::jail::{Flush, JailEdit, JailEditKind};
use super::state::{Bans, due};
use crate::target::Target;

/// What may be told of a hold that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// What is told now counts, whether it is longer or shorter.
    Latest,
    /// Only a longer one counts.
    Longer,
}

impl Bans {
    /// A ban, new or told again.
    ///
    /// A sentence that is over gives [`Outcome::Expired`] and changes nothing. Of
    /// two sentences by the same holder the latest told counts, also when it ends
    /// earlier; except that what fail2ban `restored` from its database, and what
    /// began before the sentence that is kept, never shortens it.
    pub fn plan_ban(
        &self,
        target: Target,
        hold: Hold,
        restored: bool,
        now: i64,
    ) -> Result<Change, Full> {
        let word = if restored { Word::Longer } else { Word::Latest };
        self.plan_hold(target, hold, word, !restored, now)
    }

    /// A ban that is to end later. An unknown one is made; one that ends as late
    /// already is left alone.
    pub fn plan_prolong(&self, target: Target, hold: Hold, now: i64) -> Result<Change, Full> {
        self.plan_hold(target, hold, Word::Longer, true, now)
    }

    pub(super) fn plan_hold(
        &self,
        target: Target,
        hold: Hold,
        word: Word,
        offence: bool,
        now: i64,
    ) -> Result<Change, Full> {
        let mut change = Change {
            target: Some(target),
            outcome: Outcome::Unchanged,
            kernel: None,
            store: Vec::new(),
            jail: None,
        };
        if hold.until.is_over(now) {
            change.outcome = Outcome::Expired;
            return Ok(change);
        }
        change.jail = self.spare(&hold.holder, target);
        let entry = self.entries.get(&target);
        let own = entry
            .zip(self.names.find(&hold.holder))
            .and_then(|(entry, id)| entry.hold_of(id))
            .filter(|own| !own.until().is_over(now));
        if let Some(own) = own {
            let stale = word == Word::Longer || hold.since < own.since;
            if stale && hold.until <= own.until() {
                return Ok(change);
            }
            if self.is_told_again(target, own, &hold) {
                return Ok(change);
            }
            if hold.until != own.until() {
                change.outcome = Outcome::Prolonged;
            }
        } else {
            if entry.is_none() {
                self.room(target)?;
            }
            change.outcome = Outcome::Enforced;
        }
        let end = entry
            .into_iter()
            .flat_map(Entry::holds)
            .filter(|kept| self.names.name(kept.holder) != &hold.holder)
            .filter(|kept| !self.is_recovered(kept))
            .map(Kept::until)
            .fold(hold.until, Ord::max);
        change.kernel = (entry.map(Entry::end) != Some(end)).then_some(KernelChange::Put(end));
        let is_new = own.is_none();
        let stand_in = entry.is_some_and(|entry| entry.holds().any(|kept| self.is_recovered(kept)))
            && *hold.holder != *RECOVERED;
        change.store.push(StoreChange::PutHold { target, hold });
        if stand_in {
            change.store.push(StoreChange::DeleteHold {
                target,
                holder: RECOVERED.into(),
            });
        }
        if is_new && offence {
            change
                .store
                .push(StoreChange::CountOffence { target, at: now });
        }
        Ok(change)
    }

    /// Whether it stands in for a holder that is not known any more.
    fn is_recovered(&self, kept: &Kept) -> bool {
        &**self.names.name(kept.holder) == RECOVERED
    }

    fn is_told_again(&self, target: Target, own: &Kept, hold: &Hold) -> bool {
        let reason = self
            .entries
            .get(&target)
            .and_then(|entry| entry.reason_of(own.holder));
        own.until() == hold.until
            && own.since == hold.since
            && own.bancount == hold.bancount
            && own.failures == hold.failures
            && reason == hold.reason.as_deref()
    }

    /// A ban after a flush is not what the flush was about.
    fn spare(&self, holder: &Arc<str>, target: Target) -> Option<JailEdit> {
        let jail = self.jails.get(holder)?;
        (jail.settled.is_some() || jail.pending.is_some()).then(|| JailEdit {
            holder: Arc::clone(holder),
            kind: JailEditKind::Spare(target),
        })
    }

    /// A holder lets go of a target, or every holder does if none is named. What was
    /// [`RECOVERED`] any holder may let go of. [`Outcome::Unchanged`] says that it was not
    /// held.
    #[must_use = "a plan changes nothing until it is committed"]
    pub fn plan_unban(&self, target: Target, holder: Option<&str>, now: i64) -> Change {
        let goes = |kept: &Kept| match holder {
            Some(holder) => &**self.names.name(kept.holder) == holder || self.is_recovered(kept),
            None => true,
        };
        match self.entries.get(&target) {
            Some(entry) if entry.holds().any(goes) => self.release(target, entry, goes, now),
            _ => Change {
                target: Some(target),
                outcome: Outcome::Unchanged,
                kernel: None,
                store: Vec::new(),
                jail: None,
            },
        }
    }

    /// Ends the holds that go, and those that are over anyhow.
    fn release(
        &self,
        target: Target,
        entry: &Entry,
        goes: impl Fn(&Kept) -> bool,
        now: i64,
    ) -> Change {
        let (gone, kept): (Vec<_>, Vec<_>) = entry
            .holds()
            .partition(|kept| goes(kept) || kept.until().is_over(now));
        let delete = |kept: &Kept| StoreChange::DeleteHold {
            target,
            holder: Arc::clone(self.names.name(kept.holder)),
        };
        let store = gone.into_iter().map(delete).collect();
        let (outcome, kernel) = match kept.into_iter().map(Kept::until).max() {
            None => (Outcome::Lifted, Some(KernelChange::Remove)),
            Some(end) if end == entry.end() => (Outcome::StillHeld, None),
            Some(end) => (Outcome::StillHeld, Some(KernelChange::Put(end))),
        };
        Change {
            target: Some(target),
            outcome,
            kernel,
            store,
            jail: None,
        }
    }

    /// A jail asks to have all its bans lifted: they will be once `window` (s) has
    /// passed without a stop. What it bans meanwhile stays.
    #[must_use = "a plan changes nothing until it is committed"]
    pub fn plan_flush(&self, holder: &Arc<str>, window: i64, now: i64) -> Change {
        if self.names.find(holder).is_none() {
            return jail_change(Outcome::Unchanged, Vec::new(), None);
        }
        let put = StoreChange::PutFlush {
            holder: Arc::clone(holder),
            at: now,
        };
        let due = due(window, now);
        let edit = JailEdit {
            holder: Arc::clone(holder),
            kind: JailEditKind::Flush { at: now, due },
        };
        jail_change(Outcome::Held, vec![put], Some(edit))
    }

    /// A jail's bans are lifted at once, whatever follows. What it bans afterwards stays.
    #[must_use = "a plan changes nothing until it is committed"]
    pub fn plan_lift(&self, holder: &Arc<str>, now: i64) -> Change {
        if self.names.find(holder).is_none() {
            return jail_change(Outcome::Unchanged, Vec::new(), None);
        }
        let put = StoreChange::PutFlush {
            holder: Arc::clone(holder),
            at: now,
        };
        let edit = JailEdit {
            holder: Arc::clone(holder),
            kind: JailEditKind::Lift { at: now },
        };
        jail_change(Outcome::Lifted, vec![put], Some(edit))
    }

    /// A jail stops. A flush just before was part of that: its bans stay in force,
    /// until each one's own end.
    #[must_use = "a plan changes nothing until it is committed"]
    pub fn plan_stop(&self, holder: &Arc<str>) -> Change {
        let claims = self
            .jails
            .get(holder)
            .is_some_and(|jail| jail.pending.is_some() && jail.settled.is_none());
        let delete = StoreChange::DeleteFlush {
            holder: Arc::clone(holder),
        };
        let edit = JailEdit {
            holder: Arc::clone(holder),
            kind: JailEditKind::Stop,
        };
        let store = if claims { vec![delete] } else { Vec::new() };
        jail_change(Outcome::Ok, store, Some(edit))
    }

    /// A jail starts. A flush that waits goes on waiting: fail2ban also starts an
    /// action anew that it found broken.
    #[must_use = "a plan changes nothing until it is committed"]
    pub fn plan_start(&self, holder: &Arc<str>) -> Change {
        let edit = JailEdit {
            holder: Arc::clone(holder),
            kind: JailEditKind::Start,
        };
        jail_change(Outcome::Ok, Vec::new(), Some(edit))
    }

    /// What the time alone changes by `now`: flushes that are due, then holds that
    /// have ended, at most `limit` targets in one go. Commit it all, and plan again
    /// until it is empty.
    ///
    /// Serve the requests that wait first: one may be the stop that a flush waits for.
    #[must_use = "a plan changes nothing until it is committed"]
    pub fn plan_due(&self, now: i64, limit: usize) -> Vec<Change> {
        let limit = limit.max(1);
        for (holder, jail) in &self.jails {
            if let Some(flush) = jail.due(now) {
                return self.plan_flushed(holder, flush, now, limit);
            }
        }
        self.queue
            .iter()
            .take_while(|deadline| deadline.end() <= now)
            .take(limit)
            .filter_map(|deadline| {
                let entry = self.entries.get(&deadline.target)?;
                Some(self.release(deadline.target, entry, |_| false, now))
            })
            .collect()
    }

    /// A jail's flush takes effect. One jail at a time, so that no target is in
    /// the batch twice.
    fn plan_flushed(
        &self,
        holder: &Arc<str>,
        flush: &Flush,
        now: i64,
        limit: usize,
    ) -> Vec<Change> {
        let id = self.names.find(holder);
        let goes = |kept: &Kept| Some(kept.holder) == id;
        let mut changes: Vec<_> = self
            .entries
            .iter()
            .filter(|(target, entry)| entry.holds().any(goes) && !flush.spared.contains(target))
            .take(limit)
            .map(|(target, entry)| self.release(*target, entry, goes, now))
            .collect();
        if changes.len() < limit {
            let jail = self.jails.get(holder);
            let last = jail.is_none_or(|jail| jail.settled.is_none() || jail.pending.is_none());
            let delete = StoreChange::DeleteFlush {
                holder: Arc::clone(holder),
            };
            let store = if last { vec![delete] } else { Vec::new() };
            let edit = JailEdit {
                holder: Arc::clone(holder),
                kind: JailEditKind::Flushed,
            };
            changes.push(jail_change(Outcome::Ok, store, Some(edit)));
        }
        changes
    }

    /// The first end of a hold: no ban ends before it.
    pub fn first_end(&self) -> Option<i64> {
        self.queue.first().map(super::state::Deadline::end)
    }

    /// When [`Self::plan_due`] next has something to do.
    pub fn next_deadline(&self) -> Option<i64> {
        let flush = self
            .jails
            .values()
            .filter_map(super::jail::Jail::next_deadline);
        flush.chain(self.first_end()).min()
    }
}

fn jail_change(outcome: Outcome, store: Vec<StoreChange>, jail: Option<JailEdit>) -> Change {
    Change {
        target: None,
        outcome,
        kernel: None,
        store,
        jail,
    }
}

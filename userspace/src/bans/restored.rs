//! A jail's bans that are told once more, many of them: what `nicban sync` asks for.

use std::sync::Arc;

use nicban_protocol::Outcome;

use super::change::{Change, Full, Hold, Until};
use super::plan::Word;
use super::state::Bans;
use crate::target::{Map, Target};

/// A sentence that is being served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// What it is on.
    pub target: Target,
    /// When it ends.
    pub until: Until,
    /// When it began.
    pub since: i64,
}

/// Planned bans, each on another target: nothing of it has been done.
#[derive(Debug, Default)]
pub struct Restored {
    /// What is to be done, for all of them.
    pub changes: Vec<Change>,
    /// Not held so far.
    pub enforced: usize,
    /// Held, but not for as long.
    pub prolonged: usize,
    /// In force already.
    pub unchanged: usize,
    /// Over already.
    pub expired: usize,
    /// There is no room for these.
    pub full: Vec<Full>,
}

impl Bans {
    /// Sentences of one jail that it is serving already. They shorten nothing and count as no
    /// offence. Of a target that is named more than once, the latest end counts.
    ///
    /// As many fit as fit: a ban that is in force is worth more than none of them.
    pub fn plan_restored(&self, holder: &Arc<str>, mut bans: Vec<Served>, now: i64) -> Restored {
        let told = bans.len();
        bans.sort_unstable();
        bans.reverse();
        bans.dedup_by_key(|ban| ban.target);
        let mut restored = Restored {
            unchanged: told - bans.len(),
            ..Restored::default()
        };
        let mut room = Map::ALL.map(|map| self.limits().of(map).saturating_sub(self.used(map)));
        let id = self.names.find(holder);
        for Served {
            target,
            until,
            since,
        } in bans
        {
            let entry = self.entries.get(&target);
            let own = entry.zip(id).and_then(|(entry, id)| entry.hold_of(id));
            let hold = Hold {
                holder: Arc::clone(holder),
                since,
                until,
                // fail2ban lists neither of them.
                bancount: own.map_or(1, |own| own.bancount),
                failures: own.map_or(0, |own| own.failures),
                reason: None,
            };
            let map = target.map(self.prefix());
            let is_new = entry.is_none() && !until.is_over(now);
            let planned = if is_new && room[map as usize] == 0 {
                Err(Full {
                    target,
                    map,
                    capacity: self.limits().of(map),
                })
            } else {
                self.plan_hold(target, hold, Word::Longer, false, now)
            };
            let change = match planned {
                Ok(change) => change,
                Err(full) => {
                    restored.full.push(full);
                    continue;
                }
            };
            room[map as usize] -= usize::from(is_new);
            *match change.outcome {
                Outcome::Enforced => &mut restored.enforced,
                Outcome::Prolonged => &mut restored.prolonged,
                Outcome::Expired => &mut restored.expired,
                _ => &mut restored.unchanged,
            } += 1;
            if !change.store.is_empty() || change.jail.is_some() {
                restored.changes.push(change);
            }
        }
        restored
    }
}

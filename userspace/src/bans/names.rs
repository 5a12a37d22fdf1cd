//! Holders' names, each kept once however many bans it holds.

use std::collections::HashMap;
use std::sync::Arc;

/// A name's number; good as long as some hold bears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameId(u32);

#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    holds: usize,
}

/// The names, with the number of holds that bear each.
#[derive(Debug, Default)]
pub(super) struct Names {
    ids: HashMap<Arc<str>, NameId>,
    slots: Vec<Slot>,
    free: Vec<NameId>,
}

impl Names {
    /// The number of a name that some hold bears.
    pub(super) fn find(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    /// The name of a number.
    pub(super) fn name(&self, id: NameId) -> &Arc<str> {
        &self.slots[id.0 as usize].name
    }

    /// The number for one more hold.
    pub(super) fn take(&mut self, name: &Arc<str>) -> NameId {
        self.take_many(name, 1)
    }

    /// The number for so many more holds, at least one.
    pub(super) fn take_many(&mut self, name: &Arc<str>, holds: usize) -> NameId {
        if let Some(&id) = self.ids.get(name) {
            self.slots[id.0 as usize].holds += holds;
            return id;
        }
        let slot = Slot {
            name: Arc::clone(name),
            holds,
        };
        let id = if let Some(id) = self.free.pop() {
            self.slots[id.0 as usize] = slot;
            id
        } else {
            let id = u32::try_from(self.slots.len()).expect("fewer holders than bans");
            self.slots.push(slot);
            NameId(id)
        };
        self.ids.insert(Arc::clone(name), id);
        id
    }

    /// One hold less; the last one frees the number.
    pub(super) fn release(&mut self, id: NameId) {
        let slot = &mut self.slots[id.0 as usize];
        slot.holds -= 1;
        if slot.holds == 0 {
            self.ids.remove(&slot.name);
            self.free.push(id);
        }
    }

    /// The names with their holds, in no order.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.ids
            .iter()
            .map(|(name, id)| (name, self.slots[id.0 as usize].holds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_once_nobody_bears_it() {
        let mut names = Names::default();
        let (sshd, nginx): (Arc<str>, Arc<str>) = ("sshd".into(), "nginx".into());
        let first = names.take(&sshd);
        assert_eq!(names.take(&sshd), first);
        names.release(first);
        assert_eq!(names.find("sshd"), Some(first));
        names.release(first);
        assert_eq!(names.find("sshd"), None);
        assert_eq!(names.take(&nginx), first);
        assert_eq!(&**names.name(first), "nginx");
        assert_eq!(names.counts().collect::<Vec<_>>(), [(&nginx, 1)]);
    }
}

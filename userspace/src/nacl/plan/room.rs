//! The room that a NACL leaves to our entries.

use std::collections::BTreeMap;

use super::Finding;
use super::survey::Survey;
use crate::nacl::acl::{DIRECTIONS, Direction, Entry, FAMILIES, Family, HIGHEST_QUOTA, Position};

/// Rule numbers worth counting: no quota gives more slots to both families.
const ENOUGH: usize = 2 * HIGHEST_QUOTA as usize;

impl<'a> Survey<'a> {
    /// The first allow that could shadow a deny of ours.
    pub(super) fn first_allow(&self, direction: Direction, family: Family) -> Option<&'a Entry> {
        self.allows
            .iter()
            .filter(|entry| {
                entry.position.direction == direction && Family::of(&entry.network) == family
            })
            .min_by_key(|entry| entry.position.number)
            .copied()
    }

    /// Whether a deny at this position would come before any allow.
    pub(super) fn works(&self, position: Position, family: Family) -> bool {
        self.first_allow(position.direction, family)
            .is_none_or(|allow| position.number < allow.position.number)
    }

    /// Positions where an entry of ours of this family may stand.
    pub(super) fn usable(
        &self,
        direction: Direction,
        family: Family,
    ) -> impl Iterator<Item = Position> {
        let allow = self.first_allow(direction, family);
        let before = allow.map_or(u16::MAX, |allow| allow.position.number);
        self.range
            .clone()
            .take_while(move |number| *number < before)
            .map(move |number| Position { direction, number })
            .filter(|position| {
                !self.others.contains_key(position) && !self.is_left_alone(*position)
            })
    }

    /// Entries of others, the default deny counted.
    pub(super) fn others(&self, direction: Direction, family: Family) -> usize {
        let theirs = self.others.iter().filter(|(position, entry)| {
            position.direction == direction && Family::of(&entry.network) == family
        });
        1 + theirs.count()
    }

    /// Slots that the quota leaves in one direction.
    fn left_by_quota(&self, direction: Direction, family: Family) -> usize {
        let left_alone = self.withdrawn.iter().filter(|(position, withdrawn)| {
            position.direction == direction
                && Family::of(&withdrawn.network) == family
                && self.is_left_alone(**position)
                && !self.others.contains_key(position)
        });
        (self.quota(direction, family) as usize)
            .saturating_sub(self.others(direction, family))
            .saturating_sub(left_alone.count())
    }

    /// Counts the slots of each family: those of the direction that has fewest.
    pub(super) fn count_slots(&mut self) {
        let mut slots: BTreeMap<Family, usize> = BTreeMap::new();
        for direction in DIRECTIONS {
            if !self.input.config.is_on(direction) {
                continue;
            }
            let quota = FAMILIES.map(|family| self.left_by_quota(direction, family));
            let numbers =
                FAMILIES.map(|family| self.usable(direction, family).take(ENOUGH).count());
            let wanted = [quota[0].min(numbers[0]), quota[1].min(numbers[1])];
            // The families share the rule numbers: where those are scarce, each
            // gets half, and what the other does not need.
            let all = numbers[0].max(numbers[1]);
            let second = wanted[1].min((all / 2).max(all.saturating_sub(wanted[0])));
            let shares = [wanted[0].min(all - second), second];
            for (index, family) in FAMILIES.into_iter().enumerate() {
                let share = shares[index];
                slots
                    .entry(family)
                    .and_modify(|least| *least = (*least).min(share))
                    .or_insert(share);
                self.report_room(direction, family, quota[index], share);
            }
        }
        self.slots = slots;
    }

    /// Says why there are fewer slots than one would expect.
    fn report_room(&mut self, direction: Direction, family: Family, quota: usize, share: usize) {
        let acl = self.acl.id.clone();
        let limit = self.quota(direction, family);
        let others = self.others(direction, family);
        let shadow = self
            .first_allow(direction, family)
            .filter(|allow| allow.position.number <= *self.range.start());
        if let Some(allow) = shadow {
            self.findings.push(Finding::Shadowed {
                acl,
                position: allow.position,
                network: allow.network,
            });
        } else if others >= limit as usize {
            self.findings.push(Finding::Full {
                acl,
                direction,
                family,
                others,
                quota: limit,
            });
        } else if share < quota {
            self.findings.push(Finding::Cramped {
                acl,
                direction,
                family,
                numbers: share,
                slots: quota,
            });
        }
    }

    /// How many networks of a family can be denied in each direction that is on.
    pub(super) fn slots(&self, family: Family) -> usize {
        self.slots.get(&family).copied().unwrap_or(0)
    }
}

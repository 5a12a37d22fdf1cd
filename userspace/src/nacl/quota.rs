//! The quotas that EC2 has shown to be lower than configured.
//!
//! EC2 tells of a quota only by refusing what goes beyond it. What such a refusal has
//! taught holds for one rule list of one family, and not for ever: AWS may raise a
//! quota at any time. So the configured quota is tried again after a while, which costs
//! one refused call at the most, and at ever longer intervals while it is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::acl::{Acl, Direction, Family, Position};

/// How long what was learnt holds at first.
const FIRST_WAIT: Duration = Duration::from_hours(1);

/// To what that grows by doubling.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// What EC2 counts against one quota: the entries of one family in one rule list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct List {
    /// The NACL's id.
    pub acl: String,
    /// The rule list.
    pub direction: Direction,
    /// The family.
    pub family: Family,
}

impl List {
    /// Where an entry of this family at this position counts.
    pub fn of(acl: &str, position: Position, family: Family) -> Self {
        Self {
            acl: acl.to_owned(),
            direction: position.direction,
            family,
        }
    }

    /// Entries that a NACL shows, the default deny counted.
    fn count(&self, acl: &Acl) -> usize {
        let same = acl.entries.iter().filter(|entry| {
            entry.position.direction == self.direction && Family::of(&entry.network) == self.family
        });
        1 + same.count()
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.acl, self.family, self.direction)
    }
}

/// What one refusal, or several, have taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Learnt {
    quota: u32,
    wait: Duration,
    /// When the configured quota is tried again, in seconds since the Unix epoch.
    until: i64,
}

/// What is known of quotas beside the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LearntQuotas {
    lists: BTreeMap<List, Learnt>,
}

impl LearntQuotas {
    /// Entries that EC2 takes in a list at `now` (seconds since the Unix epoch), as far
    /// as is known: never more than `configured`.
    pub fn limit(&self, list: &List, configured: u32, now: i64) -> u32 {
        match self.lists.get(list) {
            Some(learnt) if learnt.holds(now) => learnt.quota.min(configured),
            _ => configured,
        }
    }

    /// EC2 has refused one more entry in a list that holds `full_at`, the default deny
    /// counted.
    pub fn refused(&mut self, list: List, full_at: u32, now: i64) {
        let learnt = match self.lists.get(&list) {
            // What was counted may have been one too many, never one too few.
            Some(known) if known.holds(now) => Learnt {
                quota: known.quota.min(full_at),
                ..*known
            },
            Some(known) if known.quota >= full_at => {
                let wait = known.wait.saturating_mul(2).min(LONGEST_WAIT);
                Learnt::new(full_at, wait, now)
            }
            // It was raised, though not to what is configured.
            _ => Learnt::new(full_at, FIRST_WAIT, now),
        };
        self.lists.insert(list, learnt);
    }

    /// Forgets what these NACLs disprove, and what is known of others.
    pub fn observed(&mut self, acls: &[Acl]) {
        self.lists.retain(|list, learnt| {
            let acl = acls.iter().find(|acl| acl.id == list.acl);
            acl.is_some_and(|acl| list.count(acl) <= learnt.quota as usize)
        });
    }

    /// What is to be told of lists that hold less than `configured`.
    pub fn findings(&self, configured: u32) -> impl Iterator<Item = String> {
        let lower = self.lists.iter();
        lower
            .filter(move |(_, learnt)| learnt.quota < configured)
            .map(|(list, learnt)| {
                format!(
                    "{list}: AWS allows {} entries here, less than [nacl] quota says; ask for a higher quota, or lower the setting",
                    learnt.quota
                )
            })
    }
}

impl Learnt {
    fn new(quota: u32, wait: Duration, now: i64) -> Self {
        let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        Self {
            quota,
            wait,
            until: now.saturating_add(seconds),
        }
    }

    /// Whether it is too early to try again. A clock that stepped back prolongs nothing.
    fn holds(&self, now: i64) -> bool {
        now < self.until && self.until.abs_diff(now) <= self.wait.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nacl::fake::{acl, deny, rule};

    const HOUR: i64 = 3_600;

    fn list(direction: Direction, family: Family) -> List {
        List {
            acl: "acl-1".to_owned(),
            direction,
            family,
        }
    }

    fn ingress() -> List {
        list(Direction::Ingress, Family::V4)
    }

    #[test]
    fn what_is_learnt_of_one_list_holds_for_that_list() {
        let mut learnt = LearntQuotas::default();
        learnt.refused(ingress(), 15, 0);
        assert_eq!(learnt.limit(&ingress(), 20, 1), 15);
        assert_eq!(learnt.limit(&ingress(), 10, 1), 10);
        for other in [
            list(Direction::Egress, Family::V4),
            list(Direction::Ingress, Family::V6),
            List {
                acl: "acl-2".to_owned(),
                ..ingress()
            },
        ] {
            assert_eq!(learnt.limit(&other, 20, 1), 20, "{other}");
        }
    }

    #[test]
    fn the_configured_quota_is_tried_again_and_less_often_each_time() {
        let mut learnt = LearntQuotas::default();
        let mut now = 0;
        for hours in [1, 2, 4, 8, 16, 24, 24] {
            learnt.refused(ingress(), 15, now);
            assert_eq!(learnt.limit(&ingress(), 20, now + hours * HOUR - 1), 15);
            now += hours * HOUR;
            assert_eq!(learnt.limit(&ingress(), 20, now), 20);
        }
        // Three more went in.
        learnt.refused(ingress(), 18, now);
        assert_eq!(learnt.limit(&ingress(), 20, now + HOUR - 1), 18);
        assert_eq!(learnt.limit(&ingress(), 20, now + HOUR), 20);
    }

    #[test]
    fn a_count_that_was_one_too_many_is_corrected_without_a_longer_wait() {
        let mut learnt = LearntQuotas::default();
        learnt.refused(ingress(), 17, 0);
        learnt.refused(ingress(), 15, 2);
        learnt.refused(ingress(), 16, 4);
        assert_eq!(learnt.limit(&ingress(), 20, HOUR - 1), 15);
        assert_eq!(learnt.limit(&ingress(), 20, HOUR), 20);
    }

    #[test]
    fn a_list_that_holds_more_disproves_it() {
        let mut nacl = acl("acl-1");
        let mut learnt = LearntQuotas::default();
        learnt.refused(ingress(), 3, 0);
        for number in 1..=2 {
            nacl.entries.push(deny(rule(number, "198.51.100.1/32")));
            nacl.entries
                .push(deny(rule(10 + number, "2001:db8:1::/64")));
        }
        learnt.observed(&[nacl.clone()]);
        assert_eq!(learnt.limit(&ingress(), 20, 1), 3);
        assert_eq!(learnt.findings(20).count(), 1);
        assert_eq!(learnt.findings(3).count(), 0);
        nacl.entries.push(deny(rule(3, "198.51.100.3/32")));
        learnt.observed(&[nacl]);
        assert_eq!(learnt.limit(&ingress(), 20, 1), 20);
        assert_eq!(learnt.findings(20).count(), 0);
    }

    #[test]
    fn a_clock_that_stepped_back_does_not_prolong_it() {
        let mut learnt = LearntQuotas::default();
        learnt.refused(ingress(), 15, 100 * HOUR);
        assert_eq!(learnt.limit(&ingress(), 20, 0), 20);
    }
}

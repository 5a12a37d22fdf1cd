//! EC2 as the simulated daemon meets it: one NACL, slow calls, late effects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use nicban::nacl::acl::{Acl, Direction, Entry, Family, Position, RuleAction};
use nicban::nacl::api::{AclApi, Mutation};
use nicban::nacl::clock::Clock;
use nicban::nacl::error::{ApiError, ErrorKind};

/// How long EC2 takes to answer.
pub(super) const ANSWER: Duration = Duration::from_millis(250);

/// How long after its answer a change stops packets, and shows in a describe. EC2
/// promises no more than that it happens ("Eventual consistency", Amazon EC2 API
/// Reference); seconds is what one sees.
pub(super) const EFFECT: Duration = Duration::from_secs(2);

/// Entries for each direction and family, the default deny among them.
const QUOTA: usize = nicban::nacl::acl::DEFAULT_QUOTA as usize;

/// The only NACL.
pub(super) const ACL: &str = "acl-0";

/// The account that owns it.
pub(super) const ACCOUNT: &str = "111122223333";

/// The simulated moment 0, in seconds since the Unix epoch.
pub(super) const EPOCH: i64 = 1_800_000_000;

type Entries = BTreeMap<Position, Entry>;

#[derive(Debug)]
struct State {
    now: Duration,
    /// As acknowledged.
    entries: Entries,
    /// What is in force from a moment on; the first since long.
    history: VecDeque<(Duration, Entries)>,
    changes: u64,
    describes: u64,
}

/// The NACL and the clock, shared by those that act on them.
#[derive(Debug, Clone)]
pub(super) struct Site(Arc<Mutex<State>>);

impl Site {
    /// The NACL as AWS makes it: an allow for each family.
    pub(super) fn new() -> Self {
        let allow = |number, network: &str| {
            let position = Position {
                direction: Direction::Ingress,
                number,
            };
            let entry = Entry {
                position,
                action: RuleAction::Allow,
                network: network.parse().expect("a network"),
                all_traffic: true,
            };
            (position, entry)
        };
        let entries = Entries::from([allow(100, "0.0.0.0/0"), allow(101, "::/0")]);
        Self(Arc::new(Mutex::new(State {
            now: Duration::ZERO,
            history: VecDeque::from([(Duration::ZERO, entries.clone())]),
            entries,
            changes: 0,
            describes: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.state().now
    }

    pub(super) fn advance(&self, time: Duration) {
        self.state().now += time;
    }

    /// What is denied at a moment, if that is not what it was when last asked.
    /// Moments are asked for in their order.
    pub(super) fn denied_anew(&self, at: Duration) -> Option<Vec<IpNet>> {
        let mut state = self.state();
        let later = state.history.partition_point(|(from, _)| *from <= at);
        if later <= 1 {
            return None;
        }
        state.history.drain(..later - 1);
        let (_, entries) = &state.history[0];
        let denies = entries
            .values()
            .filter(|entry| entry.action == RuleAction::Deny);
        Some(denies.map(|entry| entry.network).collect())
    }

    /// Calls that changed an entry, and calls that listed the NACL.
    pub(super) fn calls(&self) -> (u64, u64) {
        let state = self.state();
        (state.changes, state.describes)
    }

    fn describe(&self) -> Acl {
        let mut state = self.state();
        state.describes += 1;
        state.now += ANSWER;
        let now = state.now;
        let in_force = state.history.iter().rfind(|(from, _)| *from <= now);
        Acl {
            id: ACL.to_owned(),
            owner: ACCOUNT.to_owned(),
            vpc: "vpc-0".to_owned(),
            firewall_manager: false,
            entries: in_force
                .map(|(_, entries)| entries.values().cloned().collect())
                .unwrap_or_default(),
        }
    }

    fn change(&self, mutation: &Mutation) -> Result<(), ErrorKind> {
        let mut state = self.state();
        state.changes += 1;
        state.now += ANSWER;
        let position = mutation.position();
        let stands = state.entries.contains_key(&position);
        match mutation {
            Mutation::Create(_) if stands => return Err(ErrorKind::NumberTaken),
            Mutation::Create(rule) => {
                let same = |entry: &&Entry| {
                    entry.position.direction == position.direction
                        && Family::of(&entry.network) == Family::of(&rule.network)
                };
                if state.entries.values().filter(same).count() + 1 >= QUOTA {
                    return Err(ErrorKind::QuotaReached);
                }
            }
            _ if !stands => return Err(ErrorKind::EntryMissing),
            Mutation::Replace(_) | Mutation::Delete(_) => {}
        }
        match mutation {
            Mutation::Create(rule) | Mutation::Replace(rule) => {
                let entry = Entry {
                    position,
                    action: RuleAction::Deny,
                    network: rule.network,
                    all_traffic: true,
                };
                state.entries.insert(position, entry);
            }
            Mutation::Delete(_) => {
                state.entries.remove(&position);
            }
        }
        let entry = (state.now + EFFECT, state.entries.clone());
        state.history.push_back(entry);
        Ok(())
    }
}

impl AclApi for Site {
    async fn describe_by_subnets(&self, _subnets: &[String]) -> Result<Vec<Acl>, ApiError> {
        Ok(vec![Site::describe(self)])
    }

    async fn describe(&self, _acl: &str) -> Result<Acl, ApiError> {
        Ok(Site::describe(self))
    }

    async fn mutate(&self, acl: &str, mutation: &Mutation) -> Result<(), ApiError> {
        self.change(mutation).map_err(|kind| ApiError {
            operation: mutation.operation(),
            acl: Some(acl.to_owned()),
            code: None,
            message: String::new(),
            kind,
            source: None,
        })
    }

    async fn rehearse(&self, _acl: &str, _mutation: &Mutation) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Clock for Site {
    fn monotonic(&self) -> Duration {
        self.now()
    }

    fn unix(&self) -> i64 {
        EPOCH + i64::try_from(self.now().as_secs()).unwrap_or(i64::MAX - EPOCH)
    }

    async fn sleep(&self, time: Duration) {
        self.advance(time);
    }
}

#[cfg(test)]
mod tests {
    use nicban::nacl::acl::Rule;

    use super::*;

    fn rule(number: u16, host: u16) -> Rule {
        Rule {
            position: Position {
                direction: Direction::Ingress,
                number,
            },
            network: format!("192.0.2.{host}/32").parse().unwrap(),
        }
    }

    #[test]
    fn a_change_takes_its_time() {
        let site = Site::new();
        site.change(&Mutation::Create(rule(1, 1))).unwrap();
        let due = ANSWER + EFFECT;
        assert_eq!(site.denied_anew(EFFECT), None);
        assert_eq!(site.describe().entries.len(), 2);
        assert_eq!(site.denied_anew(due), Some(vec![rule(1, 1).network]));
        assert_eq!(site.denied_anew(due), None);
        site.advance(EFFECT);
        assert_eq!(site.describe().entries.len(), 3);
        assert_eq!(site.calls(), (1, 2));
    }

    #[test]
    fn the_quota_leaves_eighteen_slots() {
        let site = Site::new();
        for number in 1..=18 {
            site.change(&Mutation::Create(rule(number, number)))
                .unwrap();
        }
        let refused = site.change(&Mutation::Create(rule(19, 19)));
        assert_eq!(refused, Err(ErrorKind::QuotaReached));
        site.change(&Mutation::Replace(rule(18, 19))).unwrap();
    }
}

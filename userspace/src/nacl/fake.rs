//! A scripted EC2 for unit tests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::acl::{Acl, Direction, Entry, Position, Rule, RuleAction};
use super::api::{AclApi, Mutation};
use super::caller::{Caller, Pace};
use super::clock::Clock;
use super::error::{ApiError, ErrorKind, Operation};

/// What befalls one mutation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing.
    Pass,
    /// An error, and no change.
    Refuse(ErrorKind),
    /// The change, and an error.
    ApplyThen(ErrorKind),
    /// The change, and no reply.
    LoseReply,
}

#[derive(Debug, Default)]
struct State {
    acls: BTreeMap<String, Acl>,
    subnets: BTreeMap<String, String>,
    /// What describes show until `stale` of them are made.
    shown: BTreeMap<String, Acl>,
    stale: usize,
    lag: usize,
    mutations: VecDeque<Fault>,
    describes: VecDeque<ErrorKind>,
    rehearsals: VecDeque<ErrorKind>,
    forbidden: Option<Operation>,
    log: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct FakeApi {
    state: Mutex<State>,
}

impl FakeApi {
    pub(crate) fn with(acl: Acl) -> Self {
        let api = Self::default();
        api.state().acls.insert(acl.id.clone(), acl);
        api
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn add(&self, acl: Acl) {
        self.state().acls.insert(acl.id.clone(), acl);
    }

    pub(crate) fn associate(&self, subnet: &str, acl: &str) {
        self.state().subnets.insert(subnet.into(), acl.into());
    }

    /// The next mutations' faults, in turn.
    pub(crate) fn fail_mutations(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().mutations.extend(faults);
    }

    /// The next describes' errors, in turn.
    pub(crate) fn fail_describes(&self, errors: impl IntoIterator<Item = ErrorKind>) {
        self.state().describes.extend(errors);
    }

    /// The next rehearsals' errors, in turn.
    pub(crate) fn fail_rehearsals(&self, errors: impl IntoIterator<Item = ErrorKind>) {
        self.state().rehearsals.extend(errors);
    }

    pub(crate) fn forbid(&self, operation: Operation) {
        self.state().forbidden = Some(operation);
    }

    /// Each mutation is seen only after that many describes.
    pub(crate) fn lag(&self, describes: usize) {
        self.state().lag = describes;
    }

    /// Each mutation that came in, in turn.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Someone takes an entry of the first NACL out: the one that `choose` names out of
    /// so many.
    pub(crate) fn remove(&self, choose: impl FnOnce(usize) -> usize) {
        let mut state = self.state();
        let Some(acl) = state.acls.values_mut().next() else {
            return;
        };
        if !acl.entries.is_empty() {
            acl.entries.remove(choose(acl.entries.len()));
        }
    }

    pub(crate) fn entries(&self, acl: &str) -> Vec<Entry> {
        self.state().acls[acl].entries.clone()
    }
}

impl State {
    fn show(&mut self) -> &BTreeMap<String, Acl> {
        if self.stale > 0 {
            self.stale -= 1;
            &self.shown
        } else {
            &self.acls
        }
    }

    fn change(&mut self, id: &str, mutation: &Mutation) -> Result<(), ErrorKind> {
        if self.stale == 0 {
            self.shown = self.acls.clone();
        }
        let acl = self.acls.get_mut(id).ok_or(ErrorKind::AclMissing)?;
        let place = acl
            .entries
            .iter()
            .position(|entry| entry.position == mutation.position());
        match (mutation, place) {
            (Mutation::Create(_), Some(_)) => return Err(ErrorKind::NumberTaken),
            (Mutation::Create(rule), None) => acl.entries.push(deny(*rule)),
            (Mutation::Replace(rule), Some(place)) => acl.entries[place] = deny(*rule),
            (Mutation::Delete(_), Some(place)) => {
                acl.entries.remove(place);
            }
            (_, None) => return Err(ErrorKind::EntryMissing),
        }
        self.stale = self.lag;
        Ok(())
    }
}

fn error(operation: Operation, acl: Option<&str>, kind: ErrorKind) -> ApiError {
    ApiError {
        operation,
        acl: acl.map(str::to_owned),
        code: None,
        message: String::new(),
        kind,
        source: None,
    }
}

impl AclApi for FakeApi {
    async fn describe_by_subnets(&self, subnets: &[String]) -> Result<Vec<Acl>, ApiError> {
        assert!(subnets.len() <= 200, "EC2 takes at most 200 values");
        let mut state = self.state();
        if let Some(kind) = state.describes.pop_front() {
            return Err(error(Operation::Describe, None, kind));
        }
        let ids: Vec<_> = subnets
            .iter()
            .filter_map(|subnet| state.subnets.get(subnet).cloned())
            .collect();
        let shown = state.show();
        Ok(shown
            .values()
            .filter(|acl| ids.contains(&acl.id))
            .cloned()
            .collect())
    }

    async fn describe(&self, acl: &str) -> Result<Acl, ApiError> {
        let mut state = self.state();
        if let Some(kind) = state.describes.pop_front() {
            return Err(error(Operation::Describe, Some(acl), kind));
        }
        state
            .show()
            .get(acl)
            .cloned()
            .ok_or_else(|| error(Operation::Describe, Some(acl), ErrorKind::AclMissing))
    }

    async fn mutate(&self, acl: &str, mutation: &Mutation) -> Result<(), ApiError> {
        let mut state = self.state();
        state.log.push(format!("{acl} {mutation}"));
        let operation = mutation.operation();
        let fault = state.mutations.pop_front().unwrap_or(Fault::Pass);
        let outcome = match fault {
            Fault::Refuse(kind) => Err(kind),
            Fault::Pass if state.forbidden == Some(operation) => Err(ErrorKind::Forbidden),
            Fault::Pass => state.change(acl, mutation),
            Fault::ApplyThen(kind) => state.change(acl, mutation).and(Err(kind)),
            Fault::LoseReply => {
                // The caller learns of neither success nor failure.
                state
                    .change(acl, mutation)
                    .or(Ok(()))
                    .and(Err(ErrorKind::Unreachable))
            }
        };
        outcome.map_err(|kind| error(operation, Some(acl), kind))
    }

    async fn rehearse(&self, acl: &str, mutation: &Mutation) -> Result<(), ApiError> {
        let operation = mutation.operation();
        let mut state = self.state();
        if let Some(kind) = state.rehearsals.pop_front() {
            return Err(error(operation, Some(acl), kind));
        }
        if state.forbidden == Some(operation) {
            return Err(error(operation, Some(acl), ErrorKind::Forbidden));
        }
        Ok(())
    }
}

/// Time that passes only by waiting.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    now: Mutex<Duration>,
}

impl Clock for TestClock {
    fn monotonic(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn unix(&self) -> i64 {
        1_700_000_000 + i64::try_from(self.monotonic().as_secs()).unwrap()
    }

    async fn sleep(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }
}

/// A caller by the test's clock, whose pauses are half of the longest.
pub(crate) fn caller(api: FakeApi) -> Caller<FakeApi, TestClock> {
    Caller::new(api, TestClock::default(), Pace::default()).with_jitter(|| 0.5)
}

pub(crate) fn acl(id: &str) -> Acl {
    Acl {
        id: id.into(),
        owner: "123456789012".into(),
        vpc: "vpc-1".into(),
        firewall_manager: false,
        entries: Vec::new(),
    }
}

pub(crate) fn ingress(number: u16) -> Position {
    Position {
        direction: Direction::Ingress,
        number,
    }
}

pub(crate) fn rule(number: u16, network: &str) -> Rule {
    Rule {
        position: ingress(number),
        network: network.parse().unwrap(),
    }
}

pub(crate) fn deny(rule: Rule) -> Entry {
    Entry {
        position: rule.position,
        action: RuleAction::Deny,
        network: rule.network,
        all_traffic: true,
    }
}

pub(crate) fn allow_all(number: u16) -> Entry {
    Entry {
        action: RuleAction::Allow,
        ..deny(rule(number, "0.0.0.0/0"))
    }
}

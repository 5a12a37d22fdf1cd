//! A scripted EC2 for unit tests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use ipnet::IpNet;
use nicban_protocol::Mode;

use super::acl::{Acl, Direction, Entry, Position, Rule, RuleAction};
use super::api::{AclApi, Mutation};
use super::budget::Allowance;
use super::caller::{Caller, Pace};
use super::clock::Clock;
use super::error::{ApiError, ErrorKind, Operation};
use super::market::Candidate;
use super::reconcile::{Contenders, Place};

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
        carry_out(acl, mutation, usize::MAX)?;
        self.stale = self.lag;
        Ok(())
    }
}

pub(crate) fn error(operation: Operation, acl: Option<&str>, kind: ErrorKind) -> ApiError {
    ApiError {
        operation,
        acl: acl.map(str::to_owned),
        code: None,
        message: String::new(),
        kind,
        source: None,
    }
}

/// Makes a change to a NACL that takes so many entries, the default deny counted.
pub(crate) fn carry_out(acl: &mut Acl, mutation: &Mutation, quota: usize) -> Result<(), ErrorKind> {
    let place = acl
        .entries
        .iter()
        .position(|entry| entry.position == mutation.position());
    match (mutation, place) {
        (Mutation::Create(_), Some(_)) => return Err(ErrorKind::NumberTaken),
        (Mutation::Create(_), None) if acl.entries.len() + 1 >= quota => {
            return Err(ErrorKind::QuotaReached);
        }
        (Mutation::Create(rule), None) => acl.entries.push(deny(*rule)),
        (Mutation::Replace(rule), Some(place)) => acl.entries[place] = deny(*rule),
        (Mutation::Delete(_), Some(place)) => drop(acl.entries.remove(place)),
        (_, None) => return Err(ErrorKind::EntryMissing),
    }
    Ok(())
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

/// The host's subnet.
pub(crate) const SUBNET: &str = "subnet-1";

/// Where the host stands.
pub(crate) fn place() -> Place {
    Place {
        region: "eu-central-1".to_owned(),
        subnets: vec![SUBNET.to_owned()],
        account: "123456789012".to_owned(),
        vpc_networks: Vec::new(),
    }
}

pub(crate) fn host(number: u8) -> IpNet {
    format!("203.0.113.{number}/32").parse().unwrap()
}

/// Hosts that are banned, each with its rate in packets/s.
pub(crate) fn bans(hosts: impl IntoIterator<Item = (u8, f64)>) -> Contenders {
    let candidates = hosts.into_iter().map(|(number, rate)| Candidate {
        network: host(number),
        rate,
        bancount: 1,
        banned_since: 0,
        until: None,
    });
    Contenders {
        mode: Mode::Enforce,
        candidates: candidates.collect(),
        allowed: Vec::new(),
    }
}

/// Checks that no span of time has more calls than the bucket lets out.
pub(crate) fn check_calls(calls: &[Duration], allowance: Allowance) {
    for (i, first) in calls.iter().enumerate() {
        for (j, last) in calls.iter().enumerate().skip(i) {
            let refilled = last.saturating_sub(*first).as_millis() / allowance.period.as_millis();
            let most = u128::from(allowance.burst.get()) + refilled;
            let made = j - i + 1;
            assert!(
                made as u128 <= most,
                "{made} calls from {first:?} to {last:?}"
            );
        }
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
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

//! An EC2 by a clock of its own, whose faults last for a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::nacl::acl::{Acl, Entry, Position, Rule};
use crate::nacl::api::{AclApi, Mutation};
use crate::nacl::clock::Clock;
use crate::nacl::error::{ApiError, ErrorKind, Operation};
use crate::nacl::fake::{SUBNET, acl, allow_all, carry_out, error};
use crate::nacl::ledger::{Ledger, LedgerEntry, LedgerError, MemoryLedger};

/// Entries for each direction and family, the default deny counted.
const QUOTA: usize = 20;

/// How long a call takes that is not answered, by the client's patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time that passes as fast as the test runs, up to a limit at which it stands still.
#[derive(Debug, Clone)]
pub(super) struct Time(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    now: Mutex<Duration>,
    limit: watch::Sender<Duration>,
    stands_still: Notify,
}

impl Time {
    pub(super) fn new() -> Self {
        Self(Arc::new(Hands {
            now: Mutex::default(),
            limit: watch::Sender::new(Duration::ZERO),
            stands_still: Notify::new(),
        }))
    }

    /// Lets time pass up to a moment.
    pub(super) async fn pass_until(&self, moment: Duration) {
        self.0.limit.send_replace(moment);
        while self.monotonic() < moment {
            self.0.stands_still.notified().await;
        }
    }
}

impl Clock for Time {
    fn monotonic(&self) -> Duration {
        *self.0.now.lock().unwrap()
    }

    fn unix(&self) -> i64 {
        1_700_000_000 + i64::try_from(self.monotonic().as_secs()).unwrap()
    }

    async fn sleep(&self, time: Duration) {
        *self.0.now.lock().unwrap() += time;
        let mut limit = self.0.limit.subscribe();
        while self.monotonic() >= *limit.borrow_and_update() {
            self.0.stands_still.notify_one();
            if limit.changed().await.is_err() {
                return;
            }
        }
        // Others have a turn too, such as whoever stops the clock.
        tokio::task::yield_now().await;
    }
}

/// What befalls calls for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Clear,
    Throttled,
    /// 5xx; the change is made all the same, or not.
    Broken {
        made: bool,
    },
    /// No reply in time; the change is made all the same, or not.
    Silent {
        made: bool,
    },
    /// One change in so many fails and all else works: plans stop half-way.
    Patchy {
        one_in: u64,
        made: bool,
    },
    /// The credentials have expired, and there are no others.
    Expired,
    /// One call is not permitted.
    Forbidden(Operation),
    /// As in another Region: there is neither the subnet nor the NACL.
    Elsewhere,
}

/// What someone does to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// Ties the subnet to another NACL.
    Swap,
    /// Deletes the subnet's NACL; it is tied to a new one.
    Replace,
}

#[derive(Debug, Clone, Default)]
struct Account {
    acls: BTreeMap<String, Acl>,
    /// The subnet's.
    tied: String,
}

#[derive(Debug)]
struct State {
    truth: Account,
    /// What describes show, from when on.
    shown: Vec<(Duration, Account)>,
    lag: Duration,
    weather: Weather,
    made: u64,
    changes: u64,
    describes: Vec<Duration>,
    mutations: Vec<Duration>,
}

/// The account, which several hold.
#[derive(Debug, Clone)]
pub(super) struct Ec2 {
    time: Time,
    state: Arc<Mutex<State>>,
}

impl Ec2 {
    pub(super) fn new(time: Time) -> Self {
        let mut truth = Account::default();
        truth.tie_to_new("acl-0");
        let state = State {
            shown: vec![(Duration::ZERO, truth.clone())],
            truth,
            lag: Duration::ZERO,
            weather: Weather::Clear,
            made: 1,
            changes: 0,
            describes: Vec::new(),
            mutations: Vec::new(),
        };
        Self {
            time,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn set(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// How long changes from now on are not shown.
    pub(super) fn lag(&self, lag: Duration) {
        self.state().lag = lag;
    }

    pub(super) fn befall(&self, deed: Deed) {
        let mut state = self.state();
        let now = self.time.monotonic();
        let old = state.truth.tied.clone();
        let id = format!("acl-{}", state.made);
        state.made += 1;
        state.truth.tie_to_new(&id);
        if deed == Deed::Replace {
            state.truth.acls.remove(&old);
        }
        state.publish(now);
    }

    /// The denies of the NACL that guards the subnet.
    pub(super) fn denied(&self) -> Vec<Entry> {
        let state = self.state();
        denies(&state.truth.acls[&state.truth.tied])
            .cloned()
            .collect()
    }

    /// The denies of all NACLs, all of which nicban has put in.
    pub(super) fn denied_anywhere(&self) -> Vec<(String, Entry)> {
        let state = self.state();
        let acls = state.truth.acls.values();
        acls.flat_map(|acl| denies(acl).map(|entry| (acl.id.clone(), entry.clone())))
            .collect()
    }

    /// When calls were made so far: those that list, and those that change.
    pub(super) fn calls(&self) -> [Vec<Duration>; 2] {
        let state = self.state();
        [state.describes.clone(), state.mutations.clone()]
    }

    /// Forgets them: another process has another budget.
    pub(super) fn forget_calls(&self) {
        let mut state = self.state();
        state.describes.clear();
        state.mutations.clear();
    }

    async fn list(&self, wanted: Wanted<'_>) -> Result<Vec<Acl>, ErrorKind> {
        let now = self.time.monotonic();
        let weather = {
            let mut state = self.state();
            state.describes.push(now);
            state.weather
        };
        match weather {
            Weather::Throttled => return Err(ErrorKind::Throttled),
            Weather::Broken { .. } => return Err(ErrorKind::Unavailable),
            Weather::Silent { .. } => {
                self.time.sleep(PATIENCE).await;
                return Err(ErrorKind::Unreachable);
            }
            Weather::Expired => return Err(ErrorKind::Credentials),
            Weather::Forbidden(Operation::Describe) => return Err(ErrorKind::Forbidden),
            Weather::Elsewhere => return Ok(Vec::new()),
            Weather::Clear | Weather::Patchy { .. } | Weather::Forbidden(_) => {}
        }
        let mut state = self.state();
        let shown = state.shown(now);
        let id = match wanted {
            Wanted::Of(subnets) if subnets.iter().any(|it| it == SUBNET) => shown.tied.clone(),
            Wanted::Of(_) => return Ok(Vec::new()),
            Wanted::Named(id) => id.to_owned(),
        };
        Ok(shown.acls.get(&id).cloned().into_iter().collect())
    }

    async fn change(&self, id: &str, mutation: &Mutation) -> Result<(), ErrorKind> {
        let now = self.time.monotonic();
        let (weather, turn) = {
            let mut state = self.state();
            state.mutations.push(now);
            state.changes += 1;
            (state.weather, state.changes)
        };
        let (made, error) = match weather {
            Weather::Throttled => (false, ErrorKind::Throttled),
            Weather::Broken { made } => (made, ErrorKind::Unavailable),
            Weather::Patchy { one_in, made } if turn.is_multiple_of(one_in) => {
                (made, ErrorKind::Unreachable)
            }
            Weather::Silent { made } => (made, ErrorKind::Unreachable),
            Weather::Expired => (false, ErrorKind::Credentials),
            Weather::Forbidden(which) if which == mutation.operation() => {
                (false, ErrorKind::Forbidden)
            }
            Weather::Elsewhere => (false, ErrorKind::AclMissing),
            Weather::Clear | Weather::Patchy { .. } | Weather::Forbidden(_) => {
                return self.state().apply(id, mutation, now);
            }
        };
        // An error of EC2's own hides what came of the change.
        if made {
            let _hidden = self.state().apply(id, mutation, now);
        }
        if error == ErrorKind::Unreachable {
            self.time.sleep(PATIENCE).await;
        }
        Err(error)
    }
}

/// The NACLs that a describe asks for.
enum Wanted<'a> {
    Of(&'a [String]),
    Named(&'a str),
}

fn denies(acl: &Acl) -> impl Iterator<Item = &Entry> {
    let ours = acl.entries.iter();
    ours.filter(|entry| entry.position.number < 100)
}

impl Account {
    fn tie_to_new(&mut self, id: &str) {
        let mut new = acl(id);
        new.entries.push(allow_all(100));
        self.acls.insert(id.to_owned(), new);
        id.clone_into(&mut self.tied);
    }
}

impl State {
    fn shown(&mut self, now: Duration) -> &Account {
        let later = self.shown.iter().position(|(from, _)| *from > now);
        let past = later.unwrap_or(self.shown.len()).saturating_sub(1);
        self.shown.drain(..past);
        &self.shown[0].1
    }

    /// What is true now is shown after the lag, and never before what came earlier.
    fn publish(&mut self, now: Duration) {
        let last = self.shown.last().map_or(Duration::ZERO, |(from, _)| *from);
        let from = last.max(now + self.lag);
        self.shown.push((from, self.truth.clone()));
    }

    fn apply(&mut self, id: &str, mutation: &Mutation, now: Duration) -> Result<(), ErrorKind> {
        let acl = self.truth.acls.get_mut(id).ok_or(ErrorKind::AclMissing)?;
        carry_out(acl, mutation, QUOTA)?;
        self.publish(now);
        Ok(())
    }
}

impl AclApi for Ec2 {
    async fn describe_by_subnets(&self, subnets: &[String]) -> Result<Vec<Acl>, ApiError> {
        let listed = self.list(Wanted::Of(subnets)).await;
        listed.map_err(|kind| error(Operation::Describe, None, kind))
    }

    async fn describe(&self, acl: &str) -> Result<Acl, ApiError> {
        let listed = self.list(Wanted::Named(acl)).await;
        let found = listed.and_then(|acls| acls.into_iter().next().ok_or(ErrorKind::AclMissing));
        found.map_err(|kind| error(Operation::Describe, Some(acl), kind))
    }

    async fn mutate(&self, acl: &str, mutation: &Mutation) -> Result<(), ApiError> {
        let changed = self.change(acl, mutation).await;
        changed.map_err(|kind| error(mutation.operation(), Some(acl), kind))
    }

    async fn rehearse(&self, _: &str, _: &Mutation) -> Result<(), ApiError> {
        Ok(())
    }
}

/// A ledger that outlives whoever writes it.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedLedger(Arc<Mutex<MemoryLedger>>);

impl Ledger for SharedLedger {
    fn intend(&mut self, acl: &str, rule: &Rule, now: i64) -> Result<(), LedgerError> {
        self.0.lock().unwrap().intend(acl, rule, now)
    }

    fn forget(&mut self, acl: &str, position: Position) -> Result<(), LedgerError> {
        self.0.lock().unwrap().forget(acl, position)
    }

    fn entries(&self) -> Result<Vec<LedgerEntry>, LedgerError> {
        self.0.lock().unwrap().entries()
    }

    fn withdraw(&mut self, acl: &str, rule: &Rule) -> Result<(), LedgerError> {
        self.0.lock().unwrap().withdraw(acl, rule)
    }
}

//! Calls to EC2 as often and as patiently as they may be made.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use super::acl::Acl;
use super::api::{AclApi, Mutation};
use super::budget::{Allowance, Budget};
use super::clock::Clock;
use super::error::{ApiError, ErrorKind, Operation, Response};

/// The values that EC2 takes in one filter ("Filtering", Amazon EC2 User Guide).
const FILTER_VALUES: usize = 200;

/// The pauses between attempts: a random part of a time that doubles ("full
/// jitter", AWS Architecture Blog), so that hosts that failed together don't
/// come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Attempts in all.
    pub attempts: NonZeroU32,
    /// The longest pause after the first attempt.
    pub first: Duration,
    /// The longest pause of all.
    pub longest: Duration,
}

impl Backoff {
    /// The longest pause after the given attempt, counted from 1.
    fn ceiling(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(6).unwrap_or(NonZeroU32::MIN),
            first: Duration::from_millis(500),
            longest: Duration::from_secs(15),
        }
    }
}

/// How fast calls may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Calls that change an entry, dry runs too.
    pub mutations: Allowance,
    /// Calls that list NACLs.
    pub describes: Allowance,
    /// Attempts of one call.
    pub backoff: Backoff,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            mutations: Allowance::MUTATIONS,
            describes: Allowance::DESCRIBES,
            backoff: Backoff::default(),
        }
    }
}

/// Attempts made so far, by call and by outcome; `None` is success.
pub type Calls = BTreeMap<(Operation, Option<ErrorKind>), u64>;

/// A call that failed for good.
#[derive(Debug, thiserror::Error)]
#[error("{error}{}", in_attempts(*attempts))]
pub struct CallError {
    /// The last attempt's error.
    #[source]
    pub error: ApiError,
    /// Attempts made.
    pub attempts: u32,
    /// Whether one of the attempts may have had its effect all the same.
    pub in_doubt: bool,
}

fn in_attempts(attempts: u32) -> String {
    match attempts {
        0 | 1 => String::new(),
        more => format!(" (attempt {more}, the last)"),
    }
}

impl CallError {
    /// What nicban does upon it. [`Response::Retry`] says that the attempts are
    /// used up.
    pub const fn response(&self) -> Response {
        self.error.response()
    }
}

/// The one that makes all calls, so that the budget sees each attempt.
#[derive(Debug)]
pub struct Caller<A, C> {
    api: A,
    pacer: Pacer<C>,
}

impl<A: AclApi, C: Clock> Caller<A, C> {
    /// A caller with full budgets.
    pub fn new(api: A, clock: C, pace: Pace) -> Self {
        Self {
            api,
            pacer: Pacer {
                clock,
                mutations: Budget::new(pace.mutations),
                describes: Budget::new(pace.describes),
                backoff: pace.backoff,
                jitter: fastrand::f64,
                calls: Calls::new(),
            },
        }
    }

    /// Pauses of a known length.
    #[cfg(test)]
    pub(crate) fn with_jitter(mut self, jitter: fn() -> f64) -> Self {
        self.pacer.jitter = jitter;
        self
    }

    #[cfg(test)]
    pub(crate) const fn api(&self) -> &A {
        &self.api
    }

    #[cfg(test)]
    pub(crate) fn into_api(self) -> A {
        self.api
    }

    /// The clock that it waits by.
    pub const fn clock(&self) -> &C {
        &self.pacer.clock
    }

    /// The attempts made so far.
    pub const fn calls(&self) -> &Calls {
        &self.pacer.calls
    }

    /// The NACLs of any number of subnets, each once, in the order of their ids.
    pub async fn describe_by_subnets(&mut self, subnets: &[String]) -> Result<Vec<Acl>, CallError> {
        let Self { api, pacer } = self;
        let mut acls = BTreeMap::new();
        let subnets: BTreeSet<_> = subnets.iter().cloned().collect();
        let subnets: Vec<_> = subnets.into_iter().collect();
        for some in subnets.chunks(FILTER_VALUES) {
            let found = pacer
                .run(Operation::Describe, Effect::None, || {
                    api.describe_by_subnets(some)
                })
                .await?;
            acls.extend(found.into_iter().map(|acl| (acl.id.clone(), acl)));
        }
        Ok(acls.into_values().collect())
    }

    /// One NACL by its id.
    pub async fn describe(&mut self, acl: &str) -> Result<Acl, CallError> {
        let Self { api, pacer } = self;
        pacer
            .run(Operation::Describe, Effect::None, || api.describe(acl))
            .await
    }

    /// Those of these NACLs that there are, such as those that the ledger names
    /// when everything is to be taken back.
    pub async fn describe_each(&mut self, acls: &BTreeSet<String>) -> Result<Vec<Acl>, CallError> {
        let mut found = Vec::new();
        for acl in acls {
            match self.describe(acl).await {
                Ok(acl) => found.push(acl),
                Err(failed) if failed.error.kind == ErrorKind::AclMissing => {}
                Err(failed) => return Err(failed),
            }
        }
        Ok(found)
    }

    /// Changes one entry.
    pub async fn mutate(&mut self, acl: &str, mutation: &Mutation) -> Result<(), CallError> {
        let Self { api, pacer } = self;
        pacer
            .run(mutation.operation(), Effect::Change, || {
                api.mutate(acl, mutation)
            })
            .await
    }

    /// Asks whether a change would be allowed.
    pub async fn rehearse(&mut self, acl: &str, mutation: &Mutation) -> Result<(), CallError> {
        let Self { api, pacer } = self;
        pacer
            .run(mutation.operation(), Effect::None, || {
                api.rehearse(acl, mutation)
            })
            .await
    }
}

#[derive(Debug)]
struct Pacer<C> {
    clock: C,
    mutations: Budget,
    describes: Budget,
    backoff: Backoff,
    /// A number from 0 to 1 (exclusive), another one each time.
    jitter: fn() -> f64,
    calls: Calls,
}

impl<C: Clock> Pacer<C> {
    async fn run<T, F>(
        &mut self,
        operation: Operation,
        effect: Effect,
        mut call: impl FnMut() -> F + Send,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, ApiError>> + Send,
    {
        let mut attempts = 0;
        let mut in_doubt = false;
        loop {
            self.wait_for_budget(operation).await;
            let result = call().await;
            attempts += 1;
            let kind = result.as_ref().err().map(|error| error.kind);
            *self.calls.entry((operation, kind)).or_default() += 1;
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if error.kind == ErrorKind::Throttled {
                let now = self.clock.monotonic();
                self.budget(operation).drain(now);
            }
            in_doubt |= effect == Effect::Change && error.kind.leaves_doubt();
            if !worth_another(effect, error.kind) || attempts >= self.backoff.attempts.get() {
                return Err(CallError {
                    error,
                    attempts,
                    in_doubt,
                });
            }
            let pause = self.backoff.ceiling(attempts).mul_f64((self.jitter)());
            tracing::debug!(%error, attempts, ?pause, "will call EC2 again");
            self.clock.sleep(pause).await;
        }
    }

    async fn wait_for_budget(&mut self, operation: Operation) {
        loop {
            let now = self.clock.monotonic();
            match self.budget(operation).take(now) {
                Ok(()) => return,
                Err(wait) => self.clock.sleep(wait).await,
            }
        }
    }

    fn budget(&mut self, operation: Operation) -> &mut Budget {
        match operation {
            Operation::Describe => &mut self.describes,
            Operation::Create | Operation::Replace | Operation::Delete => &mut self.mutations,
        }
    }
}

/// Whether a call changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    Change,
}

/// What changes nothing can be asked for again when its reply was lost; a change
/// can't, until one has looked.
fn worth_another(effect: Effect, kind: ErrorKind) -> bool {
    kind.response() == Response::Retry || (effect == Effect::None && kind == ErrorKind::Unreachable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nacl::fake::{FakeApi, Fault, TestClock, acl, caller, rule};

    #[tokio::test]
    async fn throttling_is_waited_out() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([
            Fault::Refuse(ErrorKind::Throttled),
            Fault::Refuse(ErrorKind::Throttled),
        ]);
        let mut caller = caller(api);
        let rule = rule(1, "198.51.100.1/32");
        caller
            .mutate("acl-1", &Mutation::Create(rule))
            .await
            .unwrap();
        assert_eq!(
            caller.calls()[&(Operation::Create, Some(ErrorKind::Throttled))],
            2
        );
        assert_eq!(caller.calls()[&(Operation::Create, None)], 1);
        // Pauses of 250 and 500 ms, each made up to the second in which one call is due.
        assert_eq!(caller.clock().monotonic(), Duration::from_secs(2));
    }

    #[tokio::test]
    async fn attempts_end() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([Fault::Refuse(ErrorKind::Throttled); 100]);
        let mut caller = caller(api);
        let failed = caller
            .mutate("acl-1", &Mutation::Create(rule(1, "198.51.100.1/32")))
            .await
            .unwrap_err();
        assert_eq!(failed.attempts, 6);
        assert_eq!(failed.response(), Response::Retry);
        assert!(!failed.in_doubt);
    }

    #[tokio::test]
    async fn a_lost_reply_to_a_change_is_not_asked_for_again() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([Fault::LoseReply]);
        let mut caller = caller(api);
        let failed = caller
            .mutate("acl-1", &Mutation::Create(rule(1, "198.51.100.1/32")))
            .await
            .unwrap_err();
        assert_eq!((failed.attempts, failed.in_doubt), (1, true));
    }

    #[tokio::test]
    async fn doubt_outlives_a_later_definite_error() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([
            Fault::ApplyThen(ErrorKind::Unavailable),
            Fault::Refuse(ErrorKind::NumberTaken),
        ]);
        let mut caller = caller(api);
        let failed = caller
            .mutate("acl-1", &Mutation::Create(rule(1, "198.51.100.1/32")))
            .await
            .unwrap_err();
        assert_eq!(failed.error.kind, ErrorKind::NumberTaken);
        assert!(failed.in_doubt);
    }

    #[tokio::test]
    async fn a_lost_reply_to_a_listing_is_asked_for_again() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_describes([ErrorKind::Unreachable, ErrorKind::Unavailable]);
        let mut caller = caller(api);
        assert_eq!(caller.describe("acl-1").await.unwrap(), acl("acl-1"));
        assert_eq!(caller.calls().values().sum::<u64>(), 3);
    }

    #[tokio::test]
    async fn so_is_one_to_a_rehearsal() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_rehearsals([ErrorKind::Unreachable]);
        let mut caller = caller(api);
        let create = Mutation::Create(rule(1, "198.51.100.1/32"));
        caller.rehearse("acl-1", &create).await.unwrap();
        assert_eq!(caller.calls().values().sum::<u64>(), 2);
    }

    #[tokio::test]
    async fn the_budget_sees_every_attempt() {
        let api = FakeApi::with(acl("acl-1"));
        let pace = Pace {
            mutations: Allowance {
                burst: NonZeroU32::new(2).unwrap(),
                period: Duration::from_secs(10),
            },
            ..Pace::default()
        };
        let mut caller = Caller::new(api, TestClock::default(), pace);
        for number in 1..=4 {
            caller
                .mutate("acl-1", &Mutation::Create(rule(number, "198.51.100.1/32")))
                .await
                .unwrap();
        }
        assert_eq!(caller.clock().monotonic(), Duration::from_secs(20));
    }

    #[tokio::test]
    async fn a_nacl_of_two_subnets_comes_once() {
        let api = FakeApi::with(acl("acl-1"));
        api.associate("subnet-1", "acl-1");
        api.associate("subnet-2", "acl-1");
        let mut caller = caller(api);
        let subnets: Vec<_> = (0..450).map(|i| format!("subnet-{i}")).collect();
        let found = caller.describe_by_subnets(&subnets).await.unwrap();
        assert_eq!(found, [acl("acl-1")]);
        assert_eq!(caller.calls()[&(Operation::Describe, None)], 3);
    }

    #[tokio::test]
    async fn a_nacl_that_is_gone_is_left_out_but_a_failure_is_one() {
        let ids = ["acl-0", "acl-1"].map(String::from).into();
        let mut caller = caller(FakeApi::with(acl("acl-1")));
        assert_eq!(caller.describe_each(&ids).await.unwrap(), [acl("acl-1")]);
        caller.api().fail_describes([ErrorKind::Forbidden]);
        caller.describe_each(&ids).await.unwrap_err();
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let ceilings: Vec<_> = (1..=7).map(|n| backoff.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        assert_eq!(backoff.ceiling(u32::MAX), backoff.longest);
    }
}

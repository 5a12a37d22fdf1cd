//! What holds for the calls that rounds make, whatever EC2 answers and whoever is banned.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::nacl::api::Mutation;
use crate::nacl::budget::Allowance;
use crate::nacl::cadence::{Cadence, LOOK, Rhythm};
use crate::nacl::caller::Pace;
use crate::nacl::error::{ApiError, ErrorKind};
use crate::nacl::fake::{
    FakeApi, Fault, SUBNET, TestClock, acl, allow_all, bans, block_on, check_calls, place,
};
use crate::nacl::ledger::MemoryLedger;

/// A clock that several read.
#[derive(Debug, Default, Clone)]
struct Shared(Arc<TestClock>);

impl Clock for Shared {
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn unix(&self) -> i64 {
        self.0.unix()
    }

    async fn sleep(&self, time: Duration) {
        self.0.sleep(time).await;
    }
}

/// An EC2 that knows when it was asked.
#[derive(Debug)]
struct Timed {
    api: FakeApi,
    clock: Shared,
    describes: Mutex<Vec<Duration>>,
    mutations: Mutex<Vec<Duration>>,
}

impl AclApi for Timed {
    async fn describe_by_subnets(&self, subnets: &[String]) -> Result<Vec<Acl>, ApiError> {
        self.describes.lock().unwrap().push(self.clock.monotonic());
        self.api.describe_by_subnets(subnets).await
    }

    async fn describe(&self, acl: &str) -> Result<Acl, ApiError> {
        self.describes.lock().unwrap().push(self.clock.monotonic());
        self.api.describe(acl).await
    }

    async fn mutate(&self, acl: &str, mutation: &Mutation) -> Result<(), ApiError> {
        self.mutations.lock().unwrap().push(self.clock.monotonic());
        self.api.mutate(acl, mutation).await
    }

    async fn rehearse(&self, acl: &str, mutation: &Mutation) -> Result<(), ApiError> {
        self.mutations.lock().unwrap().push(self.clock.monotonic());
        self.api.rehearse(acl, mutation).await
    }
}

type Tested = Reconciler<Timed, Shared, MemoryLedger>;

fn reconciler(mutations: Allowance, describes: Allowance, config: PlanConfig) -> Tested {
    let mut nacl = acl("acl-1");
    nacl.entries.push(allow_all(100));
    let api = FakeApi::with(nacl);
    api.associate(SUBNET, "acl-1");
    let clock = Shared::default();
    let timed = Timed {
        api,
        clock: clock.clone(),
        describes: Mutex::default(),
        mutations: Mutex::default(),
    };
    let pace = Pace {
        mutations,
        describes,
        ..Pace::default()
    };
    let caller = Caller::new(timed, clock, pace).with_jitter(|| 0.5);
    Reconciler::new(caller, MemoryLedger::default(), place(), config)
}

impl Tested {
    fn ec2(&self) -> &FakeApi {
        &self.caller.api().api
    }

    fn calls_at(&self) -> (Vec<Duration>, Vec<Duration>) {
        let timed = self.caller.api();
        let describes = timed.describes.lock().unwrap().clone();
        (describes, timed.mutations.lock().unwrap().clone())
    }
}

/// Keeps the rhythm as the tier does, up to a moment.
async fn keep_rhythm(
    reconciler: &mut Tested,
    cadence: &mut Cadence,
    contenders: &Contenders,
    until: Duration,
) {
    while reconciler.clock().monotonic() < until {
        let now = reconciler.clock().monotonic();
        let preview = reconciler.preview(contenders).unwrap();
        let due = cadence.is_due(now);
        if due || !preview.steps.is_empty() {
            if due || !cadence.is_fresh(now) {
                cadence.observed(now);
                reconciler.observe().await.unwrap();
            }
            let round = reconciler.round(contenders).await.unwrap();
            if round.done > 0 {
                cadence.changed();
            } else if due {
                cadence.unchanged();
            }
        }
        reconciler.caller.clock().sleep(LOOK).await;
    }
}

/// Something that befalls the tier between two rounds.
#[derive(Debug, Clone)]
enum Event {
    Bans(Vec<(u8, f64)>),
    Mutations(Vec<Fault>),
    Describes(Vec<ErrorKind>),
    Lag(usize),
    /// Someone takes one of all entries out.
    Remove(prop::sample::Index),
    Release,
}

fn kind() -> impl Strategy<Value = ErrorKind> {
    prop::sample::select(vec![
        ErrorKind::Throttled,
        ErrorKind::Unavailable,
        ErrorKind::Unreachable,
        ErrorKind::QuotaReached,
        ErrorKind::NumberTaken,
        ErrorKind::EntryMissing,
        ErrorKind::Forbidden,
        ErrorKind::Malformed,
        ErrorKind::Unknown,
    ])
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => Just(Fault::Pass),
        3 => kind().prop_map(Fault::Refuse),
        1 => kind().prop_map(Fault::ApplyThen),
        1 => Just(Fault::LoseReply),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let bans = prop::collection::vec((0_u8..60, 0.0..1_000.0), 0..40);
    prop_oneof![
        6 => bans.prop_map(Event::Bans),
        2 => prop::collection::vec(fault(), 1..10).prop_map(Event::Mutations),
        1 => prop::collection::vec(kind(), 1..10).prop_map(Event::Describes),
        1 => (0_usize..3).prop_map(Event::Lag),
        2 => any::<prop::sample::Index>().prop_map(Event::Remove),
        1 => Just(Event::Release),
    ]
}

fn allowance() -> impl Strategy<Value = Allowance> {
    (1_u32..30, 1_u64..5_000).prop_map(|(burst, period)| Allowance {
        burst: NonZeroU32::new(burst).unwrap(),
        period: Duration::from_millis(period),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_inputs_makes_more_calls_than_the_buckets_allow(
        mutations in allowance(),
        describes in allowance(),
        moves in prop::collection::vec((event(), 0_u64..40_000, any::<bool>()), 1..40),
    ) {
        let mut reconciler = reconciler(mutations, describes, PlanConfig::default());
        let mut contenders = bans([]);
        block_on(async {
            for (event, pause, observe) in moves {
                match event {
                    Event::Bans(hosts) => contenders = bans(hosts),
                    Event::Mutations(faults) => reconciler.ec2().fail_mutations(faults),
                    Event::Describes(kinds) => reconciler.ec2().fail_describes(kinds),
                    Event::Lag(describes) => reconciler.ec2().lag(describes),
                    Event::Remove(index) => reconciler.ec2().remove(|entries| index.index(entries)),
                    Event::Release => drop(reconciler.release().await),
                }
                reconciler.caller.clock().sleep(Duration::from_millis(pause)).await;
                if observe && reconciler.observe().await.is_err() {
                    continue;
                }
                // What fails is tried again, as fast as it may be.
                for _ in 0..3 {
                    drop(reconciler.round(&contenders).await);
                }
            }
        });
        let (described, mutated) = reconciler.calls_at();
        check_calls(&described, describes);
        check_calls(&mutated, mutations);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn in_a_steady_state_nothing_is_called_but_observations_that_grow_rare(
        // Also far below the time that a change takes to show.
        every in 5_u64..120,
        hosts in prop::collection::vec((0_u8..60, 0.0..1_000.0), 0..40),
    ) {
        let hosts: BTreeMap<u8, f64> = hosts.into_iter().collect();
        let config = PlanConfig {
            // Nobody is put on trial: that is no steady state.
            market: crate::nacl::market::MarketConfig { trials: 0, ..Default::default() },
            ..PlanConfig::default()
        };
        let (fast, describes) = (Allowance::MUTATIONS, Allowance::DESCRIBES);
        let mut tested = reconciler(fast, describes, config);
        let rhythm = Rhythm {
            every: Duration::from_secs(every),
            at_most: Duration::from_secs(every * 4),
        };
        let mut cadence = Cadence::new(rhythm);
        let contenders = bans(hosts.iter().map(|(host, rate)| (*host, *rate)));
        // In a slot nobody is counted, so nobody has a rate once all is settled.
        let quiet = bans(hosts.keys().map(|host| (*host, 0.0)));
        block_on(async {
            let minute = Duration::from_mins(1);
            keep_rhythm(&mut tested, &mut cadence, &contenders, minute).await;
            keep_rhythm(&mut tested, &mut cadence, &quiet, minute + rhythm.at_most * 5).await;
        });
        let (described, mutated) = tested.calls_at();
        check_calls(&mutated, fast);
        prop_assert!(mutated.iter().all(|at| *at < Duration::from_mins(2)), "{mutated:?}");
        let late: Vec<Duration> = described
            .windows(2)
            .filter(|pair| pair[0] > Duration::from_mins(2))
            .map(|pair| pair[1].saturating_sub(pair[0]))
            .collect();
        prop_assert!(late.is_sorted(), "{late:?}");
        let last = *late.last().unwrap();
        prop_assert!(last >= rhythm.at_most && last <= rhythm.at_most + LOOK, "{late:?}");
    }
}

/// Lets time pass, and observes.
async fn look_after(tested: &mut Tested, time: Duration) {
    tested.caller.clock().sleep(time).await;
    tested.observe().await.unwrap();
}

const SECOND: Duration = Duration::from_secs(1);

fn tested() -> Tested {
    let (mutations, describes) = (Allowance::MUTATIONS, Allowance::DESCRIBES);
    let mut config = PlanConfig::default();
    config.sharing.members = 0;
    reconciler(mutations, describes, config)
}

#[tokio::test]
async fn what_someone_deletes_before_it_shows_is_told_once_it_should_show() {
    let mut tested = tested();
    tested.observe().await.unwrap();
    let contenders = bans([(1, 1.0)]);
    assert_eq!(tested.round(&contenders).await.unwrap().done, 1);
    tested.ec2().remove(|_| 1);
    for _ in 0..5 {
        look_after(&mut tested, 5 * SECOND).await;
        let round = tested.round(&contenders).await.unwrap();
        assert_eq!((round.done, round.findings.len()), (0, 0));
    }
    look_after(&mut tested, 5 * SECOND).await;
    let round = tested.round(&contenders).await.unwrap();
    assert_eq!(round.done, 0);
    assert!(round.findings[0].contains("to be put back"), "{round:?}");
    look_after(&mut tested, 30 * SECOND).await;
    assert_eq!(tested.round(&contenders).await.unwrap().done, 1);
}

#[tokio::test]
async fn a_refusal_whose_record_stays_accuses_nobody() {
    let mut tested = tested();
    tested.observe().await.unwrap();
    tested
        .ec2()
        .fail_mutations([Fault::Refuse(ErrorKind::Unknown)]);
    let contenders = bans([(1, 1.0)]);
    // The first write records it, the second would have taken that back.
    tested.ledger.refuse_after = Some(1);
    tested.round(&contenders).await.unwrap();
    tested.ledger.refuse_after = None;
    assert_eq!(
        tested.ledger.entries.len(),
        1,
        "though EC2 has no such entry"
    );
    look_after(&mut tested, 31 * SECOND).await;
    let round = tested.round(&contenders).await.unwrap();
    assert_eq!((round.done, round.findings), (1, Vec::new()));
    assert_eq!(tested.ledger.entries.len(), 1);
}

#[tokio::test]
async fn a_learnt_quota_is_tried_again_and_gone_once_ec2_takes_more() {
    let mut tested = tested();
    tested.observe().await.unwrap();
    // Too quiet to contest a slot that is taken.
    let contenders = bans((1..=30).map(|number| (number, 0.0)));
    let limit = |faults: usize| {
        let mut limit = vec![Fault::Pass; faults];
        limit.push(Fault::Refuse(ErrorKind::QuotaReached));
        limit
    };
    tested.ec2().fail_mutations(limit(5));
    assert_eq!(tested.round(&contenders).await.unwrap().done, 5);
    let told = |round: &Round| {
        round
            .findings
            .iter()
            .any(|it| it.contains("AWS allows 7 entries"))
    };
    // 5 of ours, the allow and the default deny.
    for _ in 0..59 {
        look_after(&mut tested, 60 * SECOND).await;
        let round = tested.round(&contenders).await.unwrap();
        assert_eq!(round.done, 0);
        assert!(told(&round), "{:?}", round.findings);
    }
    tested.ec2().fail_mutations(limit(0));
    look_after(&mut tested, 60 * SECOND).await;
    let tries = tested.ec2().log().len();
    let round = tested.round(&contenders).await.unwrap();
    assert_eq!((round.done, tested.ec2().log().len() - tries), (0, 1));
    assert!(told(&round));
    look_after(&mut tested, 60 * 60 * SECOND).await;
    assert_eq!(
        tested.round(&contenders).await.unwrap().done,
        0,
        "too early"
    );
    look_after(&mut tested, 60 * 60 * SECOND).await;
    assert_eq!(
        tested.round(&contenders).await.unwrap().done,
        13,
        "it was raised"
    );
    look_after(&mut tested, 60 * SECOND).await;
    let round = tested.round(&contenders).await.unwrap();
    assert_eq!(round.findings, Vec::<String>::new());
}

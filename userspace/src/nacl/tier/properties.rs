//! What holds for the tier while AWS is at its worst, and afterwards: the real tier with the
//! real calls, on a clock that needs no waiting.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::IpNet;
use nicban_protocol::NaclStatus;
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::model::{Deed, Ec2, SharedLedger, Time, Weather};
use super::*;
use crate::engine::Message;
use crate::nacl::budget::Allowance;
use crate::nacl::caller::{Backoff, Caller, Pace};
use crate::nacl::error::Operation;
use crate::nacl::fake::{self, block_on, check_calls, host, place};
use crate::nacl::plan::PlanConfig;

const SECOND: Duration = Duration::from_secs(1);

/// As the daemon keeps it unless told otherwise.
const RHYTHM: Rhythm = Rhythm {
    every: Duration::from_mins(1),
    at_most: Duration::from_mins(15),
};

/// Slots of a family: a quota of 20 less the allow and the default deny.
const SLOTS: usize = 18;

/// Far longer than EC2 takes to show a change in these tests.
const LONGEST_LAG: Duration = Duration::from_mins(2);

type Bans = Arc<Mutex<Vec<(u8, f64)>>>;

/// A host with a tier, and EC2.
struct World {
    time: Time,
    ec2: Ec2,
    ledger: SharedLedger,
    bans: Bans,
    /// Whether the engine was told anything that is no question about who competes.
    disturbed: Arc<AtomicBool>,
    released: tempfile::TempDir,
    pace: Pace,
    rhythm: Rhythm,
}

/// A running daemon's part of it.
struct Life {
    handle: NaclHandle,
    tasks: [JoinHandle<()>; 2],
}

impl World {
    fn new(pace: Pace, rhythm: Rhythm) -> Self {
        let time = Time::new();
        Self {
            ec2: Ec2::new(time.clone()),
            time,
            ledger: SharedLedger::default(),
            bans: Bans::default(),
            disturbed: Arc::default(),
            released: tempfile::tempdir().unwrap(),
            pace,
            rhythm,
        }
    }

    fn ban(&self, hosts: Vec<(u8, f64)>) {
        *self.bans.lock().unwrap() = hosts;
    }

    /// Starts what a daemon starts.
    fn live(&self) -> Life {
        self.ec2.forget_calls();
        let (engine, messages) = EngineHandle::to_nobody();
        let (bans, disturbed) = (Arc::clone(&self.bans), Arc::clone(&self.disturbed));
        let answers = tokio::spawn(answer(messages, bans, disturbed));
        let first = NaclView::idle(NaclState::On, "starting");
        let (handle, desk) = desk(first, Released::in_folder(self.released.path()));
        let caller = Caller::new(self.ec2.clone(), self.time.clone(), self.pace);
        let reconciler = Reconciler::new(caller, self.ledger.clone(), place(), config());
        let (rhythm, time) = (self.rhythm, self.time.clone());
        let works = tokio::spawn(keep(reconciler, engine, desk, rhythm, time));
        Life {
            handle,
            tasks: [answers, works],
        }
    }

    async fn pass(&self, time: Duration) {
        self.time.pass_until(self.time.monotonic() + time).await;
    }

    /// What nicban has put into NACLs and does not know of.
    fn strays(&self) -> Vec<String> {
        let known = self.ledger.entries().unwrap();
        let standing = self.ec2.denied_anywhere();
        let strays = standing.iter().filter(|(acl, entry)| {
            !known.iter().any(|record| {
                record.acl == *acl
                    && record.rule.position == entry.position
                    && record.rule.network == entry.network
            })
        });
        strays
            .map(|(acl, entry)| format!("{acl} {} {}", entry.position, entry.network))
            .collect()
    }

    /// Expects that the subnet's NACL denies who is banned, each once.
    fn has_converged(&self, status: &NaclStatus) {
        let bans = self.bans.lock().unwrap();
        let denied: Vec<IpNet> = self.ec2.denied().iter().map(|it| it.network).collect();
        let banned: Vec<IpNet> = bans.iter().map(|(number, _)| host(*number)).collect();
        assert!(
            denied.iter().all(|network| banned.contains(network)),
            "{denied:?} of {banned:?}, {status:?}"
        );
        let distinct: std::collections::BTreeSet<&IpNet> = denied.iter().collect();
        assert_eq!(distinct.len(), denied.len(), "{denied:?}");
        assert_eq!(denied.len(), banned.len().min(SLOTS), "{status:?}");
    }

    /// Expects that no span of time had more calls than the buckets let out.
    fn kept_to_its_budget(&self) {
        let [describes, mutations] = self.ec2.calls();
        check_calls(&describes, self.pace.describes);
        check_calls(&mutations, self.pace.mutations);
    }
}

impl Life {
    /// Ends it as SIGKILL does.
    async fn kill(self) {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            match task.await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => {}
            }
        }
    }
}

/// As the daemon does, but for the instance metadata, which has nothing new to tell.
async fn keep(
    mut reconciler: Reconciler<Ec2, Time, SharedLedger>,
    engine: EngineHandle,
    mut desk: Desk,
    rhythm: Rhythm,
    time: Time,
) {
    loop {
        let tier = Tier::new(reconciler, engine.clone(), desk, rhythm);
        let Some(homeless) = tier.run().await else {
            return;
        };
        (reconciler, desk) = (homeless.reconciler, homeless.desk);
        reconciler.relocate(place());
        let pause = time.sleep(rhythm.every);
        if !desk.turn_away(pause, || None).await {
            return;
        }
    }
}

/// An engine that says who competes, and notes whatever else it is told.
async fn answer(mut messages: mpsc::Receiver<Message>, bans: Bans, disturbed: Arc<AtomicBool>) {
    while let Some(message) = messages.recv().await {
        if let Message::Market { reply, .. } = message {
            let bans = bans.lock().unwrap();
            drop(reply.send(fake::bans(bans.iter().copied())));
        } else {
            disturbed.store(true, Ordering::Relaxed);
        }
    }
}

/// Defaults, but that a removal is forgiven soon: what EC2 shows too late looks like one.
fn config() -> PlanConfig {
    let mut config = PlanConfig {
        repair_after: SECOND * 10,
        back_off: SECOND * 20,
        longest_back_off: SECOND * 40,
        ..PlanConfig::default()
    };
    config.sharing.members = 0;
    config
}

/// What happens at the beginning of a spell.
#[derive(Debug, Clone)]
enum Turn {
    Nothing,
    Bans(Vec<(u8, f64)>),
    Lag(Duration),
    Deed(Deed),
    Crash,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop::sample::select(vec![
        Operation::Describe,
        Operation::Create,
        Operation::Replace,
        Operation::Delete,
    ])
}

fn weather() -> impl Strategy<Value = Weather> {
    prop_oneof![
        2 => Just(Weather::Clear),
        1 => Just(Weather::Throttled),
        1 => any::<bool>().prop_map(|made| Weather::Broken { made }),
        1 => any::<bool>().prop_map(|made| Weather::Silent { made }),
        2 => (2_u64..6, any::<bool>()).prop_map(|(one_in, made)| Weather::Patchy { one_in, made }),
        1 => Just(Weather::Expired),
        2 => operation().prop_map(Weather::Forbidden),
        1 => Just(Weather::Elsewhere),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    // One of the numbers is missing now and then, so that bans end too.
    let hosts = prop::collection::btree_map(0_u8..24, 0.0..1_000.0, 0..24);
    let seconds = (0..=LONGEST_LAG.as_secs()).prop_map(Duration::from_secs);
    prop_oneof![
        2 => Just(Turn::Nothing),
        4 => hosts.prop_map(|hosts| Turn::Bans(hosts.into_iter().collect())),
        2 => seconds.prop_map(Turn::Lag),
        1 => prop::sample::select(vec![Deed::Swap, Deed::Replace]).prop_map(Turn::Deed),
        1 => Just(Turn::Crash),
    ]
}

fn allowance() -> impl Strategy<Value = Allowance> {
    (1_u32..30, 50_u64..5_000).prop_map(|(burst, period)| Allowance {
        burst: NonZeroU32::new(burst).unwrap(),
        period: Duration::from_millis(period),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_befalls_aws_the_nacl_converges_afterwards_and_no_entry_is_forgotten(
        mutations in allowance(),
        describes in allowance(),
        spells in prop::collection::vec((turn(), weather(), 1_u64..240), 1..16),
    ) {
        let pace = Pace { mutations, describes, backoff: Backoff::default() };
        let rhythm = Rhythm { every: SECOND * 5, at_most: SECOND * 30 };
        block_on(async {
            let world = World::new(pace, rhythm);
            let mut life = world.live();
            for (turn, weather, seconds) in spells {
                world.ec2.set(weather);
                match turn {
                    Turn::Nothing => {}
                    Turn::Bans(hosts) => world.ban(hosts),
                    Turn::Lag(lag) => world.ec2.lag(lag),
                    Turn::Deed(deed) => world.ec2.befall(deed),
                    Turn::Crash => {
                        world.kept_to_its_budget();
                        life.kill().await;
                        life = world.live();
                    }
                }
                world.pass(SECOND * u32::try_from(seconds).unwrap()).await;
            }
            world.ec2.set(Weather::Clear);
            world.ec2.lag(Duration::ZERO);
            // What was made shows, what was missed is looked for, and each slot takes a call.
            world.pass(LONGEST_LAG + SECOND * 5 * 2 * 24 + SECOND * 300).await;
            world.has_converged(&life.handle.status());
            assert_eq!(life.handle.status().state, NaclState::On);
            assert_eq!(world.strays(), [""; 0]);
            world.kept_to_its_budget();

            // And so everything can be taken back.
            let release = life.handle.release();
            let pass = world.pass(SECOND * 600);
            let (reply, ()) = tokio::join!(release, pass);
            assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
            assert_eq!(world.ec2.denied_anywhere(), []);
            assert_eq!(world.ledger.entries().unwrap(), []);
            life.kill().await;
            assert!(!world.disturbed.load(Ordering::Relaxed), "the XDP tier was told of it");
        });
    }
}

/// The tier by its defaults, an hour of something, and what the status says of it.
fn an_hour_of(weather: Weather, state: NaclState, reason: &str) {
    block_on(async {
        let world = World::new(Pace::default(), RHYTHM);
        let life = world.live();
        world.ban((0..6).map(|number| (number, 0.0)).collect());
        world.pass(SECOND * 60).await;
        world.has_converged(&life.handle.status());

        world.ec2.set(weather);
        // One call of each kind is asked for: some bans end, others begin, and two more.
        world.ban((3..14).map(|number| (number, 0.0)).collect());
        let before = world.ec2.calls().map(|calls| calls.len());
        world.pass(SECOND * 3_600).await;
        let status = life.handle.status();
        assert_eq!(status.state, state, "{weather:?}: {status:?}");
        assert!(status.reason.contains(reason), "{weather:?}: {status:?}");
        let after = world.ec2.calls().map(|calls| calls.len());
        let [describes, changes] = [after[0] - before[0], after[1] - before[1]];
        println!("{weather:?}: {describes} describes, {changes} changes in an hour");
        // Six attempts a look, and a look in a minute, in two, in four, … in fifteen.
        assert!(describes <= 60 && changes <= 60, "{describes}, {changes}");

        world.ec2.set(Weather::Clear);
        world.pass(RHYTHM.at_most + SECOND * 60).await;
        let status = life.handle.status();
        assert_eq!(status.state, NaclState::On, "{weather:?}: {status:?}");
        world.has_converged(&status);
        assert_eq!(world.strays(), [""; 0]);
        world.kept_to_its_budget();
        life.kill().await;
        assert!(!world.disturbed.load(Ordering::Relaxed));
    });
}

#[test]
fn an_hour_of_any_trouble_costs_few_calls_and_is_made_up_for_at_the_next_look() {
    use NaclState::{Degraded, Refused};
    for (weather, state, word) in [
        (Weather::Throttled, Degraded, "throttled"),
        (Weather::Broken { made: false }, Degraded, "EC2 has a fault"),
        (Weather::Broken { made: true }, Degraded, "EC2 has a fault"),
        (
            Weather::Silent { made: false },
            Degraded,
            "no usable reply from EC2",
        ),
        (
            Weather::Silent { made: true },
            Degraded,
            "no usable reply from EC2",
        ),
        (Weather::Expired, Degraded, "no valid credentials"),
        (
            Weather::Elsewhere,
            Degraded,
            "no network ACL for subnet-1 in eu-central-1",
        ),
        (
            Weather::Forbidden(Operation::Describe),
            Refused,
            "DescribeNetworkAcls: not allowed",
        ),
        (
            Weather::Forbidden(Operation::Create),
            Refused,
            "CreateNetworkAclEntry on acl-0: not allowed",
        ),
        (
            Weather::Forbidden(Operation::Replace),
            Refused,
            "ReplaceNetworkAclEntry on acl-0: not allowed",
        ),
    ] {
        an_hour_of(weather, state, word);
    }
}

#[test]
fn what_ec2_shows_after_a_release_is_taken_out_as_it_shows() {
    block_on(async {
        let world = World::new(Pace::default(), RHYTHM);
        let life = world.live();
        world.pass(SECOND).await;
        // Made, but nobody says so, and not to be seen before the release.
        world.ec2.set(Weather::Silent { made: true });
        world.ec2.lag(SECOND * 100);
        world.ban(vec![(1, 0.0)]);
        world.pass(SECOND * 12).await;
        assert_eq!(world.ec2.denied().len(), 1);
        world.ec2.set(Weather::Clear);
        let release = life.handle.release();
        let (reply, ()) = tokio::join!(release, world.pass(SECOND * 80));
        assert!(
            matches!(&reply, Reply::Done { note: Some(note), .. } if note.contains("1 more")),
            "{reply:?}"
        );
        assert_eq!(world.ec2.denied().len(), 1, "not shown yet");
        let reason = life.handle.status().reason;
        assert!(reason.contains("1 more"), "{reason}");
        world.pass(RHYTHM.at_most).await;
        assert_eq!(world.ec2.denied(), []);
        assert_eq!(life.handle.status().state, NaclState::Released);
        life.kill().await;
    });
}

#[test]
fn what_was_put_into_a_nacl_that_is_gone_is_not_told_of_for_ever() {
    block_on(async {
        let world = World::new(Pace::default(), RHYTHM);
        let life = world.live();
        world.ban(vec![(1, 0.0)]);
        world.pass(SECOND * 60).await;
        world.ec2.befall(Deed::Swap);
        world.pass(RHYTHM.at_most * 2).await;
        world.has_converged(&life.handle.status());
        let told = life.handle.status().findings;
        assert!(told[0].contains("acl-0 holds 1 of our entries"), "{told:?}");
        world.ec2.befall(Deed::Replace);
        world.pass(RHYTHM.at_most * 2).await;
        world.has_converged(&life.handle.status());
        // The second NACL is deleted; the first one is there all the same.
        let acls: Vec<String> = world
            .ledger
            .entries()
            .unwrap()
            .into_iter()
            .map(|it| it.acl)
            .collect();
        assert_eq!(acls, ["acl-0", "acl-2"]);
        let told = life.handle.status().findings;
        assert_eq!(told.len(), 1, "{told:?}");
        life.kill().await;
    });
}

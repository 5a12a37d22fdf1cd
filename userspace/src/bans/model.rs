//! Random histories, beside a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nicban_protocol::Outcome;
use proptest::prelude::*;

use super::{Bans, Change, Hold, KernelChange, Limits, ManyChange, StoreChange, Until};
use crate::target::{Ipv6Prefix, Map, Target};

const WINDOW: i64 = 2;
const LIMITS: Limits = Limits {
    hash_v4: 3,
    hash_v6: 2,
    trie_v4: 1,
    trie_v6: 1,
};
const TARGETS: [&str; 9] = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "192.0.2.4",
    "2001:db8::1",
    "2001:db8:0:1::1",
    "198.51.100.0/24",
    "203.0.113.0/25",
    "2001:db8::/48",
];
const HOLDERS: [&str; 4] = ["sshd", "nginx", "manual", "import:list"];

#[derive(Debug, Clone)]
enum Op {
    Ban {
        target: usize,
        holder: usize,
        begun: i64,
        bantime: i64,
        restored: bool,
        prolong: bool,
    },
    /// Several of one list: a target, and how long.
    Many {
        holder: usize,
        bans: Vec<(usize, i64)>,
    },
    Unban {
        target: usize,
        holder: Option<usize>,
    },
    Flush(usize),
    Lift(usize),
    Stop(usize),
    Start(usize),
    Restart,
}

#[derive(Debug, Clone)]
struct Step {
    wait: i64,
    drain: bool,
    /// The kernel or the store refuses, so that it is taken back.
    refused: bool,
    op: Op,
}

fn op() -> impl Strategy<Value = Op> {
    let ban = (
        0..TARGETS.len(),
        0..HOLDERS.len(),
        -20i64..3,
        prop_oneof![Just(-1i64), 0i64..60],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(target, holder, begun, bantime, restored, prolong)| Op::Ban {
                target,
                holder,
                begun,
                bantime,
                restored,
                prolong,
            },
        );
    let unban = (0..TARGETS.len(), prop::option::of(0..HOLDERS.len()))
        .prop_map(|(target, holder)| Op::Unban { target, holder });
    let bantime = prop_oneof![Just(-1i64), 0i64..60];
    let many = (
        0..HOLDERS.len(),
        prop::collection::vec((0..TARGETS.len(), bantime), 0..6),
    )
        .prop_map(|(holder, bans)| Op::Many { holder, bans });
    prop_oneof![
        4 => many,
        8 => ban,
        3 => unban,
        2 => (0..HOLDERS.len()).prop_map(Op::Flush),
        1 => (0..HOLDERS.len()).prop_map(Op::Lift),
        1 => (0..HOLDERS.len()).prop_map(Op::Stop),
        1 => (0..HOLDERS.len()).prop_map(Op::Start),
        1 => Just(Op::Restart),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let refused = prop::bool::weighted(0.15);
    (
        prop_oneof![Just(0i64), 0i64..20],
        any::<bool>(),
        refused,
        op(),
    )
        .prop_map(|(wait, drain, refused, op)| Step {
            wait,
            drain,
            refused,
            op,
        })
}

fn targets() -> Vec<Target> {
    let parse = |text: &&str| Target::parse(text, Ipv6Prefix::default()).unwrap().target;
    TARGETS.iter().map(parse).collect()
}

/// The model: a list of holds, and of each holder's flushes what they cover.
#[derive(Debug, Clone, Default)]
struct Model {
    holds: Vec<(Target, usize, i64, Until)>,
    flushes: Vec<Flush>,
}

#[derive(Debug, Clone)]
struct Flush {
    holder: usize,
    at: i64,
    due: i64,
    settled: bool,
    covers: BTreeSet<Target>,
}

impl Model {
    fn of(&self, holder: usize) -> BTreeSet<Target> {
        let held = self.holds.iter().filter(|hold| hold.1 == holder);
        held.map(|hold| hold.0).collect()
    }

    fn has_room(&self, target: Target) -> bool {
        let map = |target: &Target| target.map(Ipv6Prefix::default());
        let all: BTreeSet<_> = self.holds.iter().map(|hold| hold.0).collect();
        let used = all.iter().filter(|other| map(other) == map(&target));
        all.contains(&target) || used.count() < LIMITS.of(map(&target))
    }

    /// Tells whether there was room.
    fn ban(&mut self, hold: (Target, usize, i64, Until), only_longer: bool, now: i64) -> bool {
        let (target, holder, since, until) = hold;
        if until.is_over(now) {
            return true;
        }
        let own = self
            .holds
            .iter_mut()
            .find(|own| (own.0, own.1) == (target, holder) && !own.3.is_over(now));
        if let Some(own) = own {
            let shortens = until < own.3 && (only_longer || since < own.2);
            let stale = until == own.3 && (only_longer || since < own.2);
            if !shortens && !stale {
                *own = hold;
            }
        } else if self.has_room(target) {
            self.holds.retain(|old| (old.0, old.1) != (target, holder));
            self.holds.push(hold);
        } else {
            return false;
        }
        for flush in self
            .flushes
            .iter_mut()
            .filter(|flush| flush.holder == holder)
        {
            flush.covers.remove(&target);
        }
        true
    }

    /// All of them, or none where one has no room. What the list holds until then already stays
    /// as it is, unless a flush asks what was banned after it.
    fn many(&mut self, holder: usize, bans: &[(Target, Until)], now: i64) -> bool {
        let mut latest: BTreeMap<Target, Until> = BTreeMap::new();
        for (target, until) in bans.iter().filter(|ban| !ban.1.is_over(now)) {
            let end = latest.entry(*target).or_insert(*until);
            *end = (*end).max(*until);
        }
        let mut after = self.clone();
        let flushes = after.flushes.iter().any(|flush| flush.holder == holder);
        for (target, until) in latest {
            let own = after
                .holds
                .iter()
                .find(|own| (own.0, own.1) == (target, holder));
            if own.is_some_and(|own| own.3 == until) && !flushes {
                continue;
            }
            if !after.ban((target, holder, now, until), false, now) {
                return false;
            }
        }
        *self = after;
        true
    }

    fn unban(&mut self, target: Target, holder: Option<usize>, now: i64) {
        let goes = |hold: &(Target, usize, i64, Until)| {
            hold.0 == target && holder.is_none_or(|holder| holder == hold.1)
        };
        if self.holds.iter().any(goes) {
            self.holds
                .retain(|hold| !(goes(hold) || hold.0 == target && hold.3.is_over(now)));
        }
    }

    fn flush(&mut self, holder: usize, now: i64) {
        let covers = self.of(holder);
        if covers.is_empty() {
            return;
        }
        for earlier in self
            .flushes
            .iter_mut()
            .filter(|flush| flush.holder == holder)
        {
            earlier.settled = true;
        }
        self.flushes.push(Flush {
            holder,
            at: now,
            due: now + WINDOW + 1,
            settled: false,
            covers,
        });
    }

    fn lift(&mut self, holder: usize, now: i64) {
        self.flush(holder, now);
        for flush in self
            .flushes
            .iter_mut()
            .filter(|flush| flush.holder == holder)
        {
            flush.settled = true;
        }
    }

    fn stop(&mut self, holder: usize) {
        self.flushes
            .retain(|flush| flush.holder != holder || flush.settled);
    }

    fn drain(&mut self, now: i64) {
        let (due, wait) = self
            .flushes
            .drain(..)
            .partition(|flush| flush.settled || flush.due <= now);
        self.flushes = wait;
        for flush in Vec::from_iter::<Vec<Flush>>(due) {
            self.holds
                .retain(|hold| hold.1 != flush.holder || !flush.covers.contains(&hold.0));
        }
        self.holds.retain(|hold| !hold.3.is_over(now));
    }

    fn restart(&mut self, now: i64) {
        let mut flushes: Vec<Flush> = Vec::new();
        while let Some(flush) = self.flushes.pop() {
            if flushes.iter().any(|later| later.holder == flush.holder) {
                continue;
            }
            let at = flush.at;
            let told = self.holds.iter();
            let covers = told.filter(|hold| hold.1 == flush.holder && hold.2 < at);
            flushes.push(Flush {
                due: now + WINDOW + 1,
                settled: false,
                covers: covers.map(|hold| hold.0).collect(),
                ..flush
            });
        }
        self.flushes = flushes;
    }

    fn ends(&self) -> BTreeMap<Target, Until> {
        let mut ends = BTreeMap::new();
        for hold in &self.holds {
            let end = ends.entry(hold.0).or_insert(hold.3);
            *end = hold.3.max(*end);
        }
        ends
    }
}

/// What is under test, with a kernel and a store that do as they are told.
struct Subject {
    bans: Bans,
    kernel: BTreeMap<Target, Until>,
    holds: BTreeMap<(Target, Arc<str>), Hold>,
    flushes: BTreeMap<Arc<str>, i64>,
    offences: BTreeMap<Target, u32>,
}

fn kernel_does(
    kernel: &mut BTreeMap<Target, Until>,
    target: Option<Target>,
    change: Option<KernelChange>,
) {
    match (target, change) {
        (Some(target), Some(KernelChange::Put(end))) => drop(kernel.insert(target, end)),
        (Some(target), Some(KernelChange::Remove)) => drop(kernel.remove(&target)),
        (_, None) => {}
        (None, Some(_)) => panic!("a kernel change without a target"),
    }
}

impl Subject {
    fn new() -> Self {
        Self {
            bans: Bans::new(LIMITS, Ipv6Prefix::default()),
            kernel: BTreeMap::new(),
            holds: BTreeMap::new(),
            flushes: BTreeMap::new(),
            offences: BTreeMap::new(),
        }
    }

    fn execute(&mut self, change: &Change, refused: bool) {
        let before = self.dump();
        let undo = self.bans.commit(change);
        if refused {
            let mut kernel = self.kernel.clone();
            kernel_does(&mut kernel, change.target, change.kernel);
            kernel_does(&mut kernel, undo.target(), undo.kernel());
            assert_eq!(kernel, self.kernel, "undoing {change:?}");
            self.bans.undo(undo);
            assert_eq!(self.dump(), before, "undoing {change:?}");
            return;
        }
        kernel_does(&mut self.kernel, change.target, change.kernel);
        change.store.iter().for_each(|change| self.keep(change));
    }

    fn execute_many(&mut self, mut change: ManyChange, refused: bool) {
        let before = self.dump();
        let held = change.take_held();
        let undo = self.bans.commit_many(&change);
        if refused {
            let mut kernel = self.kernel.clone();
            let put = change.fresh().iter().copied();
            kernel.extend(put);
            let undos: Vec<_> = held
                .iter()
                .map(|change| {
                    kernel_does(&mut kernel, change.target, change.kernel);
                    self.bans.commit(change)
                })
                .collect();
            for undo in undos.into_iter().rev() {
                kernel_does(&mut kernel, undo.target(), undo.kernel());
                self.bans.undo(undo);
            }
            for target in undo.targets() {
                kernel.remove(&target);
            }
            self.bans.undo_many(&undo);
            assert_eq!(kernel, self.kernel, "undoing {change:?}");
            assert_eq!(self.dump(), before, "undoing {change:?}");
            return;
        }
        self.kernel.extend(change.fresh().iter().copied());
        change.store().iter().for_each(|change| self.keep(change));
        for change in held {
            self.execute(&change, false);
        }
    }

    fn keep(&mut self, change: &StoreChange) {
        match change.clone() {
            StoreChange::PutHold { target, hold } => {
                self.holds.insert((target, Arc::clone(&hold.holder)), hold);
            }
            StoreChange::PutMany {
                holder,
                since,
                holds,
            } => {
                for (target, until) in holds.iter() {
                    let hold = Hold {
                        holder: Arc::clone(&holder),
                        since,
                        until: *until,
                        bancount: 1,
                        failures: 0,
                        reason: None,
                    };
                    let before = self.holds.insert((*target, Arc::clone(&holder)), hold);
                    assert_eq!(before, None, "it was held already");
                }
            }
            StoreChange::DeleteHold { target, holder } => {
                assert!(self.holds.remove(&(target, holder)).is_some());
            }
            StoreChange::CountOffence { target, .. } => {
                *self.offences.entry(target).or_default() += 1;
                self.bans.set_offences(&target, self.offences[&target]);
            }
            StoreChange::PutFlush { holder, at } => {
                self.flushes.insert(holder, at);
            }
            StoreChange::DeleteFlush { holder } => {
                self.flushes.remove(&holder);
            }
        }
    }

    /// Everything that a request or the time depends on, numbers of names aside.
    fn dump(&self) -> String {
        let mut holds: Vec<_> = self
            .bans
            .iter()
            .flat_map(|ban| {
                ban.holds()
                    .map(move |hold| (ban.target, ban.offences(), hold))
            })
            .collect();
        holds.sort_by(|a, b| (a.0, &a.2.holder).cmp(&(b.0, &b.2.holder)));
        let mut names: Vec<_> = self.bans.holders().collect();
        names.sort();
        let used = Map::ALL.map(|map| self.bans.used(map));
        let Bans { jails, queue, .. } = &self.bans;
        format!("{holds:#?} {names:?} {used:?} {jails:#?} {queue:?}")
    }

    fn drain(&mut self, now: i64) {
        for _ in 0..1_000 {
            let due = self.bans.plan_due(now, 2);
            if due.is_empty() {
                assert!(self.bans.next_deadline().is_none_or(|next| now < next));
                return;
            }
            for change in due {
                self.execute(&change, false);
            }
        }
        panic!("what is due never ends");
    }

    fn restart(&mut self, now: i64) {
        let mut bans = Bans::new(LIMITS, Ipv6Prefix::default());
        for ((target, _), hold) in &self.holds {
            let offences = self.offences.get(target).copied().unwrap_or(0);
            bans.restore(*target, hold.clone(), offences).unwrap();
        }
        for (holder, at) in &self.flushes {
            bans.restore_flush(holder, *at, WINDOW, now);
        }
        self.bans = bans;
    }

    fn check(&self, model: &Model) {
        assert_eq!(self.kernel, model.ends(), "what the kernel drops");
        let ends: BTreeMap<_, _> = self
            .bans
            .iter()
            .map(|ban| (ban.target, ban.end()))
            .collect();
        assert_eq!(ends, self.kernel, "what is in force");
        let held = self.bans.iter().flat_map(|ban| {
            ban.holds()
                .map(move |hold| ((ban.target, Arc::clone(&hold.holder)), hold))
        });
        assert_eq!(
            held.collect::<BTreeMap<_, _>>(),
            self.holds,
            "what is stored"
        );
        let mut told: Vec<_> = model
            .holds
            .iter()
            .map(|hold| (hold.0, Arc::from(HOLDERS[hold.1]), hold.2, hold.3))
            .collect();
        told.sort();
        let stored = self.holds.iter();
        let stored: Vec<_> = stored
            .map(|((target, holder), hold)| (*target, Arc::clone(holder), hold.since, hold.until))
            .collect();
        assert_eq!(stored, told, "who holds what");
        for map in Map::ALL {
            let all = self.bans.iter();
            let used = all.filter(|ban| ban.target.map(Ipv6Prefix::default()) == map);
            assert_eq!(self.bans.used(map), used.count());
        }
    }
}

/// Plans many and executes them; the model as it is then, unless they were refused.
fn many(
    subject: &mut Subject,
    mut after: Model,
    holder: usize,
    bans: &[(usize, i64)],
    refused: bool,
    now: i64,
) -> Option<Model> {
    let targets = targets();
    let bans: Vec<_> = bans
        .iter()
        .map(|(target, bantime)| {
            let until = Until::of_sentence(now, *bantime).unwrap();
            (targets[*target], until)
        })
        .collect();
    let has_room = after.many(holder, &bans, now);
    let told = bans.len();
    let planned = subject
        .bans
        .plan_many(&HOLDERS[holder].into(), now, bans, now);
    assert_eq!(planned.is_ok(), has_room, "{planned:?}");
    let change = planned.ok()?;
    let counted = [
        Outcome::Enforced,
        Outcome::Prolonged,
        Outcome::Unchanged,
        Outcome::Expired,
    ]
    .map(|outcome| change.count(outcome));
    assert_eq!(counted.iter().sum::<usize>(), told, "{change:?}");
    subject.execute_many(change, refused);
    (!refused).then_some(after)
}

fn run(steps: &[Step]) {
    let targets = targets();
    let mut subject = Subject::new();
    let mut model = Model::default();
    let mut now = 1_000;
    for Step {
        wait,
        drain,
        refused,
        op,
    } in steps
    {
        now += wait;
        if *drain {
            subject.drain(now);
            model.drain(now);
            subject.check(&model);
        }
        let mut after = model.clone();
        let change = match *op {
            Op::Ban {
                target,
                holder,
                begun,
                bantime,
                restored,
                prolong,
            } => {
                let since = now + begun;
                let until = Until::of_sentence(since, bantime).unwrap();
                let hold = Hold {
                    holder: HOLDERS[holder].into(),
                    since,
                    until,
                    bancount: 1,
                    failures: 5,
                    reason: (holder == 2).then(|| "a reason".into()),
                };
                let told = (targets[target], holder, since, until);
                let has_room = after.ban(told, restored || prolong, now);
                let planned = if prolong {
                    subject.bans.plan_prolong(targets[target], hold, now)
                } else {
                    subject.bans.plan_ban(targets[target], hold, restored, now)
                };
                assert_eq!(planned.is_ok(), has_room, "{planned:?}");
                planned.ok()
            }
            Op::Many { holder, ref bans } => {
                if let Some(done) = many(&mut subject, after, holder, bans, *refused, now) {
                    model = done;
                }
                continue;
            }
            Op::Unban { target, holder } => {
                after.unban(targets[target], holder, now);
                let holder = holder.map(|holder| HOLDERS[holder]);
                Some(subject.bans.plan_unban(targets[target], holder, now))
            }
            Op::Flush(holder) => {
                after.flush(holder, now);
                Some(
                    subject
                        .bans
                        .plan_flush(&HOLDERS[holder].into(), WINDOW, now),
                )
            }
            Op::Lift(holder) => {
                after.lift(holder, now);
                Some(subject.bans.plan_lift(&HOLDERS[holder].into(), now))
            }
            Op::Stop(holder) => {
                after.stop(holder);
                Some(subject.bans.plan_stop(&HOLDERS[holder].into()))
            }
            Op::Start(holder) => Some(subject.bans.plan_start(&HOLDERS[holder].into())),
            Op::Restart => {
                after.restart(now);
                subject.restart(now);
                model = after;
                continue;
            }
        };
        if let Some(change) = change {
            subject.execute(&change, *refused);
            if !refused {
                model = after;
            }
        }
    }
    subject.drain(now);
    model.drain(now);
    subject.check(&model);
    // In the end every sentence is served, but the permanent ones.
    subject.drain(now + 1_000);
    model.drain(now + 1_000);
    subject.check(&model);
    assert_eq!(subject.bans.next_deadline(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn every_history_ends_as_in_the_model(steps in prop::collection::vec(step(), 1..60)) {
        run(&steps);
    }
}

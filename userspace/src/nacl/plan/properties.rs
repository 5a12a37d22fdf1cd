//! What holds for every plan, whatever the NACL, the bans and the faults.

use std::collections::BTreeSet;

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::model::{Call, World};
use super::{Change, Plan, Reason};
use crate::nacl::acl::{Acl, Direction, Entry, Family, Position, Rule, RuleAction};
use crate::nacl::ledger::LedgerEntry;
use crate::nacl::market::{Candidate, Left, Measure};

/// Something that happens between two plans.
#[derive(Debug, Clone)]
enum Event {
    Ban(Candidate),
    Unban(IpNet),
    Rate(IpNet, f64),
    Allow(Option<IpNet>),
    Quota(u32),
    Egress(bool),
    /// Someone removes one of all entries.
    Remove(prop::sample::Index),
    /// Someone puts an entry.
    Put(Entry),
    Restart,
}

fn network() -> impl Strategy<Value = IpNet> {
    // Few enough that bans, allows and entries of others meet.
    prop_oneof![
        8 => (0_u8..60).prop_map(|host| format!("203.0.113.{host}/32")),
        1 => (0_u8..4).prop_map(|part| format!("203.0.113.{}/28", part * 16)),
        6 => (0_u8..40).prop_map(|part| format!("2001:db8:0:{part}::/64")),
        1 => Just("2001:db8::/56".to_owned()),
    ]
    .prop_map(|text| text.parse().unwrap())
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![3 => Just(Direction::Ingress), 1 => Just(Direction::Egress)]
}

fn position() -> impl Strategy<Value = Position> {
    (direction(), 1_u16..130).prop_map(|(direction, number)| Position { direction, number })
}

fn entry() -> impl Strategy<Value = Entry> {
    let everything = prop_oneof![Just("0.0.0.0/0"), Just("::/0")];
    let network = prop_oneof![
        4 => network(),
        1 => everything.prop_map(|text| text.parse().unwrap()),
    ];
    (position(), network, 0_u8..10, any::<bool>()).prop_map(
        |(position, network, action, all_traffic)| Entry {
            // Allows low in the list are rare, or they would leave no slot.
            action: if action == 0 || position.number > 99 {
                RuleAction::Allow
            } else {
                RuleAction::Deny
            },
            position,
            network,
            all_traffic,
        },
    )
}

fn rate() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        0.0..2.0,
        2.0..2_000.0,
        Just(f64::NAN),
        Just(f64::INFINITY)
    ]
}

fn candidate() -> impl Strategy<Value = Candidate> {
    (network(), rate(), 1_u32..5, 0_i64..5_000, any::<bool>()).prop_map(
        |(network, rate, bancount, ago, ends)| Candidate {
            network,
            rate,
            bancount,
            banned_since: 1_000_000 - ago,
            until: ends.then_some(1_000_000 + 7 * ago),
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => candidate().prop_map(Event::Ban),
        3 => network().prop_map(Event::Unban),
        6 => (network(), rate()).prop_map(|(network, rate)| Event::Rate(network, rate)),
        1 => prop::option::of(network()).prop_map(Event::Allow),
        1 => (2_u32..41).prop_map(Event::Quota),
        1 => any::<bool>().prop_map(Event::Egress),
        1 => any::<prop::sample::Index>().prop_map(Event::Remove),
        1 => entry().prop_map(Event::Put),
        1 => Just(Event::Restart),
    ]
}

/// A NACL that anyone has written in, and a ledger that is right about some of
/// it.
fn world() -> impl Strategy<Value = World> {
    (
        prop::collection::vec(entry(), 0..12),
        prop::collection::vec((position(), network(), 0_u8..4, 0_i64..10_000), 0..30),
        prop::collection::vec(candidate(), 0..80),
        prop::collection::vec(network(), 0..4),
        prop::sample::select(vec![1..=99_u16, 1..=10, 40..=60, 90..=120]),
        (
            2_u32..41,
            any::<bool>(),
            any::<bool>(),
            prop::sample::select(vec![0, 2, 4, 8]),
            prop::sample::select(vec![Measure::Rate, Measure::Failures]),
        ),
    )
        .prop_map(|(entries, ours, candidates, allowed, rules, knobs)| {
            let mut world = World::new();
            (
                world.config.quota,
                world.config.egress,
                world.acls[0].firewall_manager,
                world.config.sharing.members,
                world.config.market.measure,
            ) = knobs;
            world.config.firewall_manager_rules = rules.clone();
            world.config.rules = rules;
            world.candidates = candidates;
            world.allowed = allowed;
            for entry in entries {
                put(&mut world, entry);
            }
            for (position, network, state, ago) in ours {
                let rule = Rule { position, network };
                let entry = Entry {
                    position,
                    network,
                    action: RuleAction::Deny,
                    all_traffic: state != 1,
                };
                // Some of what the ledger knows was removed or edited since.
                if state != 2 && !put(&mut world, entry) {
                    continue;
                }
                world.ledger.push(LedgerEntry {
                    acl: "acl-1".to_owned(),
                    rule,
                    since: world.now - 60 - ago,
                });
            }
            world
        })
}

/// Someone puts an entry, if AWS lets them.
fn put(world: &mut World, entry: Entry) -> bool {
    let quota = world.config.quota as usize;
    let acl = &mut world.acls[0];
    let taken = |other: &Entry| other.position == entry.position;
    if acl.entries.iter().any(taken)
        || super::model::count(acl, entry.position.direction, &entry.network) >= quota
    {
        return false;
    }
    acl.entries.push(entry);
    true
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Ban(mut candidate) => {
            candidate.until = candidate.until.map(|until| until.max(world.now));
            let known = |other: &Candidate| other.network != candidate.network;
            world.candidates.retain(known);
            world.candidates.push(candidate);
        }
        Event::Unban(network) => world.candidates.retain(|other| other.network != network),
        Event::Rate(network, rate) => {
            for candidate in &mut world.candidates {
                if candidate.network == network {
                    candidate.rate = rate;
                }
            }
        }
        Event::Allow(Some(network)) => world.allowed.push(network),
        Event::Allow(None) => world.allowed.clear(),
        Event::Quota(quota) => world.config.quota = quota,
        Event::Egress(on) => world.config.egress = on,
        Event::Remove(index) => {
            let entries = &mut world.acls[0].entries;
            if !entries.is_empty() {
                entries.remove(index.index(entries.len()));
            }
        }
        Event::Put(entry) => {
            put(world, entry);
        }
        Event::Restart => world.market.acls.clear(),
    }
}

fn is_ours(world: &World, entry: &Entry) -> bool {
    let rule = Rule {
        position: entry.position,
        network: entry.network,
    };
    entry.action == RuleAction::Deny
        && entry.all_traffic
        && world.ledger.iter().any(|known| known.rule == rule)
}

fn range(world: &World) -> std::ops::RangeInclusive<u16> {
    if world.acls[0].firewall_manager {
        world.config.firewall_manager_rules.clone()
    } else {
        world.config.rules.clone()
    }
}

/// The first allow of a direction and family that is not within the allow list.
fn first_allow(world: &World, direction: Direction, family: Family) -> u16 {
    let shadows = |entry: &&Entry| {
        entry.action == RuleAction::Allow
            && entry.position.direction == direction
            && Family::of(&entry.network) == family
            && !world
                .allowed
                .iter()
                .any(|allowed| allowed.contains(&entry.network))
    };
    let allows = world.acls[0].entries.iter().filter(shadows);
    allows
        .map(|entry| entry.position.number)
        .min()
        .unwrap_or(u16::MAX)
}

/// Checks each step on its own against the rules.
fn check_steps(world: &World, plan: &Plan) {
    for step in &plan.steps {
        let position = step.change.position();
        assert!(
            range(world).contains(&position.number),
            "{step}: out of range"
        );
        let (new, old) = match step.change {
            Change::Create(rule) => (Some(rule.network), None),
            Change::Replace { rule, from } => (Some(rule.network), Some(from)),
            Change::Delete { network, .. } => (None, Some(network)),
        };
        if let Some(network) = new {
            let limit = first_allow(world, position.direction, Family::of(&network));
            assert!(
                position.number < limit,
                "{step}: not below the allow at {limit}"
            );
            let allowed = world
                .allowed
                .iter()
                .find(|a| a.contains(&network) || network.contains(*a));
            assert_eq!(allowed, None, "{step}: over an allowed network");
            assert!(may_be_denied(world, &network), "{step}: not banned");
            assert!(
                world.config.is_on(position.direction),
                "{step}: direction is off"
            );
        }
        if let Some(network) = old {
            let ours = world.acls[0]
                .entries
                .iter()
                .find(|entry| entry.position == position);
            let ours = ours.expect("a changed entry exists");
            assert_eq!(ours.network, network, "{step}");
            assert!(is_ours(world, ours), "{step}: not ours");
        }
    }
}

/// Whether a network is banned, or enough of its neighbours are that share a slot.
fn may_be_denied(world: &World, network: &IpNet) -> bool {
    let sharing = &world.config.sharing;
    let banned = |candidate: &&Candidate| candidate.network == *network;
    let inside = |candidate: &&Candidate| network.contains(&candidate.network);
    let widest = match Family::of(network) {
        Family::V4 => sharing.widest_v4,
        Family::V6 => sharing.widest_v6,
    };
    let all = || world.candidates.iter();
    all().any(|candidate| banned(&candidate))
        || sharing.members > 0
            && network.prefix_len() >= widest
            && all().filter(inside).count() >= sharing.members.div_ceil(2)
}

/// Checks that nobody was taken out of a slot but by the rules of the market.
fn check_reasons(world: &World, plan: &Plan) {
    let market = &world.config.market;
    let mut losers = BTreeSet::new();
    for step in &plan.steps {
        match &step.reason {
            Reason::Beats {
                rate,
                other,
                other_rate,
                served,
            } => {
                assert!(market.beats(rate.amount, other_rate.amount), "{step}");
                assert!(*served >= market.minimum_term, "{step}");
                losers.insert((*other, false));
            }
            Reason::Succeeds { .. } | Reason::Trial { .. } | Reason::Returns { .. }
                if !market.measure.is_blinded() =>
            {
                panic!("nothing is hidden that a term or a trial would show: {step}");
            }
            Reason::Succeeds {
                rate,
                other,
                other_rate,
                term,
            } => {
                assert!(
                    rate.amount >= other_rate.amount && *term >= market.first_term,
                    "{step}"
                );
                losers.insert((*other, false));
            }
            Reason::Trial { rate, other, .. } => {
                assert!(rate.amount >= market.floor, "{step}");
                losers.insert((*other, true));
            }
            // A guest is in its slot on sufferance.
            Reason::Returns {
                rate,
                other,
                other_rate,
                ..
            } => {
                assert!(market.beats(rate.amount, other_rate.amount), "{step}");
                let former = world.market.acls["acl-1"].former.values();
                let guests = former.filter_map(|former| match former.left {
                    Left::OnTrial { guest } => Some(guest),
                    _ => None,
                });
                assert!(guests.into_iter().any(|guest| guest == *other), "{step}");
            }
            _ => {}
        }
    }
    for family in [Family::V4, Family::V6] {
        let trials = losers
            .iter()
            .filter(|(network, trial)| *trial && Family::of(network) == family);
        assert!(trials.count() <= market.trials);
    }
    let before = world.market.acls.get("acl-1");
    for (network, _) in losers {
        let incumbent = before.and_then(|before| before.incumbents.get(&network));
        if let Some(incumbent) = incumbent {
            assert!(incumbent.served(world.now) >= market.minimum_term);
        }
    }
}

fn foreign(world: &World, ours: &BTreeSet<Position>) -> Vec<Entry> {
    let entries = world.acls[0].entries.iter();
    let foreign = entries.filter(|entry| !ours.contains(&entry.position));
    let mut foreign: Vec<Entry> = foreign.cloned().collect();
    foreign.sort_by_key(|entry| entry.position);
    foreign
}

/// Plans, checks the plan, makes every call and checks the result.
fn round(world: &mut World) {
    let plan = world.plan();
    check_steps(world, &plan);
    check_reasons(world, &plan);
    let touched: BTreeSet<Position> = plan
        .steps
        .iter()
        .map(|step| step.change.position())
        .collect();
    let before = foreign(world, &touched);
    assert_eq!(world.plan(), plan, "the same input gives the same plan");
    world.begin(&plan);
    for step in &plan.steps {
        // Panics where the quota is exceeded, a number is taken or missing.
        world.execute(step, Call::Works);
    }
    assert_eq!(
        foreign(world, &touched),
        before,
        "only what was planned changed"
    );
    let again = world.plan();
    assert!(
        again.steps.is_empty(),
        "{:#?}\nthen\n{:#?}",
        plan.steps,
        again.steps
    );
    check_result(world, &plan);
}

/// Checks what a NACL holds after a plan was carried out in full.
fn check_result(world: &World, plan: &Plan) {
    for direction in [Direction::Ingress, Direction::Egress] {
        let ours: Vec<IpNet> = world
            .denied(direction)
            .into_iter()
            .filter(|(number, _)| range(world).contains(number))
            .map(|(_, network)| network)
            .collect();
        let distinct: BTreeSet<&IpNet> = ours.iter().collect();
        assert_eq!(
            distinct.len(),
            ours.len(),
            "a network stands twice in {direction}"
        );
        for slots in &plan.slots {
            let held = ours
                .iter()
                .filter(|network| Family::of(network) == slots.family)
                .count();
            if world.config.is_on(direction) {
                let held = held + left_out(world, direction, slots.family, &ours);
                assert_eq!(held, slots.held, "{direction} {slots:?}");
            }
            assert!(held <= slots.total);
        }
    }
}

/// Networks that hold a slot by the other direction, while nobody puts back what someone
/// removed in this one.
fn left_out(world: &World, direction: Direction, family: Family, ours: &[IpNet]) -> usize {
    let market = &world.market.acls["acl-1"];
    let waiting: BTreeSet<IpNet> = market
        .withdrawn
        .iter()
        .filter(|(position, it)| position.direction == direction && world.now < it.until)
        .map(|(_, it)| it.network)
        .collect();
    let seated = market.incumbents.keys();
    seated
        .filter(|network| Family::of(network) == family)
        .filter(|network| waiting.contains(network) && !ours.contains(network))
        .count()
}

/// The other properties would say little of sharing if few worlds had it.
#[test]
fn in_many_worlds_neighbours_share_a_slot() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let worlds = 200;
    let shared = (0..worlds)
        .map(|_| world().new_tree(&mut runner).unwrap().current())
        .filter(|world| {
            let plan = world.plan();
            let banned: BTreeSet<IpNet> = world.candidates.iter().map(|it| it.network).collect();
            let mut seated = plan.market.acls["acl-1"].incumbents.keys();
            seated.any(|network| !banned.contains(network))
        })
        .count();
    assert!(shared > worlds / 5, "{shared} of {worlds}");
}

proptest! {
    #[test]
    fn a_plan_keeps_every_rule_whatever_it_finds(mut world in world()) {
        round(&mut world);
    }

    #[test]
    fn plans_keep_every_rule_as_the_world_moves_on(
        mut world in world(),
        moves in prop::collection::vec(
            // Long enough that whatever was changed shows.
            (prop::collection::vec(event(), 0..6), 30_i64..900),
            1..25,
        ),
    ) {
        for (events, seconds) in moves {
            for event in events {
                happen(&mut world, event);
            }
            world.now += seconds;
            round(&mut world);
        }
    }

    #[test]
    fn faults_do_no_harm_and_once_they_end_all_is_well(
        mut world in world(),
        rounds in prop::collection::vec(
            (
                prop::collection::vec(event(), 0..4),
                0_i64..200,
                prop::collection::vec(call(), 40),
            ),
            1..12,
        ),
    ) {
        world.ledger.clear();
        for (events, seconds, calls) in rounds {
            for event in events {
                happen(&mut world, event);
            }
            world.now += seconds;
            let plan = world.plan();
            check_steps(&world, &plan);
            let touched = plan.steps.iter().map(|step| step.change.position()).collect();
            let before = foreign(&world, &touched);
            world.begin(&plan);
            for (step, call) in plan.steps.iter().zip(calls) {
                // After a fault AWS may refuse what comes after it.
                if let Err(refusal) = world.attempt(step, call) {
                    assert!(!refusal.is_empty());
                }
            }
            assert_eq!(foreign(&world, &touched), before);
        }
        // What was lost settles, and what is left alone is tried again.
        for _ in 0..3 {
            world.now += 100_000;
            world.reconcile();
        }
        world.now += 1;
        let plan = world.plan();
        for slots in &plan.slots {
            let waiting = waiting(&world, slots.family);
            let full = slots.held == slots.total || waiting == 0;
            assert!(full || !has_numbers_to_spare(&world), "{slots:?}, {waiting} wait");
        }
        // Every entry of ours is known, and nothing else is taken for ours.
        let mut known: Vec<Rule> = world.ledger.iter().map(|entry| entry.rule).collect();
        known.sort_unstable();
        let standing = super::survey::ours_anywhere(&world.acls[0], &world.ledger);
        assert_eq!(known, standing);
        round(&mut world);
    }
}

/// Whether no family can stand in the other's way.
fn has_numbers_to_spare(world: &World) -> bool {
    let families = [Family::V4, Family::V6];
    range(world).count() > 90
        && families
            .iter()
            .all(|family| first_allow(world, Direction::Ingress, *family) > 90)
        && families
            .iter()
            .all(|family| first_allow(world, Direction::Egress, *family) > 90)
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => Just(Call::Works),
        1 => Just(Call::Refused),
        1 => Just(Call::Lost),
        1 => Just(Call::ReplyLost),
    ]
}

/// Banned networks of a family that could be denied and are not.
fn waiting(world: &World, family: Family) -> usize {
    let acl: &Acl = &world.acls[0];
    let denied: BTreeSet<IpNet> = acl
        .entries
        .iter()
        .filter(|entry| entry.action == RuleAction::Deny && entry.all_traffic)
        .map(|entry| entry.network)
        .collect();
    let waits = |candidate: &&Candidate| {
        let network = candidate.network;
        Family::of(&network) == family
            && candidate.until.is_none_or(|until| until > world.now)
            && !denied.iter().any(|deny| deny.contains(&network))
            && !world
                .allowed
                .iter()
                .any(|a| a.contains(&network) || network.contains(a))
    };
    world.candidates.iter().filter(waits).count()
}

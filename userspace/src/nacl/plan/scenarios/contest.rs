//! Who takes a slot from whom.

use super::super::model::World;
use super::super::{Change, Reason, Step};
use super::{full, host, pass};
use crate::nacl::market::MarketState;
use ipnet::IpNet;
use std::time::Duration;

#[test]
fn a_challenger_needs_the_minimum_term_and_the_margin() {
    let mut world = full();
    world.ban(&host(99), 200.0, 1);
    pass(&mut world, 59);
    assert!(world.plan().steps.is_empty(), "minimum term");
    pass(&mut world, 1);
    world.ban(&host(99), 100.0, 1);
    assert!(world.plan().steps.is_empty(), "no clear lead over 83");
    world.ban(&host(99), 130.0, 1);
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 1);
    let says = plan.steps[0].to_string();
    assert_eq!(
        says,
        "acl-1: replace ingress rule 18 deny 203.0.113.18/32 by deny 203.0.113.99/32: \
         130 packets/s beats 81 packets/s of 203.0.113.18/32, which served 1m"
    );
    assert!(world.plan().steps.is_empty());
}

#[test]
fn a_quiet_repeat_offender_never_displaces_a_loud_one() {
    let mut world = full();
    world.ban(&host(99), 0.4, 1_000);
    for _ in 0..500 {
        pass(&mut world, 60);
        assert!(world.plan().steps.is_empty());
    }
}

#[test]
fn a_free_slot_is_no_refuge_for_a_quiet_one_while_a_loud_one_waits() {
    let mut world = full();
    pass(&mut world, 61);
    world.unban(&host(1));
    world.ban(&host(98), 0.1, 9);
    world.ban(&host(99), 500.0, 1);
    world.reconcile();
    assert!(world.denies(&host(99)) && !world.denies(&host(98)));
    assert!(world.denies(&host(18)), "nobody loud had to go for it");
}

#[test]
fn the_loudest_challenger_takes_the_quietest_slot() {
    let mut world = full();
    pass(&mut world, 61);
    world.ban(&host(98), 400.0, 1);
    world.ban(&host(99), 300.0, 1);
    let plan = world.reconcile();
    let froms: Vec<_> = plan
        .steps
        .iter()
        .map(|step| match step.change {
            Change::Replace { rule, from } => (rule.network.to_string(), from.to_string()),
            _ => panic!("{step}"),
        })
        .collect();
    assert_eq!(froms, [(host(98), host(18)), (host(99), host(17))]);
}

#[test]
fn the_families_do_not_compete() {
    let mut world = full();
    pass(&mut world, 301);
    world.ban("2001:db8::/64", 9_999.0, 1);
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 1);
    assert!(matches!(plan.steps[0].change, Change::Create(_)));
}

#[test]
fn at_the_end_of_its_term_a_lesser_challenger_puts_the_quietest_on_probation() {
    let mut world = full();
    world.ban(&host(99), 20.0, 1);
    pass(&mut world, 299);
    assert!(world.plan().steps.is_empty());
    pass(&mut world, 1);
    let plan = world.reconcile();
    assert!(matches!(plan.steps[0].reason, Reason::Trial { .. }));
    assert_eq!(plan.steps.len(), 1, "one challenger, one trial");
    assert!(!world.denies(&host(18)));
    assert!(world.plan().steps.is_empty());
}

#[test]
fn trials_are_few_at_a_time() {
    let mut world = full();
    for number in 90..=99 {
        world.ban(&host(number), 20.0, 1);
    }
    pass(&mut world, 300);
    let trials = world.config.market.trials;
    assert_eq!(world.reconcile().steps.len(), trials);
    assert!(world.plan().steps.is_empty());
    // Nothing is heard of those that are tried.
    let third = world.config.market.probation / 3;
    pass(&mut world, i64::try_from(third.as_secs()).unwrap());
    assert_eq!(world.reconcile().steps.len(), trials);
}

#[test]
fn one_on_trial_that_is_no_louder_than_its_guest_is_counted_to_the_end() {
    let mut world = full();
    world.ban(&host(99), 20.0, 1);
    pass(&mut world, 300);
    world.reconcile();
    world.ban(&host(18), 25.0, 1);
    world.ban(&host(98), 20.0, 1);
    let probation = i64::try_from(world.config.market.probation.as_secs()).unwrap();
    for _ in 1..probation {
        pass(&mut world, 1);
        assert!(!world.reconcile().steps.iter().any(|step| {
            matches!(step.change, Change::Replace { rule, .. } if rule.network.to_string() == host(18))
        }));
    }
    assert!(world.denies(&host(99)));
}

#[test]
fn a_trial_that_would_cost_more_than_it_can_win_is_not_made() {
    let mut world = full();
    // In a term of 5 min 1 packet/s is less than 83 packets/s are in a probation.
    let lost = 83.0 * world.config.market.probation.as_secs_f64();
    let least = lost / world.config.market.first_term.as_secs_f64();
    world.ban(&host(99), least / 2.0, 1);
    pass(&mut world, 300);
    assert!(world.plan().steps.is_empty());
    world.ban(&host(99), least, 1);
    assert_eq!(world.plan().steps.len(), 1);
    // Half as loud a challenger has to wait for twice as long.
    world.ban(&host(99), least / 2.0, 1);
    pass(&mut world, 300);
    assert_eq!(world.plan().steps.len(), 1);
}

#[test]
fn back_from_probation_the_term_grows_by_half_up_to_the_longest() {
    let mut world = full();
    let returner: IpNet = host(18).parse().unwrap();
    let mut terms = Vec::new();
    for _ in 0..8 {
        // Its term over, a lesser one gets its slot; it sends on, and takes
        // the slot back.
        pass(&mut world, 3_600);
        for incumbent in world
            .market
            .acls
            .get_mut("acl-1")
            .unwrap()
            .incumbents
            .values_mut()
        {
            if incumbent.network != returner {
                incumbent.since = world.now;
                incumbent.rate = Some(1e6);
                incumbent.measured = world.now;
            }
        }
        world.ban(&host(18), 0.0, 1);
        world.ban(&host(99), 5.0, 1);
        world.reconcile();
        assert!(!world.denies(&host(18)));
        world.ban(&host(18), 83.0, 1);
        pass(&mut world, 5);
        let plan = world.reconcile();
        assert!(matches!(
            plan.steps[..],
            [Step {
                reason: Reason::Returns { .. },
                ..
            }]
        ));
        assert!(world.denies(&host(18)) && !world.denies(&host(99)));
        terms.push(
            world.market.acls["acl-1"].incumbents[&returner]
                .term
                .as_secs(),
        );
        world.unban(&host(99));
    }
    assert_eq!(terms, [450, 675, 1_013, 1_520, 2_280, 3_420, 3_600, 3_600]);
}

#[test]
fn one_that_went_silent_stays_out() {
    let mut world = full();
    world.ban(&host(99), 20.0, 1);
    pass(&mut world, 300);
    world.reconcile();
    for _ in 0..50 {
        pass(&mut world, 60);
        world.reconcile();
        assert!(!world.denies(&host(18)));
    }
}

#[test]
fn one_that_is_seen_to_send_is_not_put_on_trial_by_a_lesser_one() {
    let mut world = full();
    for candidate in &mut world.candidates {
        candidate.rate = 50.0;
    }
    world.ban(&host(99), 5.0, 1);
    pass(&mut world, 5_000);
    assert!(world.plan().steps.is_empty());
}

#[test]
fn after_a_restart_nobody_is_beaten_on_a_rate_that_is_not_known() {
    let mut world = full();
    world.market = MarketState::default();
    world.ban(&host(99), 500.0, 1);
    pass(&mut world, 120);
    let plan = world.reconcile();
    assert!(plan.steps.is_empty());
    pass(&mut world, 180);
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 1);
    assert!(matches!(
        plan.steps[0].reason,
        Reason::Trial {
            other_rate: None,
            ..
        }
    ));
}

#[test]
fn one_that_was_silent_on_trial_begins_anew_when_it_comes_back() {
    let mut world = full();
    let config = world.config.market.clone();
    let network: IpNet = host(18).parse().unwrap();
    world.ban(&host(99), 20.0, 1);
    pass(&mut world, 300);
    world.reconcile();
    pass(&mut world, 60);
    world.reconcile();
    world.ban(&host(18), 500.0, 1);
    pass(&mut world, 60);
    world.reconcile();
    assert_eq!(
        world.market.acls["acl-1"].incumbents[&network].term,
        config.first_term
    );
}

#[test]
fn only_a_trial_makes_a_term_longer() {
    let mut world = full();
    let network: IpNet = host(18).parse().unwrap();
    let term = |world: &World| world.market.acls["acl-1"].incumbents[&network].term;
    let long = Duration::from_secs(450);
    let market = world.market.acls.get_mut("acl-1").unwrap();
    market.incumbents.get_mut(&network).unwrap().term = long;
    // Its ban ends, and it is banned anew.
    world.unban(&host(18));
    world.reconcile();
    pass(&mut world, 5);
    world.ban(&host(18), 50.0, 2);
    world.reconcile();
    assert_eq!(term(&world), long);
    // A louder one takes its slot.
    pass(&mut world, 60);
    world.ban(&host(99), 200.0, 1);
    world.reconcile();
    assert!(!world.denies(&host(18)));
    pass(&mut world, 60);
    world.ban(&host(18), 500.0, 2);
    world.reconcile();
    assert_eq!(term(&world), long);
}

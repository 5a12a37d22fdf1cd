//! Slots that go by failures.

use super::super::{Change, Reason};
use super::{host, pass};
use crate::nacl::acl::Direction;
use crate::nacl::market::{MarketState, Measure};
use crate::nacl::plan::model::World;

/// Slots that are all held, by hosts 1, 2, … with 30, 29, … failures each.
fn full() -> World {
    let mut world = World::new();
    world.config.market.measure = Measure::Failures;
    for number in 1..=18_u8 {
        world.ban(&host(number.into()), 31.0 - f64::from(number), 1);
    }
    world.reconcile();
    assert_eq!(world.denied(Direction::Ingress).len(), 18);
    world
}

/// What time does to everyone's failures.
fn fade(world: &mut World, seconds: u16) {
    let half_life = world.config.market.blind_half_life.as_secs_f64();
    for candidate in &mut world.candidates {
        candidate.rate *= (-f64::from(seconds) / half_life).exp2();
    }
    pass(world, seconds.into());
}

#[test]
fn more_failures_take_the_slot_of_the_fewest_once_its_minimum_term_is_over() {
    let mut world = full();
    world.ban(&host(99), 20.0, 1);
    pass(&mut world, 59);
    assert!(world.plan().steps.is_empty(), "minimum term");
    pass(&mut world, 1);
    let plan = world.reconcile();
    assert_eq!(
        plan.steps
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "acl-1: replace ingress rule 18 deny 203.0.113.18/32 by deny 203.0.113.99/32: \
          20 faded failures beats 13 faded failures of 203.0.113.18/32, which served 1m"
        ]
    );
    assert!(world.plan().steps.is_empty());
}

#[test]
fn a_recent_ban_takes_a_stale_one_s_slot_by_the_margin_only() {
    let mut world = full();
    // Long beyond every term, in which a lesser one would have been tried.
    fade(&mut world, 1_800);
    // 13 failures have faded to 6.5.
    world.ban(&host(99), 9.0, 1);
    assert!(world.plan().steps.is_empty(), "9 is no clear lead over 6.5");
    world.ban(&host(99), 10.0, 1);
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 1, "{:?}", plan.steps);
    assert!(world.denies(&host(99)) && !world.denies(&host(18)));
    assert!(world.plan().steps.is_empty());
}

#[test]
fn nobody_takes_turns_as_all_fade_alike() {
    let mut world = full();
    for (number, failures) in (90..99_u8).zip([18.0, 14.0, 13.0, 12.0, 9.0, 5.0, 1.0, 0.4, 0.0]) {
        world.ban(&host(number.into()), failures, 7);
    }
    for _ in 0..300 {
        fade(&mut world, 60);
        let plan = world.plan();
        assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    }
}

#[test]
fn after_a_restart_an_incumbent_s_failures_are_known_again() {
    let mut world = full();
    world.market = MarketState::default();
    world.ban(&host(99), 20.0, 1);
    pass(&mut world, 61);
    let plan = world.reconcile();
    assert!(
        matches!(plan.steps[0].reason, Reason::Beats { .. }),
        "{:?}",
        plan.steps
    );
    assert!(world.denies(&host(99)) && !world.denies(&host(18)));
}

#[test]
fn one_that_fails_on_while_it_is_denied_keeps_its_slot() {
    let mut world = full();
    // It comes in by another way, or stood in the log already.
    world.ban(&host(18), 40.0, 2);
    world.ban(&host(99), 22.0, 1);
    pass(&mut world, 61);
    world.reconcile();
    assert!(world.denies(&host(18)) && !world.denies(&host(17)));
}

#[test]
fn neighbours_of_recent_failures_share_a_slot_for_the_sum_of_them() {
    let mut world = World::new();
    world.config.market.measure = Measure::Failures;
    world.config.sharing.members = 4;
    for number in 0..4 {
        world.ban(&host(number), 5.0, 1);
    }
    for number in 4..8 {
        world.ban(&format!("198.51.100.{number}/32"), 0.1, 1);
    }
    let plan = world.reconcile();
    assert!(world.denies("203.0.113.0/30") && world.denies("198.51.100.4/32"));
    let shared = plan.steps.iter().find_map(|step| match &step.reason {
        Reason::FreeSlot { rate, .. } => matches!(
            step.change,
            Change::Create(rule) if rule.network.prefix_len() == 30
        )
        .then_some(rate.amount),
        _ => None,
    });
    assert!((shared.unwrap() - 20.0).abs() < 1e-9);
    pass(&mut world, 60);
    assert!(world.plan().steps.is_empty());
}

#[test]
fn what_joins_a_slot_in_use_is_not_counted_twice() {
    let mut world = World::new();
    world.config.market.measure = Measure::Failures;
    world.config.sharing.members = 4;
    for number in 0..3 {
        world.ban(&host(number), 5.0, 1);
    }
    world.reconcile();
    world.ban(&host(3), 5.0, 1);
    let plan = world.reconcile();
    let widens = plan.steps.iter().find_map(|step| match &step.reason {
        Reason::Widens { rate, .. } => Some(rate.amount),
        _ => None,
    });
    assert!((widens.unwrap() - 20.0).abs() < 1e-9, "{:?}", plan.steps);
}

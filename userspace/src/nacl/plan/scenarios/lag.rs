//! What is not seen yet, or not known.

use super::super::model::{Call, World};
use super::{full, host, pass};
use std::time::Duration;

#[test]
fn an_entry_that_does_not_show_yet_is_waited_for() {
    let mut world = World::new();
    world.ban(&host(1), 1.0, 1);
    let before = world.acls.clone();
    world.reconcile();
    let after = std::mem::replace(&mut world.acls, before);
    pass(&mut world, 5);
    let plan = world.reconcile();
    assert!(plan.steps.is_empty() && plan.findings.is_empty() && plan.forget.is_empty());
    world.acls = after;
    assert!(world.reconcile().steps.is_empty());
    assert!(world.market.acls["acl-1"].incumbents.len() == 1);
}

#[test]
fn a_replacement_that_does_not_show_yet_is_waited_for() {
    let mut world = full();
    pass(&mut world, 61);
    world.ban(&host(99), 500.0, 1);
    let before = world.acls.clone();
    world.reconcile();
    world.acls = before;
    pass(&mut world, 5);
    let plan = world.plan();
    assert!(plan.steps.is_empty() && plan.findings.is_empty() && plan.forget.is_empty());
}

#[test]
fn a_replacement_whose_reply_was_lost_is_known_for_what_it_is() {
    for call in [Call::Lost, Call::ReplyLost] {
        let mut world = full();
        pass(&mut world, 61);
        world.ban(&host(99), 500.0, 1);
        let plan = world.plan();
        world.begin(&plan);
        world.execute(&plan.steps[0], call);
        pass(&mut world, 31);
        world.reconcile();
        pass(&mut world, 31);
        let plan = world.reconcile();
        assert!(plan.steps.is_empty() && plan.findings.is_empty());
        assert!(world.denies(&host(99)) && !world.denies(&host(18)));
        // Until EC2 can't show the other one any more.
        pass(&mut world, 540);
        let plan = world.reconcile();
        assert!(plan.steps.is_empty() && plan.findings.is_empty());
        assert_eq!(world.ledger.len(), 18, "{call:?}");
    }
}

#[test]
fn what_shows_later_than_it_should_is_known_as_ours_all_the_same() {
    for call in [Call::Works, Call::ReplyLost] {
        let mut world = World::new();
        world.ban(&host(1), 1.0, 1);
        let before = world.acls.clone();
        let plan = world.plan();
        world.begin(&plan);
        world.execute(&plan.steps[0], call);
        let after = std::mem::replace(&mut world.acls, before.clone());
        for _ in 0..5 {
            pass(&mut world, 100);
            let plan = world.plan();
            world.begin(&plan);
        }
        world.acls = after;
        assert!(world.reconcile().steps.is_empty(), "{call:?}");
        world.unban(&host(1));
        world.reconcile();
        assert_eq!(world.acls, before, "{call:?}");
    }
}

#[test]
fn what_never_shows_is_accused_of_once_and_struck_out_in_the_end() {
    let mut world = World::new();
    world.ban(&host(1), 1.0, 1);
    let before = world.acls.clone();
    world.reconcile();
    world.acls = before;
    world.unban(&host(1));
    pass(&mut world, 31);
    let mut told = 0;
    for _ in 0..57 {
        let plan = world.reconcile();
        assert!(plan.steps.is_empty());
        told += plan.findings.len();
        assert_eq!(world.ledger.len(), 1);
        pass(&mut world, 10);
    }
    world.reconcile();
    assert!(world.ledger.is_empty());
    assert_eq!(told, 0, "whose ban is over need not come back");
}

#[test]
fn an_incumbent_that_was_not_taken_out_after_all_keeps_its_rate() {
    let mut world = full();
    pass(&mut world, 61);
    world.ban(&host(99), 500.0, 1);
    let plan = world.plan();
    world.begin(&plan);
    world.execute(&plan.steps[0], Call::Refused);
    world.unban(&host(99));
    world.reconcile();
    let incumbent = &world.market.acls["acl-1"].incumbents[&host(18).parse().unwrap()];
    assert_eq!(incumbent.rate, Some(83.0));
    assert_eq!(incumbent.served(world.now), Duration::from_secs(61));
}

#[test]
fn a_clock_that_stepped_back_freezes_nothing() {
    let mut world = full();
    world.now -= 1_000_000;
    world.ban(&host(99), 500.0, 1);
    world.reconcile();
    pass(&mut world, 60);
    assert_eq!(world.reconcile().steps.len(), 1);
}

//! Neighbours that share a slot.

use super::super::{Change, Reason};
use super::pass;
use crate::nacl::acl::Direction;
use crate::nacl::plan::model::World;

const SHARED: &str = "203.0.113.0/28";

fn neighbour(number: usize) -> String {
    format!("203.0.113.{number}/32")
}

/// Slots full of those that are far from each other, at 100, 99, … packets/s.
fn spread() -> World {
    let mut world = World::new();
    world.config.sharing.members = 8;
    for number in 1..=18_u8 {
        let network = format!("10.0.{number}.1/32");
        world.ban(&network, 101.0 - f64::from(number), 1);
    }
    world.reconcile();
    assert_eq!(world.denied(Direction::Ingress).len(), 18);
    for candidate in &mut world.candidates {
        candidate.rate = 0.0;
    }
    world
}

fn crowd(world: &mut World, rate: f64) {
    for number in 1..=8 {
        world.ban(&neighbour(number), rate, 1);
    }
}

#[test]
fn neighbours_that_none_of_them_would_get_a_slot_get_one_together() {
    let mut world = spread();
    pass(&mut world, 60);
    crowd(&mut world, 20.0);
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 1);
    let says = plan.steps[0].to_string();
    assert_eq!(
        says,
        "acl-1: replace ingress rule 18 deny 10.0.18.1/32 by deny 203.0.113.0/28: \
         160 packets/s beats 81 packets/s of 10.0.18.1/32, which served 1m"
    );
    assert!(world.plan().steps.is_empty());
}

#[test]
fn those_in_a_slot_hand_it_over_at_once_and_free_the_others() {
    let mut world = World::new();
    world.config.sharing.members = 8;
    for number in 1..=7 {
        world.ban(&neighbour(number), 10.0, 1);
    }
    world.reconcile();
    for candidate in &mut world.candidates {
        candidate.rate = 0.0;
    }
    world.ban(&neighbour(8), 10.0, 1);
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 7);
    let widened = plan.steps.iter().filter(
        |step| matches!(step.reason, Reason::Widens { rate, .. } if (79.0..81.0).contains(&rate.amount)),
    );
    assert_eq!(widened.count(), 1, "{:?}", plan.steps);
    let covered = plan.steps.iter().filter(|step| {
        matches!(step.change, Change::Delete { .. })
            && matches!(step.reason, Reason::Covered { by } if by.to_string() == SHARED)
    });
    assert_eq!(covered.count(), 6);
    let denied = world.denied(Direction::Ingress);
    assert_eq!(denied.len(), 1);
    assert!(world.denies(SHARED));
    assert!(world.plan().steps.is_empty());
}

#[test]
fn with_half_of_them_left_it_goes_on_and_with_fewer_it_is_split() {
    let mut world = spread();
    pass(&mut world, 60);
    crowd(&mut world, 20.0);
    world.reconcile();
    // Nothing of them arrives any more.
    crowd(&mut world, 0.0);
    for number in 5..=8 {
        world.unban(&neighbour(number));
        pass(&mut world, 40);
        assert!(world.plan().steps.is_empty());
    }
    world.unban(&neighbour(4));
    world.reconcile();
    assert!(!world.denies(SHARED));
    assert!(world.plan().steps.is_empty());
}

#[test]
fn an_allowed_address_among_them_ends_it_before_all_else() {
    let mut world = spread();
    pass(&mut world, 60);
    crowd(&mut world, 20.0);
    world.reconcile();
    world.allowed.push("203.0.113.14/32".parse().unwrap());
    let plan = world.reconcile();
    assert!(plan.steps[0].reason.is_urgent(), "{}", plan.steps[0]);
    assert!(!world.denies(SHARED));
}

#[test]
fn a_shared_slot_is_tried_like_any_other_and_comes_back() {
    let mut world = spread();
    pass(&mut world, 60);
    crowd(&mut world, 20.0);
    world.reconcile();
    crowd(&mut world, 0.0);
    for incumbent in market(&mut world) {
        if incumbent.network.to_string() != SHARED {
            incumbent.rate = Some(1e6);
        }
    }
    world.ban("10.0.99.1/32", 40.0, 1);
    pass(&mut world, 300);
    let plan = world.reconcile();
    assert!(
        matches!(plan.steps[0].reason, Reason::Trial { .. }),
        "{:?}",
        plan.steps
    );
    assert!(!world.denies(SHARED));
    crowd(&mut world, 20.0);
    pass(&mut world, 5);
    world.reconcile();
    assert!(world.denies(SHARED) && !world.denies("10.0.99.1/32"));
}

fn market(world: &mut World) -> impl Iterator<Item = &mut crate::nacl::market::Incumbent> {
    let market = world.market.acls.get_mut("acl-1").unwrap();
    market.incumbents.values_mut()
}

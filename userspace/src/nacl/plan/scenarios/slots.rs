//! How many slots there are, where they are and how free ones are filled.

use super::super::model::{World, allow, deny};
use super::super::{Finding, Reason};
use super::{full, host};
use crate::nacl::acl::{Direction, Family};

#[test]
fn the_usual_acl_leaves_eighteen_for_each_family() {
    let mut world = World::new();
    for number in 1..=30 {
        world.ban(&host(number), 1.0, 1);
        world.ban(&format!("2001:db8:0:{number}::/64"), 1.0, 1);
    }
    let plan = world.reconcile();
    let held: Vec<_> = plan
        .slots
        .iter()
        .map(|s| (s.family, s.total, s.held))
        .collect();
    assert_eq!(held, [(Family::V4, 18, 18), (Family::V6, 18, 18)]);
    assert_eq!(world.denied(Direction::Ingress).len(), 36);
    assert!(world.denied(Direction::Egress).is_empty());
    assert!(world.plan().steps.is_empty());
}

#[test]
fn free_slots_go_to_the_most_repeated_then_the_loudest_then_the_latest() {
    let mut world = World::new();
    world.config.quota = 5;
    world.ban(&host(1), 0.0, 1);
    world.ban(&host(2), 0.4, 1);
    world.ban(&host(3), 0.0, 7);
    world.now += 1;
    world.ban(&host(4), 0.0, 1);
    world.reconcile();
    assert!(world.denies(&host(3)) && world.denies(&host(2)) && world.denies(&host(4)));
    assert!(!world.denies(&host(1)));
}

#[test]
fn entries_of_others_take_slots_and_keep_their_numbers() {
    let mut world = World::new();
    world.acls[0]
        .entries
        .extend([deny(1, "198.51.100.1/32"), deny(3, "198.51.100.2/32")]);
    for number in 1..=30 {
        world.ban(&host(number), 1.0, 1);
    }
    let plan = world.reconcile();
    assert_eq!(world.denied(Direction::Ingress).len(), 16);
    assert!(!world.denied(Direction::Ingress).contains_key(&1));
    let neighbours = plan
        .findings
        .iter()
        .filter(|f| matches!(f, Finding::Neighbour { .. }));
    assert_eq!(neighbours.count(), 2);
}

#[test]
fn what_others_deny_already_needs_no_slot() {
    let mut world = World::new();
    world.acls[0].entries.push(deny(1, "203.0.113.0/24"));
    world.ban(&host(1), 50.0, 9);
    assert!(world.plan().steps.is_empty());
}

#[test]
fn numbers_stay_below_the_first_allow_of_their_family() {
    let mut world = World::new();
    world.acls[0].entries.push(allow(5, "0.0.0.0/0"));
    for number in 1..=9 {
        world.ban(&host(number), 1.0, 1);
        world.ban(&format!("2001:db8:0:{number}::/64"), 1.0, 1);
    }
    let plan = world.reconcile();
    for (number, network) in world.denied(Direction::Ingress) {
        assert!(number < 5 || Family::of(&network) == Family::V6);
    }
    let mut findings = plan.findings.iter();
    assert!(findings.any(|finding| matches!(finding, Finding::Cramped { numbers: 4, .. })));
}

#[test]
fn an_allow_before_the_range_is_told_and_leaves_nothing_to_do() {
    let mut world = World::new();
    world.acls[0].firewall_manager = true;
    world.ban(&host(1), 1.0, 1);
    let plan = world.plan();
    assert!(plan.steps.is_empty());
    let shadow = plan.findings.iter().find_map(|finding| match finding {
        Finding::Shadowed { position, .. } => Some(position.number),
        _ => None,
    });
    assert_eq!(shadow, Some(100));
}

#[test]
fn an_allow_within_the_allow_list_shadows_nothing() {
    let mut world = World::new();
    world.allowed.push("10.0.0.0/8".parse().unwrap());
    world.acls[0].entries = vec![allow(1, "10.1.0.0/16"), allow(30_000, "0.0.0.0/0")];
    world.acls[0].firewall_manager = true;
    world.ban(&host(1), 1.0, 1);
    world.reconcile();
    let denied: Vec<u16> = world.denied(Direction::Ingress).into_keys().collect();
    assert_eq!(denied, [5_000]);
}

#[test]
fn a_lower_quota_takes_the_quietest_out() {
    let mut world = full();
    world.config.quota = 19;
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].reason, Reason::FewerSlots { slots: 17 });
    assert!(!world.denies(&host(18)));
}

#[test]
fn scarce_numbers_are_shared_by_the_families() {
    let mut world = World::new();
    world.config.rules = 1..=10;
    for number in 1..=30 {
        world.ban(&host(number), 1.0, 1);
        world.ban(&format!("2001:db8:0:{number}::/64"), 1.0, 1);
    }
    let plan = world.reconcile();
    let totals: Vec<usize> = plan.slots.iter().map(|slots| slots.total).collect();
    assert_eq!(totals, [5, 5]);
    assert_eq!(world.denied(Direction::Ingress).len(), 10);
    assert!(world.plan().steps.is_empty());
}

#[test]
fn with_both_directions_the_same_networks_stand_in_both() {
    let mut world = World::new();
    world.config.egress = true;
    world.ban(&host(1), 1.0, 1);
    world.reconcile();
    let both = [Direction::Ingress, Direction::Egress].map(|direction| world.denied(direction));
    assert_eq!(both[0].len(), 1);
    assert_eq!(both[0], both[1]);
    world.config.egress = false;
    let plan = world.reconcile();
    let direction = Direction::Egress;
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].reason, Reason::DirectionOff { direction });
    assert!(world.denies(&host(1)));
}

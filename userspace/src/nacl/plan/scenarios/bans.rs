//! What bans that begin or end change, and what allowed networks do.

use super::super::model::World;
use super::super::{Change, Reason};
use super::{full, host};
use crate::nacl::acl::Direction;

#[test]
fn an_ended_ban_is_taken_out() {
    let mut world = World::new();
    world.ban(&host(1), 1.0, 1);
    world.reconcile();
    world.unban(&host(1));
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].reason, Reason::BanEnded);
    assert!(world.denied(Direction::Ingress).is_empty());
    assert!(world.ledger.is_empty());
}

#[test]
fn who_comes_takes_the_place_of_who_goes_in_one_call() {
    let mut world = full();
    world.unban(&host(3));
    world.ban(&host(99), 0.0, 1);
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 1);
    assert!(matches!(plan.steps[0].change, Change::Replace { .. }));
    let reason = plan.steps[0].reason.to_string();
    assert_eq!(
        reason,
        "fills a free slot: banned once, 0 packets/s; 203.0.113.3/32 goes: ban ended"
    );
}

#[test]
fn what_overlaps_the_allow_list_is_never_denied() {
    for allowed in ["203.0.113.1/32", "203.0.113.0/24", "0.0.0.0/0"] {
        let mut world = World::new();
        world.allowed.push(allowed.parse().unwrap());
        world.ban("203.0.113.0/28", 99.0, 9);
        assert!(world.plan().steps.is_empty(), "{allowed}");
    }
}

#[test]
fn what_becomes_allowed_is_lifted_before_all_else() {
    let mut world = full();
    world.unban(&host(1));
    world.allowed.push("203.0.113.9/32".parse().unwrap());
    let plan = world.reconcile();
    let by = "203.0.113.9/32".parse().unwrap();
    assert_eq!(plan.steps[0].reason, Reason::NowAllowed { by });
    assert_eq!(plan.steps[1].reason, Reason::BanEnded);
    assert!(!world.denies(&host(9)));
}

#[test]
fn a_candidate_whose_ban_is_over_gets_no_slot() {
    let mut world = World::new();
    world.ban(&host(1), 9.0, 9);
    world.candidates[0].until = Some(world.now);
    assert!(world.plan().steps.is_empty());
}

#[test]
fn all_addresses_at_once_are_never_denied() {
    for network in ["0.0.0.0/0", "::/0"] {
        let mut world = World::new();
        world.ban(network, 99.0, 9);
        assert!(world.plan().steps.is_empty(), "{network}");
    }
}

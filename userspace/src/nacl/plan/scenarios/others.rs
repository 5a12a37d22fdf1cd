//! What others do to a NACL.

use ipnet::IpNet;

use super::super::model::{Call, World, allow, deny, ingress};
use super::super::{Change, Finding, Plan, release};
use super::{full, host, pass};
use crate::nacl::acl::{Direction, Rule, RuleAction};

#[test]
fn another_accounts_acl_is_told_and_left() {
    let mut world = full();
    world.acls[0].owner = "999999999999".to_owned();
    world.candidates.clear();
    let plan = world.plan();
    assert!(plan.steps.is_empty());
    assert!(matches!(plan.findings[..], [Finding::NotOwner { .. }]));
    assert_eq!(plan.market, world.market, "kept until it is ours again");
}

/// What a plan says of entries that someone removed.
fn removed(plan: &Plan) -> Vec<&Finding> {
    let is_removal = |finding: &&Finding| matches!(finding, Finding::Removed { .. });
    plan.findings.iter().filter(is_removal).collect()
}

#[test]
fn a_removed_entry_is_put_back_soon_and_then_left_alone_for_longer_each_time() {
    let mut world = full();
    pass(&mut world, 100);
    for wait in [30, 300, 600, 1_200] {
        world.remove(4);
        let plan = world.reconcile();
        assert!(plan.steps.is_empty());
        let told = Finding::Removed {
            acl: "acl-1".to_owned(),
            rule: Rule {
                position: ingress(4),
                network: host(4).parse().unwrap(),
            },
            until: world.now + wait,
            again: wait > 30,
        };
        assert_eq!(removed(&plan), [&told]);
        pass(&mut world, wait - 1);
        assert!(world.reconcile().steps.is_empty());
        pass(&mut world, 1);
        let plan = world.reconcile();
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(plan.steps[0].change.position(), ingress(4));
        // What comes back by the hour is a fight all the same.
        pass(&mut world, 3_600);
    }
}

#[test]
fn after_a_day_of_peace_a_removal_is_the_first_again() {
    let mut world = full();
    let text = |plan: &Plan| removed(plan)[0].to_string();
    for (pause, word) in [
        (100, "to be put back at"),
        (80_000, "again; left alone until"),
        (87_000, "to be put back at"),
    ] {
        pass(&mut world, pause);
        world.remove(4);
        let told = text(&world.reconcile());
        assert!(told.contains(word), "{told}");
        pass(&mut world, 300);
        assert_eq!(world.reconcile().steps.len(), 1);
    }
}

#[test]
fn what_was_removed_does_not_come_back_by_another_number() {
    let mut world = World::new();
    for number in 1..=3_u8 {
        world.ban(&host(number.into()), 10.0, 1);
    }
    world.reconcile();
    for wait in [30, 300, 600] {
        pass(&mut world, 100);
        let denied = world.denied(Direction::Ingress);
        let network: IpNet = host(2).parse().unwrap();
        let place = denied.iter().find(|(_, other)| **other == network);
        world.remove(*place.unwrap().0);
        assert!(world.reconcile().steps.is_empty(), "there are free slots");
        // Meanwhile its number is someone else's.
        world.acls[0].entries.push(deny(2, "192.0.2.0/24"));
        pass(&mut world, wait - 1);
        assert!(world.reconcile().steps.is_empty());
        pass(&mut world, 1);
        assert_eq!(world.reconcile().steps.len(), 1);
        assert!(world.denies(&host(2)));
        world.acls[0]
            .entries
            .retain(|entry| entry.network.to_string() != "192.0.2.0/24");
    }
}

#[test]
fn a_removal_on_the_way_in_does_not_touch_the_entry_on_the_way_out() {
    let mut world = World::new();
    world.config.egress = true;
    world.ban(&host(1), 10.0, 1);
    world.reconcile();
    pass(&mut world, 100);
    world.remove(1);
    assert!(world.reconcile().steps.is_empty());
    pass(&mut world, 30);
    let plan = world.reconcile();
    assert_eq!(plan.steps.len(), 1, "{:?}", plan.steps);
    assert!(world.denies(&host(1)));
}

#[test]
fn what_was_never_made_was_removed_by_nobody() {
    let mut world = World::new();
    world.ban(&host(1), 10.0, 1);
    let plan = world.plan();
    world.begin(&plan);
    world.execute(&plan.steps[0], Call::Lost);
    pass(&mut world, 10);
    assert!(world.reconcile().steps.is_empty(), "it may still show");
    pass(&mut world, 20);
    let plan = world.reconcile();
    assert_eq!(removed(&plan), [] as [&Finding; 0]);
    assert!(world.denies(&host(1)));
}

#[test]
fn a_restart_costs_one_repair_and_starts_no_fight() {
    let mut world = full();
    pass(&mut world, 100);
    // Someone removes it whenever they see it, and the daemon has just forgotten.
    world.remove(4);
    world.reconcile();
    world.market.acls.clear();
    assert!(world.reconcile().steps.is_empty());
    for wait in [30, 300, 600] {
        pass(&mut world, wait);
        let repair = world.reconcile();
        assert_eq!(repair.steps.len(), 1, "after {wait} s");
        pass(&mut world, 31);
        assert!(world.reconcile().steps.is_empty());
        world.remove(4);
        assert!(world.reconcile().steps.is_empty());
    }
    // Removed while no daemon was there, it is as if one had been.
    world.market.acls.clear();
    world.ban(&host(4), 1.0, 1);
    world.reconcile();
    pass(&mut world, 100);
    world.market.acls.clear();
    world.remove(4);
    assert!(world.reconcile().steps.is_empty());
    assert_eq!(removed(&world.plan()).len(), 1);
}

#[test]
fn an_edited_entry_is_told_and_belongs_to_the_editor() {
    let mut world = full();
    pass(&mut world, 100);
    world.acls[0]
        .entries
        .retain(|entry| entry.position.number != 4);
    let foreign = deny(4, "192.0.2.0/24");
    world.acls[0].entries.push(foreign.clone());
    world.candidates.clear();
    let plan = world.reconcile();
    assert!(
        plan.findings
            .iter()
            .any(|finding| matches!(finding, Finding::Edited { .. }))
    );
    assert_eq!(plan.steps.len(), 17);
    assert!(world.acls[0].entries.contains(&foreign));
}

#[test]
fn an_entry_narrowed_to_one_port_or_turned_into_an_allow_is_no_longer_ours() {
    for narrowed in [true, false] {
        let mut world = World::new();
        world.ban(&host(1), 1.0, 1);
        world.reconcile();
        pass(&mut world, 100);
        let entry = world.acls[0].entries.last_mut().unwrap();
        if narrowed {
            entry.all_traffic = false;
        } else {
            entry.action = RuleAction::Allow;
        }
        world.candidates.clear();
        assert!(world.plan().steps.is_empty());
        assert!(
            release(&world.acls, &world.ledger, world.now)
                .steps
                .is_empty()
        );
    }
}

#[test]
fn an_equal_entry_that_the_ledger_does_not_know_is_not_ours() {
    let mut world = World::new();
    world.acls[0].entries.push(deny(1, "203.0.113.1/32"));
    assert!(world.plan().steps.is_empty());
    assert!(
        release(&world.acls, &world.ledger, world.now)
            .steps
            .is_empty()
    );
}

#[test]
fn an_entry_outside_the_configured_range_is_told_and_left() {
    let mut world = World::new();
    world.ban(&host(1), 1.0, 1);
    world.reconcile();
    world.config.rules = 20..=99;
    world.candidates.clear();
    let plan = world.plan();
    assert!(plan.steps.is_empty());
    assert!(matches!(plan.findings[..], [Finding::OutOfRange { .. }]));
}

#[test]
fn an_allow_put_before_our_entries_moves_them_below_it() {
    let mut world = full();
    pass(&mut world, 31);
    world.remove(12);
    world.acls[0].entries.push(allow(12, "0.0.0.0/0"));
    world.config.quota = 40;
    let plan = world.reconcile();
    assert_eq!(world.denied(Direction::Ingress).len(), 11);
    assert!(
        world
            .denied(Direction::Ingress)
            .keys()
            .all(|number| *number < 12)
    );
    // The quietest lost their slots; nobody else had to move.
    assert_eq!(plan.steps.len(), 6, "{:#?}", plan.steps);
    assert!(world.plan().steps.is_empty());
}

#[test]
fn a_full_acl_moves_an_entry_by_deletion_first() {
    let mut world = World::new();
    world.config.quota = 3;
    world.ban(&host(1), 1.0, 1);
    world.config.rules = 50..=99;
    world.reconcile();
    world.config.rules = 1..=99;
    world.acls[0]
        .entries
        .retain(|entry| entry.position.number != 100);
    world.acls[0].entries.push(allow(40, "0.0.0.0/0"));
    let plan = world.reconcile();
    assert!(matches!(plan.steps[0].change, Change::Delete { .. }));
    assert!(
        matches!(plan.steps[1].change, Change::Create(Rule { position, .. }) if position == ingress(1))
    );
    assert!(world.plan().steps.is_empty());
}

#[test]
fn an_acl_that_is_not_observed_is_told() {
    let mut world = full();
    world.acls.clear();
    let plan = world.plan();
    assert!(plan.steps.is_empty() && plan.forget.is_empty());
    assert!(matches!(
        plan.findings[..],
        [Finding::Unobserved { entries: 18, .. }]
    ));
}

#[test]
fn release_takes_out_ours_and_nothing_else() {
    let mut world = full();
    world.acls[0].entries.push(deny(50, "192.0.2.1/32"));
    let before: Vec<_> = World::new().acls[0].entries.clone();
    for step in release(&world.acls, &world.ledger, world.now).steps {
        world.execute(&step, Call::Works);
    }
    let left: Vec<_> = world.acls[0]
        .entries
        .iter()
        .filter(|entry| entry.position.number != 50)
        .cloned()
        .collect();
    assert_eq!(left, before);
    assert_eq!(world.acls[0].entries.len(), 3);
    assert!(world.ledger.is_empty());
}

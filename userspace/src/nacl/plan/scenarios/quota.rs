//! How entries are moved in a list that has no room.

use super::super::model::{Call, World, allow, deny, ingress};
use super::super::{Change, Plan};
use super::{host, pass};
use crate::nacl::acl::Direction;

/// A full list in which entries have to move: hosts 3 to 7 are banned. Their
/// entries stand at 12 and 14 to 17, those of hosts 1 and 2, whose bans are over,
/// at 10 and 11, and that of host 8 at 18. Someone has made an allow of what was
/// a deny at 13, so that whatever stands behind it is of little use.
fn behind_a_new_allow() -> World {
    let mut world = World::new();
    world.config.quota = 11;
    world.config.rules = 10..=99;
    world.acls[0].entries.push(deny(13, "192.0.2.0/24"));
    for number in 1..=8_u8 {
        world.ban(&host(number.into()), 100.0 - f64::from(number), 1);
    }
    world.reconcile();
    pass(&mut world, 31);
    world.remove(13);
    world.acls[0].entries.push(allow(13, "192.0.2.0/24"));
    world.config.rules = 1..=99;
    world.unban(&host(1));
    world.unban(&host(2));
    world
}

/// What a plan does to single numbers, replacements left out.
fn order(plan: &Plan) -> Vec<(&'static str, u16)> {
    let steps = plan.steps.iter().filter_map(|step| match step.change {
        Change::Create(_) => Some(("create", step.change.position().number)),
        Change::Delete { .. } => Some(("delete", step.change.position().number)),
        Change::Replace { .. } => None,
    });
    steps.collect()
}

#[test]
fn a_quota_that_falls_while_entries_move_is_kept_by_every_creation() {
    let mut world = behind_a_new_allow();
    // The default deny, the two allows and five of ours: host 8 goes, and hosts 4
    // and 5 take the places of 1 and 2, which frees nothing.
    world.config.quota = 8;
    let plan = world.reconcile();
    assert_eq!(
        order(&plan),
        [
            ("delete", 18),
            // Hosts 4 and 5 stand elsewhere by now.
            ("delete", 14),
            ("delete", 15),
            ("delete", 16),
            ("create", 1),
            ("delete", 17),
            ("create", 2),
        ]
    );
    let denied: Vec<_> = world.denied(Direction::Ingress).into_iter().collect();
    let expected = [(1, 6), (2, 7), (10, 4), (11, 5), (12, 3)];
    assert_eq!(
        denied,
        expected.map(|(number, it)| (number, host(it).parse().unwrap()))
    );
    assert!(world.plan().steps.is_empty());
}

#[test]
fn room_is_made_by_what_stands_elsewhere_so_that_no_deny_is_lifted() {
    let mut world = behind_a_new_allow();
    world.unban(&host(8));
    world.config.quota = 10;
    let plan = world.plan();
    world.begin(&plan);
    for step in &plan.steps {
        world.execute(step, Call::Works);
        for number in 3..=7 {
            assert!(world.denies(&host(number)), "host {number} after {step}");
        }
    }
    assert_eq!(plan.steps[2].change.position(), ingress(18));
    assert!(world.plan().steps.is_empty());
}

#[test]
fn a_creation_refused_for_the_quota_is_made_up_for_in_the_next_plan() {
    let mut world = behind_a_new_allow();
    world.config.quota = 8;
    let plan = world.plan();
    world.begin(&plan);
    for step in &plan.steps {
        // The executor leaves the rest once the quota is reached.
        if matches!(step.change, Change::Create(_)) {
            world.execute(step, Call::Refused);
            break;
        }
        world.execute(step, Call::Works);
    }
    world.reconcile();
    for number in 3..=7 {
        assert!(world.denies(&host(number)), "host {number}");
    }
    assert!(world.plan().steps.is_empty());
}

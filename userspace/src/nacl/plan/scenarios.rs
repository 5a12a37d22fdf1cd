//! The rules of the NACL tier, each as a scenario.

use std::time::Duration;

use ipnet::IpNet;

use super::model::{Call, World, allow, deny, ingress};
use super::{Change, Finding, Reason, release};
use crate::nacl::acl::{Direction, Family, Rule, RuleAction};

fn host(number: usize) -> String {
    format!("203.0.113.{number}/32")
}

/// A world whose slots are all held by hosts 1, 2, … at 100, 99, … packets/s.
fn full() -> World {
    let mut world = World::new();
    for number in 1..=18 {
        world.ban(&host(number), 101.0 - number as f64, 1);
    }
    world.reconcile();
    assert_eq!(world.denied(Direction::Ingress).len(), 18);
    // In a slot they are counted no more.
    for candidate in &mut world.candidates {
        candidate.rate = 0.0;
    }
    world
}

fn pass(world: &mut World, seconds: i64) {
    world.now += seconds;
}

mod slots {
    use super::*;

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
}

mod bans {
    use super::*;

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
}

mod contest {
    use super::*;

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
        world.ban(&host(99), 5.0, 1);
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
            world.ban(&host(number), 5.0, 1);
        }
        pass(&mut world, 300);
        assert_eq!(world.reconcile().steps.len(), world.config.market.trials);
        assert!(world.plan().steps.is_empty());
        pass(&mut world, 30);
        assert_eq!(world.reconcile().steps.len(), world.config.market.trials);
    }

    #[test]
    fn back_from_probation_the_term_is_doubled_up_to_the_longest() {
        let mut world = full();
        let returner: IpNet = host(18).parse().unwrap();
        let mut terms = Vec::new();
        for _ in 0..6 {
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
            pass(&mut world, 29);
            assert!(world.plan().steps.is_empty(), "still being counted");
            pass(&mut world, 31);
            world.reconcile();
            assert!(world.denies(&host(18)));
            terms.push(
                world.market.acls["acl-1"].incumbents[&returner]
                    .term
                    .as_secs(),
            );
            world.unban(&host(99));
        }
        assert_eq!(terms, [600, 1_200, 2_400, 3_600, 3_600, 3_600]);
    }

    #[test]
    fn one_that_went_silent_stays_out() {
        let mut world = full();
        world.ban(&host(99), 5.0, 1);
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
        world.market = super::super::MarketState::default();
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
}

mod others {
    use super::*;

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

    #[test]
    fn a_removed_entry_is_told_and_its_place_left_alone_for_longer_each_time() {
        let mut world = full();
        pass(&mut world, 100);
        for wait in [300, 600, 1_200] {
            world.remove(4);
            let plan = world.reconcile();
            assert!(plan.steps.is_empty());
            let until = world.now + wait;
            let told = |finding: &Finding| matches!(finding, Finding::Removed { until: at, .. } if *at == until);
            assert!(plan.findings.iter().any(told), "{:?}", plan.findings);
            pass(&mut world, wait - 1);
            assert!(world.reconcile().steps.is_empty());
            pass(&mut world, 1);
            let plan = world.reconcile();
            assert_eq!(plan.steps.len(), 1);
            assert_eq!(plan.steps[0].change.position(), ingress(4));
            pass(&mut world, 100);
        }
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
            assert!(release(&world.acls, &world.ledger).steps.is_empty());
        }
    }

    #[test]
    fn an_equal_entry_that_the_ledger_does_not_know_is_not_ours() {
        let mut world = World::new();
        world.acls[0].entries.push(deny(1, "203.0.113.1/32"));
        assert!(world.plan().steps.is_empty());
        assert!(release(&world.acls, &world.ledger).steps.is_empty());
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
        for step in release(&world.acls, &world.ledger).steps {
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
}

mod lag {
    use super::*;

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
            assert_eq!(world.ledger.len(), 18, "{call:?}");
        }
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
}

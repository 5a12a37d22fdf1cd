//! The rules of holding, one by one.

use std::sync::Arc;

use nicban_protocol::Outcome;

use super::{Bans, Change, Full, Hold, KernelChange, Limits, Step, StoreChange, Until};
use crate::target::{Ipv6Prefix, Map, Target};

const LIMITS: Limits = Limits {
    hash_v4: 2,
    hash_v6: 2,
    trie_v4: 2,
    trie_v6: 2,
};

fn bans() -> Bans {
    Bans::new(LIMITS, Ipv6Prefix::default())
}

fn target(text: &str) -> Target {
    Target::parse(text, Ipv6Prefix::default()).unwrap().target
}

fn hold(holder: &str, since: i64, bantime: i64) -> Hold {
    Hold {
        holder: holder.into(),
        since,
        until: Until::of_sentence(since, bantime).unwrap(),
        bancount: 1,
        failures: 5,
        reason: None,
    }
}

fn name(holder: &str) -> Arc<str> {
    holder.into()
}

/// Bans `192.0.2.1`, and commits.
fn ban(bans: &mut Bans, hold: Hold, restored: bool, now: i64) -> Change {
    let change = bans.plan_ban(target("192.0.2.1"), hold, restored, now);
    done(bans, change.unwrap())
}

fn unban(bans: &mut Bans, holder: &str, now: i64) -> Change {
    let change = bans.plan_unban(target("192.0.2.1"), Some(holder), now);
    done(bans, change)
}

fn done(bans: &mut Bans, change: Change) -> Change {
    drop(bans.commit(&change));
    change
}

fn drain(bans: &mut Bans, now: i64) -> Vec<Change> {
    let mut all = Vec::new();
    for _ in 0..100 {
        let due = bans.plan_due(now, 100);
        if due.is_empty() {
            return all;
        }
        for change in &due {
            drop(bans.commit(change));
        }
        all.extend(due.into_iter().filter(|change| change.target.is_some()));
    }
    panic!("what is due never ends");
}

fn end(bans: &Bans) -> Option<Until> {
    bans.get(&target("192.0.2.1")).map(|ban| ban.end())
}

#[test]
fn a_plan_changes_nothing() {
    let bans = bans();
    let change = bans
        .plan_ban(target("192.0.2.1"), hold("sshd", 0, 600), false, 0)
        .unwrap();
    assert_eq!(change.outcome, Outcome::Enforced);
    assert!(bans.is_empty());
}

#[test]
fn a_late_ban_ends_when_its_sentence_does() {
    let mut bans = bans();
    let change = ban(&mut bans, hold("sshd", 1_000, 600), true, 1_500);
    assert_eq!(change.kernel, Some(KernelChange::Put(Until::At(1_600))));
    assert_eq!(bans.next_deadline(), Some(1_600));
    assert!(drain(&mut bans, 1_599).is_empty());
    let lifted = drain(&mut bans, 1_600);
    assert_eq!(lifted.len(), 1);
    assert_eq!(lifted[0].outcome, Outcome::Lifted);
    assert_eq!(lifted[0].kernel, Some(KernelChange::Remove));
    assert!(bans.is_empty());
}

#[test]
fn a_sentence_that_is_over_leaves_no_trace() {
    let mut bans = bans();
    let change = ban(&mut bans, hold("sshd", 1_000, 600), true, 1_600);
    assert_eq!(change.outcome, Outcome::Expired);
    assert!(change.is_idle());
    assert!(bans.is_empty());
}

#[test]
fn one_jail_does_not_lift_what_another_holds() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 0, 600), false, 0);
    let second = ban(&mut bans, hold("nginx", 0, 300), false, 0);
    assert_eq!(second.outcome, Outcome::Enforced);
    assert_eq!(
        second.kernel, None,
        "the kernel's end is the later one already"
    );
    let first = unban(&mut bans, "sshd", 10);
    assert_eq!(first.outcome, Outcome::StillHeld);
    assert_eq!(first.kernel, Some(KernelChange::Put(Until::At(300))));
    assert_eq!(unban(&mut bans, "sshd", 10).outcome, Outcome::Unchanged);
    assert_eq!(end(&bans), Some(Until::At(300)));
    let last = unban(&mut bans, "nginx", 10);
    assert_eq!(last.outcome, Outcome::Lifted);
    assert_eq!(last.kernel, Some(KernelChange::Remove));
    assert_eq!(end(&bans), None);
}

#[test]
fn an_operator_lifts_for_every_holder() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 0, 600), false, 0);
    ban(&mut bans, hold("nginx", 0, -1), false, 0);
    let change = bans.plan_unban(target("192.0.2.1"), None, 10);
    assert_eq!(change.outcome, Outcome::Lifted);
    assert_eq!(change.store.len(), 2);
}

#[test]
fn the_same_ban_again_costs_nothing() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 0, 600), false, 0);
    for restored in [true, false] {
        let change = ban(&mut bans, hold("sshd", 0, 600), restored, 10);
        assert_eq!(change.outcome, Outcome::Unchanged);
        assert!(change.is_idle());
    }
}

#[test]
fn the_latest_word_counts_unless_it_is_an_old_one() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 100, 600), false, 100);
    let restored = ban(&mut bans, hold("sshd", 100, 300), true, 110);
    assert_eq!(restored.outcome, Outcome::Unchanged);
    let overtaken = ban(&mut bans, hold("sshd", 50, 300), false, 110);
    assert_eq!(overtaken.outcome, Outcome::Unchanged);
    assert_eq!(end(&bans), Some(Until::At(700)));
    let shorter = ban(&mut bans, hold("sshd", 120, 60), false, 120);
    assert_eq!(shorter.outcome, Outcome::Prolonged);
    assert_eq!(end(&bans), Some(Until::At(180)));
    let longer = ban(&mut bans, hold("sshd", 100, 600), true, 130);
    assert_eq!(longer.outcome, Outcome::Prolonged);
    assert_eq!(longer.kernel, Some(KernelChange::Put(Until::At(700))));
}

#[test]
fn prolonging_extends_makes_and_never_shortens() {
    let mut bans = bans();
    let mut prolong = |bantime, now| {
        let change = bans.plan_prolong(target("192.0.2.1"), hold("sshd", 0, bantime), now);
        done(&mut bans, change.unwrap())
    };
    assert_eq!(prolong(600, 0).outcome, Outcome::Enforced);
    assert_eq!(prolong(1_200, 10).outcome, Outcome::Prolonged);
    assert!(prolong(600, 20).is_idle());
    let permanent = prolong(-1, 30);
    assert_eq!(permanent.kernel, Some(KernelChange::Put(Until::Permanent)));
    assert!(prolong(600, 40).is_idle());
    assert_eq!(bans.next_deadline(), None);
}

#[test]
fn a_ban_that_ended_a_moment_ago_is_a_new_one_when_told_again() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 0, 600), false, 0);
    let again = ban(&mut bans, hold("sshd", 600, 600), false, 601);
    assert_eq!(again.outcome, Outcome::Enforced);
    assert_eq!(again.kernel, Some(KernelChange::Put(Until::At(1_200))));
    assert!(drain(&mut bans, 601).is_empty());
}

#[test]
fn full_is_refused_by_kind_and_says_so() {
    let mut bans = bans();
    for address in ["192.0.2.1", "192.0.2.2"] {
        let change = bans.plan_ban(target(address), hold("sshd", 0, 600), false, 0);
        done(&mut bans, change.unwrap());
    }
    let plan = |text| bans.plan_ban(target(text), hold("nginx", 0, 600), false, 0);
    assert_eq!(
        plan("192.0.2.3"),
        Err(Full {
            target: target("192.0.2.3"),
            map: Map::HashV4,
            capacity: 2
        })
    );
    assert_eq!(
        plan("192.0.2.3").unwrap_err().to_string(),
        "192.0.2.3 is not banned: all 2 places for bans of its kind are taken; raise max_bans in [xdp], or lift bans"
    );
    assert!(plan("192.0.2.1").is_ok(), "another holder takes no place");
    assert!(plan("2001:db8::1").is_ok());
    assert!(plan("192.0.2.0/24").is_ok());
}

#[test]
fn a_flush_alone_takes_effect_after_the_window() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 0, 600), false, 0);
    let change = bans.plan_flush(&name("sshd"), 2, 10);
    assert_eq!(done(&mut bans, change).outcome, Outcome::Held);
    assert_eq!(bans.next_deadline(), Some(13));
    assert!(drain(&mut bans, 12).is_empty());
    assert_eq!(drain(&mut bans, 13)[0].outcome, Outcome::Lifted);
    assert_eq!(bans.next_deadline(), None);
}

#[test]
fn a_flush_that_a_stop_follows_lifts_nothing() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 0, 600), false, 0);
    let flush = bans.plan_flush(&name("sshd"), 2, 10);
    done(&mut bans, flush);
    let stop = bans.plan_stop(&name("sshd"));
    let forget = StoreChange::DeleteFlush {
        holder: name("sshd"),
    };
    assert_eq!(done(&mut bans, stop).store, [forget]);
    assert!(bans.is_stopped("sshd"));
    assert!(drain(&mut bans, 599).is_empty());
    assert_eq!(drain(&mut bans, 600).len(), 1);
    let start = bans.plan_start(&name("sshd"));
    done(&mut bans, start);
    assert!(!bans.is_stopped("sshd"));
}

#[test]
fn unban_all_and_then_a_stop_lifts_all() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 0, 600), false, 0);
    for now in [10, 11] {
        let flush = bans.plan_flush(&name("sshd"), 2, now);
        done(&mut bans, flush);
    }
    let stop = bans.plan_stop(&name("sshd"));
    done(&mut bans, stop);
    assert_eq!(drain(&mut bans, 11).len(), 1);
}

#[test]
fn a_lift_is_due_at_once_whatever_follows() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 0, 600), false, 0);
    ban(&mut bans, hold("nginx", 0, 600), false, 0);
    let lift = bans.plan_lift(&name("sshd"), 10);
    assert_eq!(done(&mut bans, lift).outcome, Outcome::Lifted);
    let stop = bans.plan_stop(&name("sshd"));
    assert!(done(&mut bans, stop).store.is_empty(), "nothing to forget");
    assert_eq!(drain(&mut bans, 10)[0].outcome, Outcome::StillHeld);
    let lift = bans.plan_lift(&name("nginx"), 10);
    done(&mut bans, lift);
    assert_eq!(drain(&mut bans, 10)[0].outcome, Outcome::Lifted);
    assert_eq!(bans.next_deadline(), None);
    let nobody = bans.plan_lift(&name("nginx"), 10);
    assert_eq!(nobody.outcome, Outcome::Unchanged);
}

#[test]
fn a_ban_after_the_flush_outlives_it() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 0, 600), false, 0);
    let change = bans.plan_ban(target("192.0.2.2"), hold("sshd", 0, 600), false, 0);
    done(&mut bans, change.unwrap());
    let flush = bans.plan_flush(&name("sshd"), 2, 10);
    done(&mut bans, flush);
    let again = ban(&mut bans, hold("sshd", 0, 600), false, 11);
    assert!(again.is_idle());
    let lifted = drain(&mut bans, 20);
    assert_eq!(lifted.len(), 1);
    assert_eq!(lifted[0].target, Some(target("192.0.2.2")));
}

#[test]
fn offences_are_counted_once_for_each_new_hold() {
    let mut bans = bans();
    let counts = |change: &Change| {
        let offence = |change: &&StoreChange| matches!(change, StoreChange::CountOffence { .. });
        change.store.iter().filter(offence).count()
    };
    assert_eq!(counts(&ban(&mut bans, hold("sshd", 0, 600), false, 0)), 1);
    assert_eq!(counts(&ban(&mut bans, hold("sshd", 5, 600), false, 5)), 0);
    assert_eq!(counts(&ban(&mut bans, hold("nginx", 5, 600), true, 5)), 0);
    bans.set_offences(&target("192.0.2.1"), 7);
    assert_eq!(bans.get(&target("192.0.2.1")).unwrap().offences(), 7);
    let told = Hold {
        bancount: 9,
        ..hold("nginx", 6, 600)
    };
    ban(&mut bans, told, false, 6);
    assert_eq!(bans.get(&target("192.0.2.1")).unwrap().offences(), 9);
}

#[test]
fn pages_follow_one_another() {
    let mut bans = Bans::new(
        Limits {
            hash_v4: 100,
            ..LIMITS
        },
        Ipv6Prefix::default(),
    );
    for host in 0..25 {
        let holder = if host % 5 == 0 { "nginx" } else { "sshd" };
        let address = target(&format!("192.0.2.{host}"));
        let change = bans.plan_ban(address, hold(holder, 0, 600), false, 0);
        done(&mut bans, change.unwrap());
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = bans.page(after.as_ref(), 7, None);
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.target);
        seen.extend(page.iter().map(|ban| ban.target));
    }
    assert_eq!(seen, bans.iter().map(|ban| ban.target).collect::<Vec<_>>());
    assert_eq!(seen.len(), 25);
    assert_eq!(bans.page(None, 100, Some("nginx")).len(), 5);
    assert!(bans.page(None, 100, Some("nobody")).is_empty());
}

#[test]
fn the_networks_around_an_address_are_found() {
    let mut bans = bans();
    for network in ["192.0.2.1", "192.0.0.0/16"] {
        let change = bans.plan_ban(target(network), hold("sshd", 0, 600), false, 0);
        done(&mut bans, change.unwrap());
    }
    let around = |text| {
        let around = bans.around(target(text));
        around.map(|ban| ban.target.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(around("192.0.2.1"), ["192.0.2.1", "192.0.0.0/16"]);
    assert_eq!(around("192.0.9.9"), ["192.0.0.0/16"]);
    assert!(around("198.51.100.1").is_empty());
}

/// Two thirds of a B-tree's places are taken when it grew at random; a node of 11
/// has 16 bytes of its own, and for every 8 or so leaves there is a node above.
#[test]
fn a_million_bans_stay_small() {
    let tree = |key: usize, value: usize| (11 * (key + value) + 16) * 3 / 22 * 9 / 8;
    let bans = tree(size_of::<Target>(), size_of::<super::entry::Entry>());
    let queue = tree(size_of::<super::state::Deadline>(), 0);
    assert!(bans + queue < 170, "{bans} + {queue} bytes a ban");
}

#[test]
fn whoever_bans_what_was_recovered_takes_its_place() {
    let mut bans = bans();
    bans.restore(target("192.0.2.1"), Hold::recovered(0, Until::Permanent), 0)
        .unwrap();
    let change = ban(&mut bans, hold("sshd", 10, 100), true, 20);
    assert_eq!(change.outcome, Outcome::Enforced);
    assert_eq!(change.kernel, Some(KernelChange::Put(Until::At(110))));
    let holders = |bans: &Bans| -> Vec<String> {
        let ban = bans.get(&target("192.0.2.1"));
        let holds = ban.iter().flat_map(super::Ban::holds);
        holds.map(|hold| hold.holder.to_string()).collect()
    };
    assert_eq!(holders(&bans), ["sshd"]);
    assert_eq!(unban(&mut bans, "sshd", 30).outcome, Outcome::Lifted);
    assert!(bans.is_empty());
}

#[test]
fn what_was_recovered_any_holder_may_lift() {
    let mut bans = bans();
    bans.restore(target("192.0.2.1"), Hold::recovered(0, Until::At(500)), 0)
        .unwrap();
    // A sentence that is over takes nobody's place.
    let change = bans.plan_prolong(target("192.0.2.1"), hold("sshd", 10, 5), 20);
    assert_eq!(done(&mut bans, change.unwrap()).outcome, Outcome::Expired);
    assert_eq!(unban(&mut bans, "sshd", 30).outcome, Outcome::Lifted);
    assert!(bans.is_empty());
    assert_eq!(unban(&mut bans, "sshd", 30).outcome, Outcome::Unchanged);
}

#[test]
fn a_clock_that_is_set_leaves_what_was_left() {
    for by in [7_200, -7_200] {
        let mut bans = bans();
        ban(&mut bans, hold("sshd", 10_000, 600), false, 10_000);
        ban(&mut bans, hold("web", 9_000, 1_100), false, 10_000);
        bans.follow(Step { by, from: 10_050 });
        let now = 10_050 + by;
        assert_eq!(end(&bans), Some(Until::At(now + 550)));
        assert_eq!(bans.first_end(), Some(now + 50));
        assert_eq!(drain(&mut bans, now + 49), []);
        drain(&mut bans, now + 50);
        assert_eq!(
            end(&bans),
            Some(Until::At(now + 550)),
            "sshd holds it still"
        );
        drain(&mut bans, now + 550);
        assert!(bans.is_empty());
    }
}

#[test]
fn a_ban_without_end_has_none_by_any_clock() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 10_000, -1), false, 10_000);
    let by = i64::MAX;
    bans.follow(Step { by, from: 10_050 });
    assert_eq!(end(&bans), Some(Until::Permanent));
    assert_eq!(bans.first_end(), None);
}

#[test]
fn a_clock_that_was_behind_is_followed_when_it_is_put_right() {
    let mut bans = bans();
    // Stored before the boot, which began in 1970.
    bans.restore(target("192.0.2.1"), hold("sshd", 1_000_000, 600), 1)
        .unwrap();
    bans.follow(Step {
        by: 1_000_300,
        from: 100,
    });
    assert_eq!(end(&bans), Some(Until::At(1_000_600)));
    // From then on it is a sentence like any other.
    bans.follow(Step {
        by: 86_400,
        from: 1_000_500,
    });
    assert_eq!(end(&bans), Some(Until::At(1_087_000)));
}

#[test]
fn a_flush_waits_as_long_by_any_clock() {
    let mut bans = bans();
    ban(&mut bans, hold("sshd", 10_000, 600), false, 10_000);
    let flush = bans.plan_flush(&name("sshd"), 5, 10_010);
    done(&mut bans, flush);
    bans.follow(Step {
        by: 7_200,
        from: 10_011,
    });
    assert_eq!(drain(&mut bans, 17_211), [], "a stop may claim it yet");
    let stop = bans.plan_stop(&name("sshd"));
    done(&mut bans, stop);
    assert_eq!(drain(&mut bans, 17_300), []);
    assert!(!bans.is_empty());
}

//! The tier with the daemon: bans become entries, and stop being entries with the ban.

use std::collections::BTreeSet;

use nicban_protocol::NaclState;
use nicban_tests::standin::acl::{Action, Entry};
use nicban_tests::standin::control::Control;
use nicban_tests::standin::faults::{Fault, FaultRule};
use nicban_tests::standin::pair::Config;
use nicban_tests::standin::throttle::{Rate, Rates};

use crate::site::{ACL, Site, host, on_either, v4};

on_either!(
    a_ban_that_is_over_leaves_the_nacl,
    what_is_free_again_goes_to_the_next,
    a_restarted_daemon_adopts_its_entries,
);

/// Leaves no doubt whether the change was made.
fn throttled(action: &str) -> FaultRule {
    let code = "RequestLimitExceeded".to_owned();
    FaultRule::always(action, Fault::Error { code })
}

#[test]
fn the_most_repeated_get_the_slots_of_each_family_apart() {
    let mut cloud = Config::default();
    let theirs = [
        Entry::egress(50, Action::Deny, "192.0.2.0/24".parse().unwrap()),
        Entry::ingress(200, Action::Allow, "192.0.2.0/24".parse().unwrap()),
    ];
    // The allow behind ours takes one of the IPv4 slots.
    cloud.ec2.acls[0].entries.extend(theirs.clone());
    cloud.ec2.quota = 21;
    let mut site = Site::with(cloud, "quota = 21\n");
    // So that the first plan sees all of them.
    site.cloud.ec2.inject(throttled("DescribeNetworkAcls"));
    site.start();
    for n in 1..=25_u8 {
        let count = u32::from(n);
        site.ban_as(&format!("198.51.100.{n}"), 3600, count);
        site.ban_as(&format!("2001:db8:bad:{n:x}::1"), 3600, count);
    }
    site.cloud.ec2.clear_faults();
    let (v4_slots, v6_slots) = (18, 19);
    site.wait("the slots are full", |site| {
        let counts = (site.count(ACL, false), site.count(ACL, true));
        (counts == (v4_slots, v6_slots)).then_some(())
    });
    let wanted: BTreeSet<String> = (8..=25_u8)
        .map(|n| format!("198.51.100.{n}/32"))
        .chain((7..=25_u8).map(|n| format!("2001:db8:bad:{n:x}::/64")))
        .collect();
    let denied: BTreeSet<String> = site.denied(ACL).into_values().collect();
    assert_eq!(denied, wanted);
    // All before the first allow, and none of the others' touched.
    assert!(site.denied(ACL).keys().all(|number| *number < 100));
    let entries = site.acl(ACL).entries;
    for entry in theirs {
        assert_eq!(entries.get(&entry.key()), Some(&entry));
    }
    let all = v4_slots + v6_slots;
    let nacl = site.wait_nacl("every entry is shown", |nacl| nacl.entries.len() == all);
    assert_eq!((nacl.slots_v4, nacl.slots_v6), (18, 19));
    assert!(nacl.entries.iter().all(|entry| !entry.reason.is_empty()));
    let creates = site.cloud.ec2.count("CreateNetworkAclEntry", "ok");
    assert_eq!(creates, all as u64, "each entry is put in once");
}

#[test]
fn eighteen_and_eighteen_in_a_nacl_as_aws_makes_it() {
    let mut site = Site::new("");
    site.start_tier();
    for n in 1..=20_u8 {
        site.ban(&format!("198.51.100.{n}"));
        site.ban(&format!("2001:db8:bad:{n:x}::1"));
    }
    site.wait("18 of each family", |site| {
        ((site.count(ACL, false), site.count(ACL, true)) == (18, 18)).then_some(())
    });
    assert_eq!(
        site.cloud
            .ec2
            .count("CreateNetworkAclEntry", "NetworkAclEntryLimitExceeded"),
        0
    );
    site.wait_state(NaclState::On, ACL);
}

fn a_ban_that_is_over_leaves_the_nacl(site: &mut Site) {
    site.start_tier();
    site.ban("198.51.100.1");
    site.ban("198.51.100.2");
    site.wait_denied(&["198.51.100.1/32", "198.51.100.2/32"]);
    site.unban("198.51.100.1");
    site.wait_denied(&["198.51.100.2/32"]);
    // By its own end as well.
    site.ban_as("198.51.100.3", 8, 1);
    site.wait_denied(&["198.51.100.2/32", "198.51.100.3/32"]);
    site.wait_denied(&["198.51.100.2/32"]);
}

fn what_is_free_again_goes_to_the_next(site: &mut Site) {
    site.start_tier();
    for address in v4(1..=19) {
        site.ban(&address);
    }
    site.wait("18 slots", |site| {
        (site.count(&site.guard, false) == 18).then_some(())
    });
    let held: BTreeSet<String> = site.denied(&site.guard).into_values().collect();
    let left = v4(1..=19)
        .into_iter()
        .find(|a| !held.contains(&host(a)))
        .unwrap();
    let leaver = v4(1..=19)
        .into_iter()
        .find(|a| held.contains(&host(a)))
        .unwrap();
    site.unban(&leaver);
    site.wait("the next one gets the slot", |site| {
        let denied: BTreeSet<String> = site.denied(&site.guard).into_values().collect();
        (denied.contains(&host(&left)) && !denied.contains(&host(&leaver))).then_some(())
    });
    assert_eq!(site.count(&site.guard, false), 18);
}

fn a_restarted_daemon_adopts_its_entries(site: &mut Site) {
    site.start_tier();
    for address in v4(1..=5) {
        site.ban(&address);
    }
    let nacl = site.wait_nacl("five entries", |nacl| nacl.entries.len() == 5);
    let creates = |site: &Site| {
        let ec2 = site.stand_in()?;
        Some(ec2.count("CreateNetworkAclEntry", "ok"))
    };
    let (before, made) = (site.acl(&site.guard), creates(site));
    site.stop();
    assert_eq!(
        site.acl(&site.guard),
        before,
        "a stop leaves the entries in force"
    );
    site.start_tier();
    let after = site.wait_nacl("five entries again", |nacl| nacl.entries.len() == 5);
    let brief = |nacl: &nicban_protocol::NaclStatus| -> BTreeSet<(u16, String, i64)> {
        let entries = nacl.entries.iter();
        entries
            .map(|entry| (entry.number, entry.network.clone(), entry.since))
            .collect()
    };
    assert_eq!(brief(&after), brief(&nacl));
    assert_eq!(site.acl(&site.guard), before);
    site.ban("198.51.100.6");
    site.wait("the sixth", |site| {
        (site.count(&site.guard, false) == 6).then_some(())
    });
    let once_more = made.map(|made| made + 1);
    assert_eq!(creates(site), once_more, "each entry is put in once");
}

#[test]
fn a_plan_tells_its_steps_and_why() {
    let mut site = Site::new("");
    site.start_tier();
    site.cloud.ec2.inject(throttled("CreateNetworkAclEntry"));
    site.ban_as("198.51.100.1", 3600, 3);
    site.wait_state(NaclState::Degraded, "RequestLimitExceeded");
    let said = site.nicban(&["nacl", "plan", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let plan = said.json();
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 1, "{plan:#}");
    assert_eq!(steps[0]["acl"], ACL);
    let action = steps[0]["action"].as_str().unwrap();
    assert!(action.contains("deny 198.51.100.1/32"), "{action}");
    assert!(!steps[0]["reason"].as_str().unwrap().is_empty());
    let table = site.nicban(&["nacl", "plan"]);
    assert!(table.stdout.contains("198.51.100.1/32"), "{table:?}");
    site.cloud.ec2.clear_faults();
    site.wait_denied(&["198.51.100.1/32"]);
    site.wait_state(NaclState::On, ACL);
    let plan = site.nicban(&["nacl", "plan", "--json"]).json();
    assert_eq!(plan["steps"].as_array().unwrap().len(), 0, "{plan:#}");
}

#[test]
fn changes_stay_within_the_budget() {
    let mut site = Site::new("calls_burst = 4\ncalls_per_second = 1.0\n");
    site.start_tier();
    let began = std::time::Instant::now();
    for address in v4(1..=18) {
        site.ban(&address);
    }
    site.wait("18 slots", |site| {
        let calls = site.cloud.ec2.calls();
        let made: u64 = calls
            .iter()
            .filter(|(action, _)| !action.starts_with("Describe"))
            .flat_map(|(_, outcomes)| outcomes.values())
            .sum();
        let due = 4 + began.elapsed().as_secs() + 1;
        assert!(made <= due, "{made} calls where {due} are due");
        (site.count(ACL, false) == 18).then_some(())
    });
}

#[test]
fn ec2_may_be_thriftier_than_the_budget() {
    let mut site = Site::new("");
    let rates = Rates {
        mutating: Rate {
            burst: 2.0,
            per_second: 1.0,
        },
        ..Rates::default()
    };
    let order = Control::Throttle { rates };
    site.cloud.ec2.control(order).unwrap();
    site.start_tier();
    for address in v4(1..=8) {
        site.ban(&address);
    }
    site.wait("8 slots", |site| {
        (site.count(ACL, false) == 8).then_some(())
    });
    let throttled = site
        .cloud
        .ec2
        .count("CreateNetworkAclEntry", "RequestLimitExceeded");
    assert!(throttled > 0, "the fault must have been met");
    site.wait_state(NaclState::On, ACL);
}

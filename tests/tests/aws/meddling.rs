//! Others change the NACL too: nicban says so, mends it once, and does not fight.

use nicban_protocol::NaclState;
use nicban_tests::standin::acl::{Action, Entry};
use nicban_tests::standin::control::Control;
use nicban_tests::standin::pair::Config;
use nicban_tests::standin::state::Change;
use nicban_tests::wait;

use crate::release::other_acl;
use crate::site::{ACL, OTHER_ACL, Site, now, v4};

/// How long EC2 may take to show a change: an entry that is younger and not seen is
/// taken to be on its way.
const SETTLE_S: i64 = 30;

fn meddle(site: &Site, change: &Change) {
    site.cloud.ec2.meddle(change).unwrap();
}

/// A tier whose three entries have settled.
fn settled() -> Site {
    let mut site = Site::new("");
    site.start_tier();
    for address in v4(1..=3) {
        site.ban(&address);
    }
    site.wait_nacl("three entries", |nacl| nacl.entries.len() == 3);
    let put_in = now();
    let limit = std::time::Duration::from_mins(1);
    wait::until("they have settled", limit, || {
        Ok((now() > put_in + SETTLE_S).then_some(()))
    })
    .unwrap();
    site
}

#[test]
fn what_someone_takes_out_is_mended_once_and_what_they_edit_is_left() {
    let mut site = settled();
    let numbers: Vec<u16> = site.denied(ACL).into_keys().collect();
    let (removed, edited) = (numbers[0], numbers[1]);
    let removed_network = site.denied(ACL)[&removed].clone();
    let acl = ACL.to_owned();
    let remove = Change::RemoveEntry {
        acl: acl.clone(),
        egress: false,
        number: removed,
    };
    meddle(&site, &remove);
    let entry = Entry::ingress(edited, Action::Deny, "203.0.113.0/24".parse().unwrap());
    meddle(&site, &Change::PutEntry { acl, entry });
    site.wait_nacl("both are told of", |nacl| {
        let told = |word: &str| nacl.findings.iter().any(|f| f.contains(word));
        told(&removed_network) && told("203.0.113.0/24")
    });
    let changes = |site: &Site| {
        let ec2 = &site.cloud.ec2;
        let count = |action| ec2.count(action, "ok");
        count("CreateNetworkAclEntry") + count("ReplaceNetworkAclEntry")
    };
    let describes = |site: &Site| site.cloud.ec2.count("DescribeNetworkAcls", "ok");
    // What lost its place by the edit may get another, once; then nothing moves.
    let first = describes(&site);
    site.wait("two more looks", |site| {
        (describes(site) >= first + 2).then_some(())
    });
    let denied = site.denied(ACL);
    assert_eq!(denied[&edited], "203.0.113.0/24", "theirs now");
    assert!(!denied.contains_key(&removed), "not at once");
    assert!(!denied.values().any(|network| *network == removed_network));
    // Once may be an accident.
    site.wait_nacl("it is to be put back", |nacl| {
        nacl.findings.iter().any(|f| f.contains("to be put back"))
    });
    let returns = |site: &Site| {
        let denied = site.denied(ACL);
        let mut denied = denied.into_iter();
        denied.find(|(_, network)| *network == removed_network)
    };
    let (removed, _) = site.wait("it is put back", |site| returns(site));
    let put_back = now();
    let limit = std::time::Duration::from_mins(1);
    wait::until("it has settled", limit, || {
        Ok((now() > put_back + SETTLE_S).then_some(()))
    })
    .unwrap();
    // Twice is none.
    let acl = ACL.to_owned();
    meddle(
        &site,
        &Change::RemoveEntry {
            acl,
            egress: false,
            number: removed,
        },
    );
    site.wait_nacl("it is left alone", |nacl| {
        let left = |f: &String| f.contains("again; left alone") && f.contains(&removed_network);
        nacl.findings.iter().any(left)
    });
    let (made, again) = (changes(&site), now());
    wait::until("as long as the first time, and longer", limit, || {
        Ok((now() > again + SETTLE_S + 10).then_some(()))
    })
    .unwrap();
    assert_eq!(changes(&site), made, "{}", site.story());
    assert_eq!(returns(&site), None);
    assert_eq!(site.status().nacl.state, NaclState::On);
    // And theirs stays theirs.
    assert_eq!(site.nicban(&["nacl", "release"]).code, Some(0));
    site.wait_denied(&["203.0.113.0/24"]);
}

#[test]
fn a_lower_quota_than_configured_is_learnt() {
    let mut site = Site::new("");
    let order = Control::Quota { rules: 15 };
    site.cloud.ec2.control(order).unwrap();
    site.start_tier();
    for address in v4(1..=20) {
        site.ban(&address);
    }
    // The default deny and the default allow.
    let slots = 13;
    site.wait("the quota is used up", |site| {
        (site.count(ACL, false) == slots).then_some(())
    });
    site.wait_nacl("the quota is told of", |nacl| {
        nacl.state == NaclState::On
            && nacl.slots_v4 == 13
            && nacl.findings.iter().any(|f| f.contains("15 entries"))
    });
    let calls = |site: &Site| {
        let mut calls = site.cloud.ec2.calls();
        calls.remove("DescribeNetworkAcls");
        calls
    };
    let refused = "NetworkAclEntryLimitExceeded";
    assert_eq!(calls(&site)["CreateNetworkAclEntry"][refused], 1);
    let before = calls(&site);
    let looks = site.cloud.ec2.count("DescribeNetworkAcls", "ok");
    site.wait("two more looks", |site| {
        (site.cloud.ec2.count("DescribeNetworkAcls", "ok") >= looks + 2).then_some(())
    });
    assert_eq!(calls(&site), before, "no flapping");
    // AWS raises it, and someone else's entry shows that.
    let order = Control::Quota { rules: 20 };
    site.cloud.ec2.control(order).unwrap();
    let theirs = Entry::ingress(60, Action::Deny, "203.0.113.0/24".parse().unwrap());
    let acl = ACL.to_owned();
    meddle(&site, &Change::PutEntry { acl, entry: theirs });
    site.wait("17 slots beside theirs", |site| {
        (site.count(ACL, false) == 18).then_some(())
    });
    site.wait_nacl("nothing is wrong with the quota", |nacl| {
        nacl.slots_v4 == 17 && !nacl.findings.iter().any(|f| f.contains("entries here"))
    });
}

#[test]
fn the_plan_follows_a_quota_that_is_configured_anew() {
    let mut site = Site::new("quota = 12\n");
    site.start_tier();
    for address in v4(1..=20) {
        site.ban(&address);
    }
    for (quota, held) in [(12, 10), (6, 4), (20, 18)] {
        site.stop();
        site.configure(&format!("quota = {quota}\n"));
        site.start_tier();
        site.wait(&format!("{held} slots"), |site| {
            (site.count(ACL, false) == held).then_some(())
        });
        site.wait_nacl("all are known", |nacl| nacl.entries.len() == held);
    }
    let calls = &site.cloud.ec2;
    assert_eq!(calls.count("CreateNetworkAclEntry", "ok"), 10 + 14);
    assert_eq!(calls.count("DeleteNetworkAclEntry", "ok"), 6);
}

#[test]
fn what_ec2_does_not_show_yet_counts_for_the_quota_too() {
    let mut site = Site::new("");
    let order = Control::Quota { rules: 15 };
    site.cloud.ec2.control(order).unwrap();
    site.start_tier();
    let delay = std::time::Duration::from_secs(15);
    site.cloud.ec2.set_visibility_delay(delay);
    for address in v4(1..=5) {
        site.ban(&address);
    }
    site.wait("five entries", |site| {
        (site.count(ACL, false) == 5).then_some(())
    });
    for address in v4(6..=20) {
        site.ban(&address);
    }
    site.wait_nacl("all slots of the quota are held", |nacl| {
        nacl.state == NaclState::On && nacl.slots_v4 == 13 && nacl.entries.len() == 13
    });
    assert_eq!(site.count(ACL, false), 13);
    assert_eq!(site.cloud.ec2.count("DeleteNetworkAclEntry", "ok"), 0);
}

#[test]
fn another_nacl_of_the_subnet_is_found() {
    let mut site = Site::new("");
    site.start_tier();
    site.ban("198.51.100.1");
    site.wait_denied(&["198.51.100.1/32"]);
    let acl = other_acl();
    meddle(&site, &Change::AddAcl { acl });
    let acl = ACL.to_owned();
    meddle(&site, &Change::DeleteAcl { acl });
    site.wait("the new NACL holds it", |site| {
        (site.denied(OTHER_ACL).len() == 1).then_some(())
    });
    site.wait_state(NaclState::On, OTHER_ACL);
}

#[test]
fn without_any_nacl_it_waits_for_one() {
    let mut site = Site::new("");
    site.start_tier();
    let acl = ACL.to_owned();
    meddle(&site, &Change::DeleteAcl { acl });
    site.ban("198.51.100.1");
    site.wait_nacl("there is none", |nacl| {
        nacl.reason.contains("no network ACL")
    });
    let acl = other_acl();
    meddle(&site, &Change::AddAcl { acl });
    site.wait("the new NACL holds it", |site| {
        (site.denied(OTHER_ACL).len() == 1).then_some(())
    });
}

#[test]
fn where_firewall_manager_rules_the_numbers_are_its() {
    let mut cloud = Config::default();
    let tag = ("FMManaged".to_owned(), "true".to_owned());
    cloud.ec2.acls[0].tags.extend([tag]);
    let acl = &mut cloud.ec2.acls[0];
    acl.default_allows = false;
    let allow = |number| Entry::ingress(number, Action::Allow, "0.0.0.0/0".parse().unwrap());
    acl.entries.push(allow(32_500));
    let mut site = Site::with(cloud, "");
    site.start_tier();
    site.ban("198.51.100.1");
    site.wait_denied(&["198.51.100.1/32"]);
    let number = *site.denied(ACL).keys().next().unwrap();
    assert!((5_000..=32_000).contains(&number), "{number}");
    let found = site.nicban(&["nacl", "discover", "--json"]).json();
    assert_eq!(found["acls"][0]["firewall_manager"], true);
    // The test keeps to the same numbers, and takes the last of them.
    let said = site.nicban(&["nacl", "test", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let put_in = "create ingress rule 32000 deny 192.0.2.1/32";
    assert!(said.stdout.contains(put_in), "{said:?}");
    site.wait_denied(&["198.51.100.1/32"]);
}

#[test]
fn a_nacl_of_another_account_is_refused_with_the_reason() {
    let mut cloud = Config::default();
    cloud.ec2.acls[0].owner = Some("210987654321".to_owned());
    let mut site = Site::with(cloud, "");
    site.start();
    let nacl = site.wait_state(NaclState::Refused, "210987654321");
    assert!(nacl.reason.contains("only its owner"), "{}", nacl.reason);
    site.ban("198.51.100.1");
    let looks = site.cloud.ec2.count("DescribeNetworkAcls", "ok");
    site.wait("another look", |site| {
        (site.cloud.ec2.count("DescribeNetworkAcls", "ok") > looks).then_some(())
    });
    assert_eq!(site.status().nacl.state, NaclState::Refused);
    assert!(!site.cloud.ec2.calls().contains_key("CreateNetworkAclEntry"));
    assert_eq!(site.nicban(&["nacl", "test"]).code, Some(1));
}

#[test]
fn an_allow_before_our_range_is_told() {
    let mut cloud = Config::default();
    let allow = Entry::ingress(1, Action::Allow, "0.0.0.0/0".parse().unwrap());
    cloud.ec2.acls[0].entries.push(allow);
    let mut site = Site::with(cloud, "");
    site.start();
    site.ban("198.51.100.1");
    site.wait_nacl("it is told of", |nacl| {
        nacl.findings.iter().any(|f| f.contains("ingress rule 1"))
    });
    assert!(site.denied(ACL).is_empty());
    let said = site.nicban(&["nacl", "discover"]);
    assert!(said.stdout.contains("ingress rule 1"), "{said:?}");
}

#[test]
fn a_neighbour_in_our_range_costs_a_slot_and_stays() {
    let mut cloud = Config::default();
    let theirs = Entry::ingress(1, Action::Deny, "192.0.2.0/24".parse().unwrap());
    cloud.ec2.acls[0].entries.push(theirs);
    let mut site = Site::with(cloud, "");
    site.start_tier();
    for address in v4(1..=19) {
        site.ban(&address);
    }
    site.wait("17 slots beside theirs", |site| {
        (site.count(ACL, false) == 18).then_some(())
    });
    assert_eq!(site.denied(ACL)[&1], "192.0.2.0/24");
    let nacl = site.wait_state(NaclState::On, ACL);
    assert_eq!(nacl.slots_v4, 17);
}

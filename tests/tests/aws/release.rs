//! `nicban nacl release` takes out what is ours, wherever it stands, and nothing else.

use nicban_protocol::NaclState;
use nicban_tests::standin::acl::{Action, Entry};
use nicban_tests::standin::config::AclConfig;
use nicban_tests::standin::state::Change;

use crate::site::{ACL, OTHER_ACL, SUBNET, Site, VPC, on_either};

on_either!(
    a_release_takes_out_what_is_ours_and_stays,
    a_release_falls_back_to_asking_aws_itself,
);

/// An empty NACL as AWS makes it, that guards the instance's subnet.
pub(crate) fn other_acl() -> AclConfig {
    AclConfig {
        id: OTHER_ACL.to_owned(),
        vpc: VPC.to_owned(),
        owner: None,
        is_default: false,
        ipv6: true,
        default_allows: true,
        tags: std::collections::BTreeMap::new(),
        subnets: vec![SUBNET.to_owned()],
        entries: Vec::new(),
    }
}

/// A tier with two entries in the first NACL, one of somebody else's beside them,
/// whose subnet then moves to another NACL, where it puts both in again.
fn moved() -> Site {
    let mut site = Site::new("");
    let entry = Entry::ingress(60, Action::Deny, "192.0.2.0/24".parse().unwrap());
    let acl = ACL.to_owned();
    let theirs = Change::PutEntry { acl, entry };
    site.cloud.ec2.meddle(&theirs).unwrap();
    site.start_tier();
    site.ban("198.51.100.1");
    site.ban("2001:db8:bad:1::1");
    let three = ["192.0.2.0/24", "198.51.100.1/32", "2001:db8:bad:1::/64"];
    site.wait_denied(&three);
    let acl = other_acl();
    site.cloud.ec2.meddle(&Change::AddAcl { acl }).unwrap();
    site.wait("the new NACL holds both", |site| {
        (site.denied(OTHER_ACL).len() == 2).then_some(())
    });
    site.wait_nacl("the old one is told of", |nacl| {
        nacl.reason.contains(OTHER_ACL) && nacl.findings.iter().any(|f| f.contains(ACL))
    });
    site.wait_denied(&three);
    site
}

#[test]
fn the_daemon_releases_both_nacls_and_puts_nothing_in_any_more() {
    let mut site = moved();
    let said = site.nicban(&["nacl", "release"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    site.wait_denied(&["192.0.2.0/24"]);
    assert!(site.denied(OTHER_ACL).is_empty(), "{}", site.story());
    site.wait_state(NaclState::Released, "released");
    assert_eq!(site.status().bans, 2, "XDP goes on");
    let creates = site.cloud.ec2.count("CreateNetworkAclEntry", "ok");
    site.ban("198.51.100.2");
    // Asked twice, it has nothing more to do.
    assert_eq!(site.nicban(&["nacl", "release"]).code, Some(0));
    assert_eq!(site.cloud.ec2.count("CreateNetworkAclEntry", "ok"), creates);
    // Also after a restart, until the operator says so.
    site.stop();
    site.start();
    site.wait_state(NaclState::Released, "released");
    assert_eq!(site.cloud.ec2.count("CreateNetworkAclEntry", "ok"), creates);
    assert_eq!(site.nicban(&["nacl", "resume"]).code, Some(0));
    site.wait("the new NACL holds three", |site| {
        (site.denied(OTHER_ACL).len() == 3).then_some(())
    });
}

#[test]
fn without_a_daemon_both_nacls_are_released_too() {
    let mut site = moved();
    site.stop();
    let said = site.nicban(&["nacl", "release", "--direct"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    site.wait_denied(&["192.0.2.0/24"]);
    assert!(site.denied(OTHER_ACL).is_empty(), "{said:?}");
    let again = site.nicban(&["nacl", "release", "--direct"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("none of nicban's"), "{again:?}");
}

#[test]
fn a_release_that_ec2_refuses_half_way_goes_on_when_asked_again() {
    let mut site = Site::new("");
    site.start_tier();
    site.ban("198.51.100.1");
    site.ban("198.51.100.2");
    site.wait_denied(&["198.51.100.1/32", "198.51.100.2/32"]);
    site.cloud.ec2.forbid("DeleteNetworkAclEntry");
    let said = site.nicban(&["nacl", "release"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("0 of 2"), "{said:?}");
    site.cloud.ec2.permit("DeleteNetworkAclEntry");
    assert_eq!(site.nicban(&["nacl", "release"]).code, Some(0));
    site.wait_denied(&[]);
}

fn a_release_takes_out_what_is_ours_and_stays(site: &mut Site) {
    let before = site.acl(&site.guard);
    site.start_tier();
    site.ban("198.51.100.1");
    site.ban("2001:db8:bad:1::1");
    site.wait_denied(&["198.51.100.1/32", "2001:db8:bad:1::/64"]);
    let found = site.nicban(&["nacl", "discover", "--json"]).json();
    let entries = found["acls"][0]["entries"].as_array().unwrap();
    for entry in entries {
        assert_eq!(entry["ours"], entry["action"] == "deny", "{entry}");
    }
    assert_eq!(site.nicban(&["nacl", "release"]).code, Some(0));
    assert_eq!(site.acl(&site.guard), before);
    site.wait_state(NaclState::Released, "released");
    assert_eq!(site.status().bans, 2, "XDP goes on");
    site.stop();
    let again = site.nicban(&["nacl", "release", "--direct"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("none of nicban's"), "{again:?}");
}

fn a_release_falls_back_to_asking_aws_itself(site: &mut Site) {
    site.start_tier();
    site.ban("198.51.100.1");
    site.wait_denied(&["198.51.100.1/32"]);
    site.stop();
    let said = site.nicban(&["nacl", "release"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("without the daemon"), "{said:?}");
    site.wait_denied(&[]);
}

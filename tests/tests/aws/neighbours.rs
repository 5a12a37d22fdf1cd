//! Several NACLs, and several hosts behind one: each keeps to its own entries.

use std::collections::BTreeSet;

use nicban_protocol::{NaclState, NaclStatus};
use nicban_tests::standin::config::SubnetConfig;
use nicban_tests::standin::metadata::Interface;
use nicban_tests::standin::pair::Config;

use crate::release::other_acl;
use crate::site::{ACL, OTHER_ACL, SUBNET, Site, VPC, host};

const SUBNET_B: &str = "subnet-0123456789abcdefb";
const MAC_B: &str = "06:00:00:00:00:02";

/// Two hosts in one subnet, each with its rule numbers; their tiers are at work.
fn two_hosts(numbers: [&str; 2]) -> [Site; 2] {
    let mut cloud = Config::default();
    cloud.imds.interfaces.push(Interface::simple(MAC_B, SUBNET));
    let [first, second] = numbers.map(|numbers| format!("rule_numbers = \"{numbers}\"\n"));
    let mut first = Site::with(cloud, &first);
    first.interface("ens6", MAC_B);
    let mut second = first.neighbour("ens6", &second);
    first.start_tier();
    second.start_tier();
    [first, second]
}

/// The addresses that a host bans: 198.51.100.N, or 203.0.113.N.
fn addresses(net: &str, count: u8) -> Vec<String> {
    (1..=count).map(|n| format!("{net}.{n}")).collect()
}

const NET_A: &str = "198.51.100";
const NET_B: &str = "203.0.113";

/// The numbers of the entries in a net.
fn numbers(site: &Site, net: &str) -> BTreeSet<u16> {
    let denied = site.denied(ACL).into_iter();
    denied
        .filter(|(_, network)| network.starts_with(&format!("{net}.")))
        .map(|(number, _)| number)
        .collect()
}

fn speaks_of_others(nacl: &NaclStatus) -> bool {
    nacl.findings.iter().any(|f| f.contains("someone else"))
}

/// Waits for looks that a host takes from now on.
fn look_again(site: &mut Site, looks: u64) {
    let describes = |site: &Site| site.cloud.ec2.count("DescribeNetworkAcls", "ok");
    let first = describes(site);
    // Both hosts look.
    site.wait("more looks", |site| {
        (describes(site) >= first + 2 * looks).then_some(())
    });
}

#[test]
fn hosts_with_split_numbers_share_the_quota_and_nothing_else() {
    let [mut a, mut b] = two_hosts(["1-49", "50-99"]);
    for address in addresses(NET_A, 10) {
        a.ban(&address);
    }
    a.wait("ten of the first host's", |site| {
        (numbers(site, NET_A).len() == 10).then_some(())
    });
    // Who hasn't seen them yet learns of them from a refusal.
    look_again(&mut a, 2);
    for address in addresses(NET_B, 20) {
        b.ban(&address);
    }
    b.wait("the second host has what is left", |site| {
        (numbers(site, NET_B).len() == 8).then_some(())
    });
    assert!(numbers(&a, NET_A).iter().all(|number| *number < 50));
    assert!(
        numbers(&b, NET_B)
            .iter()
            .all(|number| (50..100).contains(number))
    );
    // What the other holds is no slot of one's own, and no stranger in one's numbers.
    let nacl = a.wait_nacl("ten are left to the first", |nacl| nacl.slots_v4 == 10);
    assert_eq!(nacl.entries.len(), 10);
    assert!(!speaks_of_others(&nacl), "{:?}", nacl.findings);
    let nacl = b.wait_nacl("eight to the second", |nacl| nacl.slots_v4 == 8);
    assert_eq!(nacl.entries.len(), 8);
    assert!(!speaks_of_others(&nacl), "{:?}", nacl.findings);

    // The first has more bans, and no room for them: it takes nothing from the other.
    for address in addresses(NET_A, 12).split_off(10) {
        a.ban(&address);
    }
    look_again(&mut a, 2);
    assert_eq!(
        (numbers(&a, NET_A).len(), numbers(&b, NET_B).len()),
        (10, 8)
    );

    // A release leaves the other's, who takes what has become free.
    assert_eq!(a.nicban(&["nacl", "release"]).code, Some(0));
    assert!(numbers(&a, NET_A).is_empty());
    b.wait("the second host has all", |site| {
        (numbers(site, NET_B).len() == 18).then_some(())
    });
    let ec2 = &b.cloud.ec2;
    let refused = ec2.count("CreateNetworkAclEntry", "NetworkAclEntryLimitExceeded");
    assert_eq!(refused, 0, "{}", b.story());
    assert_eq!(ec2.count("DeleteNetworkAclEntry", "ok"), 10);
    b.wait_state(NaclState::On, ACL);
}

#[test]
fn a_neighbour_in_the_same_numbers_is_told_of_and_never_touched() {
    let [mut a, mut b] = two_hosts(["1-99", "1-99"]);
    for address in addresses(NET_A, 3) {
        a.ban(&address);
    }
    a.wait("three of the first host's", |site| {
        (numbers(site, NET_A).len() == 3).then_some(())
    });
    let theirs = numbers(&a, NET_A);
    for address in addresses(NET_B, 20) {
        b.ban(&address);
    }
    b.wait("the second host fills the rest", |site| {
        (numbers(site, NET_B).len() == 15).then_some(())
    });
    for site in [&mut a, &mut b] {
        site.wait_nacl("the neighbour is told of", speaks_of_others);
    }
    assert_eq!(numbers(&a, NET_A), theirs);
    // An address that one denies needs no second entry from the other.
    b.ban("198.51.100.1");
    a.ban("198.51.100.4");
    look_again(&mut a, 2);
    let denied = a.denied(ACL);
    assert_eq!(denied.len(), 18, "{denied:?}");
    let once = |address: &str| denied.values().filter(|it| **it == host(address)).count();
    assert_eq!(once("198.51.100.1"), 1);
    assert_eq!(a.status().nacl.entries.len(), 3);
    assert_eq!(b.status().nacl.entries.len(), 15);

    assert_eq!(b.nicban(&["nacl", "release"]).code, Some(0));
    a.wait(
        "the first host's are left, and its fourth gets in",
        |site| (site.denied(ACL).len() == 4).then_some(()),
    );
    assert!(theirs.is_subset(&numbers(&a, NET_A)));
    a.wait_state(NaclState::On, ACL);
}

#[test]
fn a_host_in_two_subnets_keeps_both_nacls() {
    let mut cloud = Config::default();
    let second = SubnetConfig {
        id: SUBNET_B.to_owned(),
        vpc: VPC.to_owned(),
        cidr: "10.0.2.0/24".parse().unwrap(),
        ipv6_cidr: None,
        availability_zone: "eu-central-1a".to_owned(),
    };
    cloud.ec2.subnets.push(second);
    let mut acl = other_acl();
    acl.subnets = vec![SUBNET_B.to_owned()];
    cloud.ec2.acls.push(acl);
    let interface = Interface::simple(MAC_B, SUBNET_B);
    cloud.imds.interfaces.push(interface);
    let mut site = Site::with(cloud, "");
    site.interface("ens6", MAC_B);
    site.use_interfaces(&["ens5", "ens6"], "");
    site.start_tier();
    for address in addresses(NET_A, 20) {
        site.ban(&address);
    }
    site.wait("both are full", |site| {
        ((site.count(ACL, false), site.count(OTHER_ACL, false)) == (18, 18)).then_some(())
    });
    let nacl = site.wait_nacl("both are shown", |nacl| nacl.entries.len() == 36);
    assert_eq!(nacl.slots_v4, 36);
    for acl in [ACL, OTHER_ACL] {
        assert!(nacl.reason.contains(acl), "{}", nacl.reason);
    }
    let networks: BTreeSet<String> = site.denied(ACL).into_values().collect();
    assert_eq!(networks, site.denied(OTHER_ACL).into_values().collect());
    let creates = site.cloud.ec2.count("CreateNetworkAclEntry", "ok");
    assert_eq!(creates, 36, "each once");
    site.unban("198.51.100.1");
    site.unban("198.51.100.2");
    site.unban("198.51.100.3");
    site.wait("both have what is left", |site| {
        ((site.count(ACL, false), site.count(OTHER_ACL, false)) == (17, 17)).then_some(())
    });
    assert_eq!(site.nicban(&["nacl", "release"]).code, Some(0));
    assert_eq!(
        (site.denied(ACL).len(), site.denied(OTHER_ACL).len()),
        (0, 0)
    );
}

//! Behind a load balancer: no packet of who is banned ever reaches the host.

use std::time::Duration;

use nicban_protocol::{Ban, Outcome, RefusalKind, Reply, Request};
use nicban_tests::standin::config::{AclConfig, SubnetConfig};
use nicban_tests::standin::pair::Config;

use crate::site::{ACL, OTHER_ACL, Site, VPC, now};

/// Two slots for IPv4: the default deny and the allow take the others.
const BY_FAILURES: &str = "compete = \"failures\"\nmin_term = \"1s\"\nquota = 4\n";

fn ask_to_ban(site: &Site, address: &str, failures: u32) -> Reply {
    site.ask(&Request::Ban(Ban {
        holder: "nginx-limit-req".to_owned(),
        address: address.to_owned(),
        time: now(),
        bantime: 3600,
        bancount: 1,
        failures,
        restored: false,
        reason: None,
    }))
}

fn ban(site: &Site, address: &str, failures: u32) {
    let reply = ask_to_ban(site, address, failures);
    assert!(is_enforced(&reply), "{address}: {reply:?}");
}

const fn is_enforced(reply: &Reply) -> bool {
    matches!(
        reply,
        Reply::Done {
            outcome: Outcome::Enforced,
            ..
        }
    )
}

/// Why a ban is refused.
fn refused(site: &Site, address: &str) -> String {
    match ask_to_ban(site, address, 9) {
        Reply::Refused(refusal) if refusal.kind == RefusalKind::Protected => refusal.message,
        other => panic!("{address}: {other:?}"),
    }
}

#[test]
fn the_most_failures_hold_the_slots_though_no_packet_flows() {
    let mut site = Site::new(BY_FAILURES);
    site.start_tier();
    ban(&site, "198.51.100.1", 12);
    ban(&site, "198.51.100.2", 6);
    site.wait_denied(&["198.51.100.1/32", "198.51.100.2/32"]);
    // More than the weakest, but not by the margin.
    ban(&site, "198.51.100.3", 7);
    std::thread::sleep(Duration::from_secs(2));
    let plan = site.nicban(&["nacl", "plan"]);
    assert!(plan.stdout.contains("Nothing to do"), "{plan:?}");
    ban(&site, "198.51.100.4", 20);
    site.wait_denied(&["198.51.100.1/32", "198.51.100.4/32"]);

    let nacl = site.wait_nacl("both are shown", |nacl| {
        let mut entries = nacl.entries.iter();
        entries.len() == 2 && entries.any(|entry| entry.network == "198.51.100.4/32")
    });
    for entry in &nacl.entries {
        let failures = entry.failures.unwrap_or_default();
        let told = if entry.network == "198.51.100.4/32" {
            20.0
        } else {
            12.0
        };
        assert!((told - 1.0..=told).contains(&failures), "{entry:?}");
        assert!(entry.reason.contains("faded failures"), "{entry:?}");
    }
    let plan = site.nicban(&["nacl", "plan"]);
    assert!(plan.stdout.contains("Nothing to do"), "{plan:?}");
    assert!(!plan.stdout.contains("packets/s"), "{plan:?}");
    assert!(plan.stdout.contains("FADED FAILURES"), "{plan:?}");
    let dropped: u64 = site
        .status()
        .offenders
        .iter()
        .map(|ban| ban.dropped.packets)
        .sum();
    assert_eq!(dropped, 0, "the scene is about what XDP can't see");

    // The worth of an incumbent outlasts the daemon: it is in the bans.
    site.stop();
    site.start_tier();
    ban(&site, "198.51.100.5", 19);
    site.wait_denied(&["198.51.100.4/32", "198.51.100.5/32"]);
    // A ban told anew counts anew.
    ban_again(&site, "198.51.100.3", 40);
    site.wait_denied(&["198.51.100.3/32", "198.51.100.4/32"]);
}

fn ban_again(site: &Site, address: &str, failures: u32) {
    site.unban(address);
    ban(site, address, failures);
}

#[test]
fn the_vpc_and_the_balancer_s_ranges_are_refused() {
    let mut site = Site::new(&format!(
        "{BY_FAILURES}[allow]\nnetworks = [\"203.0.113.0/24\"]\n"
    ));
    site.start_tier();
    let why = refused(&site, "10.0.9.9");
    assert!(
        why.starts_with("10.0.9.9 is not banned: it is inside the VPC (10.0.0.0/16)"),
        "{why}"
    );
    refused(&site, "10.0.9.0/24");
    let why = refused(&site, "203.0.113.7");
    assert!(
        why.contains("203.0.113.0/24 is on the allow list ([allow] in the configuration)"),
        "{why}"
    );
    ban(&site, "10.1.9.9", 9);
    site.wait_denied(&["10.1.9.9/32"]);
}

#[test]
fn by_rate_an_attacker_in_the_vpc_is_banned_on_the_host_alone() {
    let mut site = Site::new("");
    site.start_tier();
    ban(&site, "10.0.9.9", 9);
    ban(&site, "198.51.100.1", 9);
    site.wait_denied(&["198.51.100.1/32"]);
}

#[test]
fn the_balancer_s_subnets_are_guarded_in_place_of_the_host_s() {
    let subnet = "subnet-0123456789abcdefb";
    let mut cloud = Config::default();
    cloud.ec2.subnets.push(SubnetConfig {
        id: subnet.to_owned(),
        vpc: VPC.to_owned(),
        cidr: "10.0.2.0/24".parse().unwrap(),
        ipv6_cidr: None,
        availability_zone: "eu-central-1a".to_owned(),
    });
    let host_s = cloud.ec2.acls[0].clone();
    cloud.ec2.acls.push(AclConfig {
        id: OTHER_ACL.to_owned(),
        is_default: false,
        subnets: vec![subnet.to_owned()],
        ..host_s
    });
    let mut site = Site::with(
        cloud,
        &format!("compete = \"failures\"\nsubnets = [\"{subnet}\"]\n"),
    );
    site.start_tier();
    ban(&site, "198.51.100.1", 5);
    site.wait("the balancer's NACL denies it", |site| {
        (site.count(OTHER_ACL, false) == 1).then_some(())
    });
    assert_eq!(site.count(ACL, false), 0, "the host's own is left alone");
    let found = site.nicban(&["nacl", "discover", "--json"]).json();
    assert_eq!(found["acls"][0]["id"], OTHER_ACL, "{found:#}");
    assert_eq!(found["acls"].as_array().unwrap().len(), 1, "{found:#}");
}

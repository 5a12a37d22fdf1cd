//! Where the host stands, and what becomes of the tier where that can't be told.

use nicban_protocol::NaclState;
use nicban_tests::net::{Link, veth};
use nicban_tests::standin::config::SubnetConfig;
use nicban_tests::standin::imds::ImdsControl;
use nicban_tests::standin::metadata::Interface;
use nicban_tests::standin::pair::Config;

use crate::site::{ACL, MAC, REGION, SUBNET, Site, VPC, on_either};

const SUBNET_B: &str = "subnet-0123456789abcdefb";

on_either!(mac_leads_to_subnet_and_subnet_to_nacl);

fn mac_leads_to_subnet_and_subnet_to_nacl(site: &Site) {
    let said = site.nicban(&["nacl", "discover", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let found = said.json();
    assert_eq!(found["region"], REGION);
    assert_eq!(found["account"], "123456789012");
    assert_eq!(found["interfaces"].as_array().unwrap().len(), 1);
    assert_eq!(found["interfaces"][0]["name"], "ens5");
    assert_eq!(found["interfaces"][0]["mac"], MAC);
    assert_eq!(found["interfaces"][0]["subnet"], *site.subnet);
    assert_eq!(found["acls"].as_array().unwrap().len(), 1);
    assert_eq!(found["acls"][0]["id"], *site.guard);
    // The default allows in both directions; the default denies are nobody's.
    let entries = found["acls"][0]["entries"].as_array().unwrap();
    let mut networks = site.acl(&site.guard).entries;
    networks.retain(|_, entry| !entry.is_protected());
    assert!(networks.len() >= 2, "{networks:?}");
    assert_eq!(entries.len(), networks.len(), "{entries:?}");
    assert!(entries.iter().all(|entry| entry["ours"] == false));
    assert!(site.cloud.imds.tokens_made() > 0, "IMDSv2 and no other");

    let table = site.nicban(&["nacl", "discover"]);
    assert_eq!(table.code, Some(0), "{table:?}");
    let networks = networks.values().map(|entry| entry.network.to_string());
    for word in [MAC, &site.subnet, &site.guard, "ens5"] {
        assert!(table.stdout.contains(word), "{word} in {}", table.stdout);
    }
    for word in networks {
        assert!(table.stdout.contains(&word), "{word} in {}", table.stdout);
    }
}

#[test]
fn interfaces_and_subnets_that_share_a_nacl_find_it_once() {
    let mut cloud = Config::default();
    let second = SubnetConfig {
        id: SUBNET_B.to_owned(),
        vpc: VPC.to_owned(),
        cidr: "10.0.2.0/24".parse().unwrap(),
        ipv6_cidr: None,
        availability_zone: "eu-central-1a".to_owned(),
    };
    cloud.ec2.subnets.push(second);
    cloud.ec2.acls[0].subnets.push(SUBNET_B.to_owned());
    let macs = ["06:00:00:00:00:02", "06:00:00:00:00:03"];
    for (mac, subnet) in macs.into_iter().zip([SUBNET_B, SUBNET]) {
        cloud.imds.interfaces.push(Interface::simple(mac, subnet));
    }
    let mut site = Site::with(cloud, "");
    for (number, mac) in macs.into_iter().enumerate() {
        let name = format!("ens{}", 6 + number);
        let near = Link::with_mac(&site.host, &name, mac);
        veth(near, Link::new(&site.host, &format!("wire{number}"))).unwrap();
    }
    let config = site.nicban_config();
    let all = config.replace("[\"ens5\"]", "[\"ens5\", \"ens6\", \"ens7\"]");
    site.write_config(&all);
    let found = site.nicban(&["nacl", "discover", "--json"]).json();
    assert_eq!(found["interfaces"].as_array().unwrap().len(), 3);
    assert_eq!(found["acls"].as_array().unwrap().len(), 1, "{found:#}");

    site.start_tier();
    site.ban("198.51.100.1");
    site.wait_denied(&["198.51.100.1/32"]);
    let status = site.status().nacl;
    assert_eq!((status.slots_v4, status.slots_v6), (18, 18));
    assert_eq!(site.cloud.ec2.count("CreateNetworkAclEntry", "ok"), 1);
}

#[test]
fn without_imds_auto_is_off_with_the_reason_and_bans_are_enforced() {
    let mut site = Site::new("enabled = \"auto\"\n");
    site.imds = "http://127.0.0.1:9".to_owned();
    site.start();
    let nacl = site.wait_state(NaclState::Off, "not on AWS");
    assert!(nacl.reason.contains("no answer"), "{}", nacl.reason);
    site.ban("198.51.100.1");
    assert_eq!(site.status().bans, 1);
    assert!(site.cloud.ec2.calls().is_empty());
}

#[test]
fn without_imds_on_is_degraded_and_works_once_imds_answers() {
    let mut site = Site::new("");
    let refuse = ImdsControl::TokenStatus { status: 403 };
    site.cloud.imds.control(refuse);
    site.start();
    let nacl = site.wait_state(NaclState::Degraded, "no session token");
    assert!(nacl.reason.contains("hop limit"), "{}", nacl.reason);
    site.ban("198.51.100.1");
    site.cloud.imds.control(ImdsControl::Restore);
    site.wait_denied(&["198.51.100.1/32"]);
    site.wait_state(NaclState::On, ACL);
}

#[test]
fn a_slow_imds_holds_nothing_else_up() {
    let mut site = Site::new("enabled = \"auto\"\n");
    site.cloud
        .imds
        .control(ImdsControl::Slow { delay_ms: 5_000 });
    site.start();
    site.ban("198.51.100.1");
    site.wait_state(NaclState::Off, "no answer");
    site.ban("198.51.100.2");
    assert_eq!(site.status().bans, 2);
    site.cloud.imds.control(ImdsControl::Restore);
    site.wait_denied(&["198.51.100.1/32", "198.51.100.2/32"]);
}

#[test]
fn a_path_that_imds_lacks_is_named() {
    let path = format!("meta-data/network/interfaces/macs/{MAC}/subnet-id");
    let mut site = Site::new("");
    site.cloud
        .imds
        .control(ImdsControl::Missing { path: path.clone() });
    let said = site.nicban(&["nacl", "discover"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains(&path), "{said:?}");
    site.start();
    site.wait_state(NaclState::Degraded, &path);
    site.ban("198.51.100.1");
}

#[test]
fn an_interface_that_ec2_does_not_know_is_named() {
    let mut cloud = Config::default();
    cloud.imds.interfaces[0].mac = "06:00:00:00:00:99".to_owned();
    let said = Site::with(cloud, "").nicban(&["nacl", "discover"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains(MAC), "{said:?}");
    assert!(said.stderr.contains("06:00:00:00:00:99"), "{said:?}");
}

#[test]
fn the_region_of_the_configuration_wins() {
    // EC2's stand-in takes signatures for its own Region alone.
    let mut cloud = Config::default();
    cloud.ec2.region = "eu-north-1".to_owned();
    let site = Site::with(cloud, "region = \"eu-north-1\"\n");
    let found = site.nicban(&["nacl", "discover", "--json"]).json();
    assert_eq!(found["region"], "eu-north-1");
    site.configure("");
    let said = site.nicban(&["nacl", "discover"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("AuthFailure"), "{said:?}");
}

#[test]
fn a_subnet_without_a_nacl_is_said_so() {
    let mut cloud = Config::default();
    cloud.imds.interfaces[0].subnet = "subnet-0123456789abcdeff".to_owned();
    let mut site = Site::with(cloud, "");
    site.start();
    site.wait_nacl("no NACL is found", |nacl| {
        nacl.reason.contains("no network ACL")
    });
    let said = site.nicban(&["nacl", "test"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("subnet-0123456789abcdeff"), "{said:?}");
}

//! Bans on addresses: IPv4 one by one, IPv6 by the configured length.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use nicban::target::Ipv6Prefix;
use nicban_tests::datapath::Datapath;
use nicban_tests::packet::{Shape, Transport};

use crate::pair::{frames, from, pair};

#[test]
fn an_ipv4_address_is_banned_and_none_beside_it() {
    let mut datapath = Datapath::load().unwrap();
    pair(
        &mut datapath,
        "203.0.113.9",
        &frames(&["203.0.113.9"]),
        &frames(&["203.0.113.8", "203.0.113.10", "203.0.112.9", "9.113.0.203"]),
    );
}

#[test]
fn an_ipv6_ban_catches_the_whole_64_and_not_the_next() {
    let mut datapath = Datapath::load().unwrap();
    pair(
        &mut datapath,
        "2001:db8:0:7::/64",
        &frames(&[
            "2001:db8:0:7::9",
            "2001:db8:0:7::",
            "2001:db8:0:7:ffff:ffff:ffff:ffff",
        ]),
        &frames(&[
            "2001:db8:0:8::9",
            "2001:db8:0:6:ffff:ffff:ffff:ffff",
            "2001:db9:0:7::9",
        ]),
    );
}

#[test]
fn every_transport_of_a_banned_source_is_dropped() {
    for (ban, banned, other) in [
        ("203.0.113.9", "203.0.113.9", "203.0.113.10"),
        ("2001:db8:0:7::/64", "2001:db8:0:7::9", "2001:db8:0:8::9"),
    ] {
        let mut datapath = Datapath::load().unwrap();
        for transport in [Transport::Tcp, Transport::Udp, Transport::Icmp] {
            pair(
                &mut datapath,
                ban,
                &[from(banned).transport(transport).payload(99).frame()],
                &[from(other).transport(transport).payload(99).frame()],
            );
        }
    }
}

#[test]
fn a_ban_of_one_family_leaves_the_other_alone() {
    let mut datapath = Datapath::load().unwrap();
    // The same octets at the start of both addresses.
    let both = &frames(&["32.1.13.184", "2001:db8::9"]);
    pair(&mut datapath, "32.1.13.184", &both[..1], &both[1..]);
    pair(&mut datapath, "2001:db8::/64", &both[1..], &both[..1]);
}

#[test]
fn a_ban_of_the_destination_is_no_ban_of_the_source() {
    let mut datapath = Datapath::load().unwrap();
    // 192.0.2.1 is where every frame of these tests goes to.
    pair(
        &mut datapath,
        "192.0.2.1",
        &frames(&["192.0.2.1"]),
        &frames(&["203.0.113.9"]),
    );
}

#[test]
fn the_configured_ipv6_prefix_decides_to_the_bit() {
    let address: Ipv6Addr = "2001:db8:aabb:ccdd:1122:3344:5566:7788".parse().unwrap();
    for bits in [32, 33, 48, 56, 63, 64] {
        let mut datapath =
            Datapath::load_with(|options| options.ipv6_prefix = Ipv6Prefix::new(bits).unwrap())
                .unwrap();
        let flipped = |bit: u8| Ipv6Addr::from(u128::from(address) ^ (1 << (127 - bit)));
        let ban = Ipv6Net::new(address, bits).unwrap().to_string();
        pair(
            &mut datapath,
            &ban,
            &[address, flipped(bits), flipped(127)].map(|a| Shape::from(a.into()).frame()),
            &[flipped(bits - 1), flipped(0)].map(|a| Shape::from(a.into()).frame()),
        );
    }
}

#[test]
fn a_ban_that_was_put_twice_is_lifted_at_once() {
    let mut datapath = Datapath::load().unwrap();
    for network in ["203.0.113.9", "2001:db8:0:7::/64"] {
        datapath.ban(network).unwrap();
    }
    pair_after_one_ban(&mut datapath, "203.0.113.9", "203.0.113.9");
    pair_after_one_ban(&mut datapath, "2001:db8:0:7::/64", "2001:db8:0:7::9");
}

fn pair_after_one_ban(datapath: &mut Datapath, network: &str, source: &str) {
    datapath.ban(network).unwrap();
    datapath.unban(network).unwrap();
    pair(datapath, network, &frames(&[source]), &[]);
}

#[test]
fn lifting_a_ban_that_is_not_there_is_no_error() {
    let mut datapath = Datapath::load().unwrap();
    for network in [
        "203.0.113.9",
        "2001:db8:0:7::/64",
        "10.0.0.0/8",
        "2001:db8::/48",
    ] {
        datapath.unban(network).unwrap();
    }
}

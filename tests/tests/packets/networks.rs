//! Bans on networks.

use std::net::IpAddr;

use ipnet::IpNet;
use nicban::clock::Now;
use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
    net,
};
use nicban_tests::packet::Shape;
use serde_json::Value;

use crate::pair::{expect, frames, pair};

/// A network's first and last address, and the ones right before and behind it.
fn edges(network: &IpNet) -> ([IpAddr; 2], [IpAddr; 2]) {
    let (first, last) = (network.network(), network.broadcast());
    let beside = |address: IpAddr, step: i8| match address {
        IpAddr::V4(address) => {
            IpAddr::V4(u32::from(address).wrapping_add_signed(step.into()).into())
        }
        IpAddr::V6(address) => {
            IpAddr::V6(u128::from(address).wrapping_add_signed(step.into()).into())
        }
    };
    ([first, last], [beside(first, -1), beside(last, 1)])
}

fn every_length(address: &str, lengths: impl IntoIterator<Item = u8>) {
    let mut datapath = Datapath::load().unwrap();
    let address: IpAddr = address.parse().unwrap();
    for bits in lengths {
        let network = IpNet::new(address, bits).unwrap().trunc();
        let (inside, outside) = edges(&network);
        pair(
            &mut datapath,
            &network.to_string(),
            &inside.map(|address| Shape::from(address).frame()),
            &outside.map(|address| Shape::from(address).frame()),
        );
    }
}

#[test]
fn an_ipv4_network_of_every_length_is_banned_from_edge_to_edge() {
    every_length("203.0.113.77", 8..32);
}

#[test]
fn an_ipv6_network_of_every_length_is_banned_from_edge_to_edge() {
    every_length("2001:db8:aabb:ccdd:1122:3344:5566:7788", 12..=128);
}

#[test]
fn of_nested_networks_each_holds_by_itself() {
    let mut datapath = Datapath::load().unwrap();
    let sources = frames(&["10.1.2.3", "10.1.3.3", "10.2.0.1", "11.0.0.1"]);
    for network in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"] {
        datapath.ban(network).unwrap();
    }
    expect(&mut datapath, Drop, &sources[..3]);
    expect(&mut datapath, Pass, &sources[3..]);
    datapath.unban("10.0.0.0/8").unwrap();
    expect(&mut datapath, Drop, &sources[..2]);
    expect(&mut datapath, Pass, &sources[2..]);
    datapath.unban("10.1.2.0/24").unwrap();
    expect(&mut datapath, Drop, &sources[..2]);
    datapath.unban("10.1.0.0/16").unwrap();
    expect(&mut datapath, Pass, &sources);
}

#[test]
fn an_address_and_its_network_are_two_bans() {
    for (exact, network, source, neighbour) in [
        ("10.1.2.3", "10.1.2.0/24", "10.1.2.3", "10.1.2.4"),
        (
            "2001:db8:0:7::/64",
            "2001:db8::/48",
            "2001:db8:0:7::9",
            "2001:db8:0:8::9",
        ),
        (
            "2001:db8:0:7::/64",
            "2001:db8:0:7::9/128",
            "2001:db8:0:7::9",
            "2001:db8:0:8::9",
        ),
    ] {
        let mut datapath = Datapath::load().unwrap();
        let source = frames(&[source]);
        let neighbour = frames(&[neighbour]);
        for order in [[exact, network], [network, exact]] {
            expect(&mut datapath, Pass, &source);
            datapath.ban(order[0]).unwrap();
            datapath.ban(order[1]).unwrap();
            expect(&mut datapath, Drop, &source);
            datapath.unban(order[0]).unwrap();
            expect(&mut datapath, Drop, &source);
            datapath.unban(order[1]).unwrap();
            expect(&mut datapath, Pass, &source);
            expect(&mut datapath, Pass, &neighbour);
        }
    }
}

#[test]
fn a_network_whose_ban_has_ended_does_not_hide_the_wider_ones() {
    let ended = 1;
    for (nets, source) in [
        (["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"], "10.1.2.3"),
        (
            ["2001:db8::/32", "2001:db8::/48", "2001:db8::9/128"],
            "2001:db8::9",
        ),
    ] {
        let mut datapath = Datapath::load().unwrap();
        let source = frames(&[source]);
        datapath.ban(nets[0]).unwrap();
        for narrower in &nets[1..] {
            datapath.tables.put(&net(narrower).unwrap(), ended).unwrap();
        }
        expect(&mut datapath, Drop, &source);
        datapath.unban(nets[0]).unwrap();
        expect(&mut datapath, Pass, &source);
    }
}

#[test]
fn an_address_whose_ban_has_ended_does_not_hide_its_network() {
    let mut datapath = Datapath::load().unwrap();
    for (exact, network, source) in [
        ("10.1.2.3", "10.0.0.0/8", "10.1.2.3"),
        ("2001:db8::/64", "2001:db8::/32", "2001:db8::9"),
    ] {
        let source = frames(&[source]);
        datapath.tables.put(&net(exact).unwrap(), 1).unwrap();
        pair(&mut datapath, network, &source, &[]);
    }
}

#[test]
fn the_program_looks_into_a_trie_only_while_it_holds_something() {
    let mut datapath = Datapath::load().unwrap();
    let counts = |datapath: &Datapath| {
        let settings = datapath.dump("settings").unwrap();
        ["nets_v4", "nets_v6", "allow_v4", "allow_v6"]
            .map(|name| field(&settings[0], name).as_u64().unwrap())
    };
    assert_eq!(counts(&datapath), [0; 4]);
    for network in ["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8", "2001:db8::/48"] {
        datapath.ban(network).unwrap();
    }
    for network in ["10.1.2.3", "10.1.2.3", "2001:db8::/32"] {
        datapath.allow(network).unwrap();
    }
    let [nets_v4, nets_v6, allow_v4, allow_v6] = counts(&datapath);
    assert_eq!([nets_v4, nets_v6], [2, 1], "a ban put twice is one");
    assert_eq!(
        [allow_v4, allow_v6],
        [1, 1],
        "an allowed network given twice is one"
    );
    for network in ["10.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/48"] {
        datapath.unban(network).unwrap();
    }
    for network in ["10.1.2.3", "2001:db8::/32"] {
        datapath.disallow(network).unwrap();
    }
    assert_eq!(counts(&datapath), [0; 4]);
}

#[test]
fn a_network_that_did_not_fit_is_not_counted_as_one() {
    let mut datapath = Datapath::load_with(|options| options.max_nets = 2).unwrap();
    for (first, last) in [("10", "12"), ("2001:db8:1::/48", "2001:db8:3::/48")] {
        let nets = if first == "10" {
            ["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"]
        } else {
            [first, "2001:db8:2::/48", last]
        };
        datapath.ban(nets[0]).unwrap();
        datapath.ban(nets[1]).unwrap();
        datapath.ban(nets[2]).unwrap_err();
        datapath.unban(nets[0]).unwrap();
        datapath.unban(nets[1]).unwrap();
    }
    let settings = datapath.dump("settings").unwrap();
    assert_eq!(field(&settings[0], "nets_v4"), 0);
    assert_eq!(field(&settings[0], "nets_v6"), 0);
}

#[test]
fn moving_the_end_of_a_networks_ban_keeps_one_entry() {
    let mut datapath = Datapath::load().unwrap();
    let hour = 3_600_000_000_000;
    let now = u64::try_from(Now::read().unwrap().boot.as_nanos()).unwrap();
    for end in [now + hour, now + 2 * hour, 0] {
        datapath
            .tables
            .put(&net("10.0.0.0/8").unwrap(), end)
            .unwrap();
        assert_eq!(
            datapath.tables.bans().unwrap(),
            [(net("10.0.0.0/8").unwrap(), end)]
        );
    }
}

/// A field of an entry's value in a dump.
fn field<'a>(entry: &'a Value, name: &str) -> &'a Value {
    &entry["formatted"]["value"][name]
}

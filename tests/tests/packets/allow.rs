//! The allow list stands above every ban.

use nicban_ebpf::abi::Family;
use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
};

use crate::pair::{expect, frames};

/// Banned, allowed, no longer allowed: drops, passes, drops.
#[track_caller]
fn over(ban: &str, allow: &str, allowed: &[&str], still_banned: &[&str]) {
    let mut datapath = Datapath::load().unwrap();
    let (allowed, still_banned) = (frames(allowed), frames(still_banned));
    datapath.ban(ban).unwrap();
    expect(&mut datapath, Drop, &allowed);
    expect(&mut datapath, Drop, &still_banned);
    datapath.allow(allow).unwrap();
    expect(&mut datapath, Pass, &allowed);
    expect(&mut datapath, Drop, &still_banned);
    datapath.disallow(allow).unwrap();
    expect(&mut datapath, Drop, &allowed);
    expect(&mut datapath, Drop, &still_banned);
    datapath.unban(ban).unwrap();
    expect(&mut datapath, Pass, &allowed);
    expect(&mut datapath, Pass, &still_banned);
}

#[test]
fn an_allowed_address_is_not_dropped_by_its_own_ban() {
    over("203.0.113.9", "203.0.113.9", &["203.0.113.9"], &[]);
    over("2001:db8::/64", "2001:db8::/64", &["2001:db8::9"], &[]);
}

#[test]
fn an_allowed_address_is_not_dropped_by_its_networks_ban() {
    over(
        "203.0.113.0/24",
        "203.0.113.9",
        &["203.0.113.9"],
        &["203.0.113.8", "203.0.113.10"],
    );
    over(
        "2001:db8::/48",
        "2001:db8:0:7::9",
        &["2001:db8:0:7::9"],
        &["2001:db8:0:7::8", "2001:db8:0:8::9"],
    );
}

#[test]
fn an_allowed_address_in_a_banned_64_passes_alone() {
    over(
        "2001:db8::/64",
        "2001:db8::9",
        &["2001:db8::9"],
        &["2001:db8::8"],
    );
}

#[test]
fn an_allowed_network_covers_the_banned_addresses_in_it() {
    over("203.0.113.9", "203.0.113.0/24", &["203.0.113.9"], &[]);
    over(
        "2001:db8:0:7::/64",
        "2001:db8::/32",
        &["2001:db8:0:7::9"],
        &[],
    );
}

#[test]
fn an_allowed_network_within_a_banned_one_is_an_island() {
    over(
        "10.0.0.0/8",
        "10.1.0.0/16",
        &["10.1.0.1", "10.1.255.255"],
        &["10.0.255.255", "10.2.0.0"],
    );
}

#[test]
fn allowed_packets_are_counted_as_such_and_not_as_hits() {
    let mut datapath = Datapath::load().unwrap();
    for (network, source, family) in [
        ("203.0.113.9", "203.0.113.9", Family::V4),
        ("2001:db8::/64", "2001:db8::9", Family::V6),
    ] {
        datapath.ban(network).unwrap();
        datapath.allow(network).unwrap();
        datapath.run_many(&frames(&[source])[0], 5).unwrap();
        let counters = datapath.verdicts(family).unwrap();
        assert_eq!(
            (counters.allowed, counters.passed, counters.dropped),
            (5, 0, 0)
        );
    }
    assert!(datapath.hits().unwrap().is_empty());
}

#[test]
fn an_allowed_source_without_a_ban_just_passes() {
    let mut datapath = Datapath::load().unwrap();
    datapath.allow("203.0.113.0/24").unwrap();
    datapath.run(&frames(&["203.0.113.9"])[0]).unwrap();
    let counters = datapath.verdicts(Family::V4).unwrap();
    assert_eq!((counters.passed, counters.allowed), (1, 0));
}

#[test]
fn the_list_is_read_back_as_it_was_written() {
    let mut datapath = Datapath::load().unwrap();
    for network in ["203.0.113.0/24", "203.0.113.9", "2001:db8::/32"] {
        datapath.allow(network).unwrap();
    }
    let mut allowed: Vec<String> = datapath
        .tables
        .allowed()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    allowed.sort();
    assert_eq!(
        allowed,
        ["2001:db8::/32", "203.0.113.0/24", "203.0.113.9/32"]
    );
}

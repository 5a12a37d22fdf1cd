//! A program that follows another upon the same pins, as after a restart.

use nicban::target::Ipv6Prefix;
use nicban::xdp::LoadOptions;
use nicban_ebpf::abi::Family;
use nicban_protocol::Mode;
use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
};

use crate::pair::{expect, frames};

/// Each map of bans by one of its networks.
const BANS: [&str; 4] = [
    "203.0.113.9",
    "198.51.100.0/24",
    "2001:db8::/64",
    "2001:db9::/48",
];
const SOURCES: [&str; 4] = ["203.0.113.9", "198.51.100.9", "2001:db8::9", "2001:db9::9"];

fn banned() -> Datapath {
    let mut datapath = Datapath::load().unwrap();
    for network in BANS {
        datapath.ban(network).unwrap();
    }
    datapath
}

#[test]
fn bans_allows_mode_and_counters_outlive_the_daemon() {
    let mut datapath = banned();
    datapath.allow("203.0.113.9").unwrap();
    expect(&mut datapath, Drop, &frames(&SOURCES[1..]));
    let mut again = datapath.reload(|_| ()).unwrap();
    assert!(again.renewed.is_empty(), "{:?}", again.renewed);
    assert_eq!(again.tables.bans().unwrap().len(), BANS.len());
    assert_eq!(again.verdicts(Family::V4).unwrap().dropped, 1);
    assert_eq!(again.verdicts(Family::V6).unwrap().dropped, 2);
    assert_eq!(again.hits().unwrap().len(), 3);
    expect(&mut again, Drop, &frames(&SOURCES[1..]));
    expect(&mut again, Pass, &frames(&SOURCES[..1]));
    again.disallow("203.0.113.9").unwrap();
    expect(&mut again, Drop, &frames(&SOURCES));
    for network in BANS {
        again.unban(network).unwrap();
    }
    expect(&mut again, Pass, &frames(&SOURCES));
}

#[test]
fn observe_mode_outlives_the_daemon_too() {
    let mut datapath = banned();
    datapath.tables.set_mode(Mode::Observe).unwrap();
    let mut again = datapath.reload(|_| ()).unwrap();
    expect(&mut again, Pass, &frames(&SOURCES));
}

/// Loads a successor with other options, and gives it its mode, its own ban and
/// nothing else; the predecessor goes on dropping meanwhile and after.
#[track_caller]
fn upgrade(change: impl FnOnce(&mut LoadOptions)) -> Datapath {
    let mut old = banned();
    expect(&mut old, Drop, &frames(&SOURCES));
    let mut new = old.successor(change).unwrap();
    expect(&mut old, Drop, &frames(&SOURCES));
    new.tables.set_mode(Mode::Enforce).unwrap();
    expect(&mut old, Drop, &frames(&SOURCES));
    new.ban("10.0.0.0/8").unwrap();
    new.ban("2001:dba::/48").unwrap();
    expect(&mut old, Drop, &frames(&SOURCES));
    new.unban("10.0.0.0/8").unwrap();
    new.unban("2001:dba::/48").unwrap();
    expect(&mut old, Drop, &frames(&SOURCES));
    new
}

#[test]
fn another_max_bans_makes_new_maps_while_the_old_program_drops_on() {
    let mut new = upgrade(|options| options.max_bans = 128);
    // The settings tell the old program what is in its indexes.
    assert_eq!(
        new.renewed,
        ["settings", "bans_v4", "bans_v6", "index_v4", "index_v6"]
    );
    expect(&mut new, Pass, &frames(&[SOURCES[0], SOURCES[2]]));
    expect(&mut new, Drop, &frames(&[SOURCES[1], SOURCES[3]]));
    for network in BANS {
        new.ban(network).unwrap();
    }
    expect(&mut new, Drop, &frames(&SOURCES));
}

#[test]
fn another_max_nets_makes_new_maps_while_the_old_program_drops_on() {
    let mut new = upgrade(|options| options.max_nets = 128);
    for map in ["nets_v4", "nets_v6"] {
        assert!(new.renewed.contains(&map), "{:?}", new.renewed);
    }
    expect(&mut new, Drop, &frames(&[SOURCES[0], SOURCES[2]]));
    expect(&mut new, Pass, &frames(&[SOURCES[1], SOURCES[3]]));
}

#[test]
fn another_ipv6_prefix_makes_new_maps_while_the_old_program_drops_on() {
    let mut new = upgrade(|options| options.ipv6_prefix = Ipv6Prefix::new(48).unwrap());
    assert!(new.renewed.contains(&"bans_v6"), "{:?}", new.renewed);
    expect(&mut new, Pass, &frames(&SOURCES[2..]));
    let left: Vec<String> = new
        .tables
        .bans()
        .unwrap()
        .iter()
        .map(|(network, _)| network.to_string())
        .collect();
    assert_eq!(left.len(), 2, "IPv4's alone: {left:?}");
    new.ban("2001:db8::/48").unwrap();
    expect(
        &mut new,
        Drop,
        &frames(&["2001:db8::9", "2001:db8:0:ffff::9"]),
    );
    expect(&mut new, Pass, &frames(&["2001:db8:1::9"]));
}

#[test]
fn another_max_offenders_keeps_every_ban() {
    let mut new = upgrade(|options| options.max_offenders = 128);
    assert_eq!(new.renewed, ["hits_v4", "hits_v6"]);
    expect(&mut new, Drop, &frames(&SOURCES));
}

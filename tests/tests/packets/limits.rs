//! Full maps: an error that says so, and everything else goes on.

use nicban::xdp::XdpError;
use nicban_ebpf::abi::Family;
use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
    net,
};

use crate::pair::{expect, frames, from};

/// Each kind of ban: networks that fit, one too many, and the map that says so.
const FILLS: [([&str; 3], &str, &str); 4] = [
    (
        ["203.0.113.1", "203.0.113.2", "203.0.113.3"],
        "203.0.113.4",
        "bans_v4",
    ),
    (
        ["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"],
        "13.0.0.0/8",
        "nets_v4",
    ),
    (
        ["2001:db8:1::/64", "2001:db8:2::/64", "2001:db8:3::/64"],
        "2001:db8:4::/64",
        "bans_v6",
    ),
    (
        ["2001:db8:1::/48", "2001:db8:2::/48", "2001:db8:3::/48"],
        "2001:db8:4::/48",
        "nets_v6",
    ),
];

fn source_in(network: &str) -> Vec<Vec<u8>> {
    frames(&[&net(network).unwrap().addr().to_string()])
}

fn three() -> Datapath {
    Datapath::load_with(|options| {
        options.max_bans = 3;
        options.max_nets = 3;
    })
    .unwrap()
}

#[test]
fn a_ban_too_many_is_refused_by_name_and_harms_none() {
    for (fitting, surplus, map) in FILLS {
        let mut datapath = three();
        for network in fitting {
            datapath.ban(network).unwrap();
        }
        let error = datapath.tables.put(&net(surplus).unwrap(), 0).unwrap_err();
        assert!(error.is_full(), "{error}");
        assert!(
            matches!(&error, XdpError::Full { map: full, subject }
                if *full == map && *subject == net(surplus).unwrap().to_string()),
            "{error:?}"
        );
        for network in fitting {
            expect(&mut datapath, Drop, &source_in(network));
        }
        expect(&mut datapath, Pass, &source_in(surplus));
        datapath.unban(fitting[0]).unwrap();
        datapath.ban(surplus).unwrap();
        expect(&mut datapath, Drop, &source_in(surplus));
        expect(&mut datapath, Pass, &source_in(fitting[0]));
    }
}

#[test]
fn in_a_full_map_a_bans_end_can_still_be_moved() {
    for (fitting, _, _) in FILLS {
        let mut datapath = three();
        for network in fitting {
            datapath.ban(network).unwrap();
        }
        datapath.tables.put(&net(fitting[1]).unwrap(), 1).unwrap();
        expect(&mut datapath, Pass, &source_in(fitting[1]));
        datapath.ban(fitting[1]).unwrap();
        expect(&mut datapath, Drop, &source_in(fitting[1]));
    }
}

#[test]
fn with_the_hits_full_drops_go_on_untracked() {
    let mut datapath = Datapath::load_with(|options| options.max_offenders = 2).unwrap();
    for (prefix, suffix, family) in [
        ("203.0.113.", "", Family::V4),
        ("2001:db8:", "::", Family::V6),
    ] {
        let before = datapath.hits().unwrap().len();
        for host in 1..=5 {
            let network = net(&format!("{prefix}{host}{suffix}")).unwrap();
            let network = if family == Family::V6 {
                format!("{}/64", network.addr())
            } else {
                network.to_string()
            };
            datapath.ban(&network).unwrap();
            let frame = from(&format!("{prefix}{host}{suffix}")).frame();
            assert_eq!(datapath.run_many(&frame, 10).unwrap(), Drop);
        }
        let counters = datapath.verdicts(family).unwrap();
        assert_eq!((counters.dropped, counters.untracked), (50, 30));
        assert_eq!(datapath.hits().unwrap().len(), before + 2);
    }
}

#[test]
fn a_newcomer_gets_a_counter_by_chance_and_keeps_it() {
    let mut datapath = Datapath::load().unwrap();
    for (ban, source, family) in [
        ("203.0.113.9", "203.0.113.9", Family::V4),
        ("2001:db8::/64", "2001:db8::9", Family::V6),
    ] {
        datapath.ban(ban).unwrap();
        datapath.tables.set_newcomer_mask(7).unwrap();
        let frame = from(source).frame();
        // One in eight is let in: that none of 4,000 is has odds of 10^-231.
        datapath.run_many(&frame, 4_000).unwrap();
        let untracked = datapath.verdicts(family).unwrap().untracked;
        let tracked = datapath.hits().unwrap()[&net(ban).unwrap()].packets;
        assert_eq!(tracked + untracked, 4_000);
        datapath.run_many(&frame, 1_000).unwrap();
        assert_eq!(datapath.verdicts(family).unwrap().untracked, untracked);
        datapath.tables.set_newcomer_mask(0).unwrap();
    }
}

#[test]
fn a_mask_that_lets_nobody_in_keeps_out_newcomers_alone() {
    let mut datapath = Datapath::load().unwrap();
    datapath.ban("203.0.113.1").unwrap();
    datapath.ban("203.0.113.2").unwrap();
    datapath.run(&from("203.0.113.1").frame()).unwrap();
    // One random number in 2^32 is let in.
    datapath.tables.set_newcomer_mask(u32::MAX).unwrap();
    for source in ["203.0.113.1", "203.0.113.2"] {
        datapath.run_many(&from(source).frame(), 50).unwrap();
    }
    assert_eq!(datapath.verdicts(Family::V4).unwrap().untracked, 50);
    let hits = datapath.hits().unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[&net("203.0.113.1").unwrap()].packets, 51);
}

//! Observe mode: everything is counted, nothing dropped.

use nicban_ebpf::abi::Family;
use nicban_protocol::Mode;
use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
    net,
};

use crate::pair::{expect, frames};

const BANS: [(&str, &str, Family); 2] = [
    ("203.0.113.9", "203.0.113.9", Family::V4),
    ("2001:db8::/64", "2001:db8::9", Family::V6),
];

#[test]
fn observed_bans_pass_and_are_counted_and_enforced_ones_are_dropped() {
    let mut datapath = Datapath::load().unwrap();
    for (network, source, family) in BANS {
        let source = frames(&[source]);
        datapath.ban(network).unwrap();
        expect(&mut datapath, Drop, &source);
        datapath.tables.set_mode(Mode::Observe).unwrap();
        expect(&mut datapath, Pass, &source);
        expect(&mut datapath, Pass, &source);
        datapath.tables.set_mode(Mode::Enforce).unwrap();
        expect(&mut datapath, Drop, &source);
        let counters = datapath.verdicts(family).unwrap();
        assert_eq!(
            (counters.dropped, counters.would_drop, counters.passed),
            (2, 2, 0)
        );
    }
}

#[test]
fn an_offender_is_tracked_in_observe_mode_too() {
    let mut datapath = Datapath::load().unwrap();
    datapath.tables.set_mode(Mode::Observe).unwrap();
    for (network, source, _) in BANS {
        datapath.ban(network).unwrap();
        datapath.run_many(&frames(&[source])[0], 7).unwrap();
        assert_eq!(datapath.hits().unwrap()[&net(network).unwrap()].packets, 7);
    }
}

#[test]
fn a_program_that_was_told_no_mode_yet_drops_nothing() {
    let datapath = Datapath::load().unwrap();
    let pins = datapath.pins().join("settings");
    std::fs::remove_file(pins).unwrap();
    let mut untold = datapath.reload(|_| ()).unwrap();
    untold.ban("203.0.113.9").unwrap();
    expect(&mut untold, Pass, &frames(&["203.0.113.9"]));
}

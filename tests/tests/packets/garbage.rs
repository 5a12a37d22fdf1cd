//! Frames that make no sense: they pass, and are counted.

use std::cell::RefCell;

use nicban_ebpf::abi::Family;
use nicban_protocol::FamilyCounters;
use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
};
use nicban_tests::packet::{QINQ, VLAN};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::pair::from;

/// The kernel runs no shorter frames (`bpf_test_init` in `net/bpf/test_run.c`).
const SHORTEST: usize = 14;

fn config() -> Config {
    Config {
        cases: nicban_tests::cases::at_most(2_000),
        failure_persistence: None,
        ..Config::default()
    }
}

fn sum(datapath: &Datapath) -> FamilyCounters {
    let mut sum = FamilyCounters::default();
    for family in [Family::Other, Family::V4, Family::V6] {
        let counters = datapath.verdicts(family).unwrap();
        sum.passed += counters.passed;
        sum.dropped += counters.dropped;
        sum.unparsed += counters.unparsed;
    }
    sum
}

#[test]
fn a_frame_cut_short_passes_counted_until_its_source_can_be_told() {
    for (ban, source, header) in [
        ("203.0.113.9", "203.0.113.9", 20),
        ("2001:db8::/64", "2001:db8::9", 40),
    ] {
        for tags in [&[][..], &[VLAN], &[QINQ, VLAN]] {
            let mut datapath = Datapath::load().unwrap();
            datapath.ban(ban).unwrap();
            let whole = from(source).tagged(tags).frame();
            let told = 14 + 4 * tags.len() + header;
            for length in SHORTEST..=whole.len() {
                let before = sum(&datapath).unparsed;
                let verdict = datapath.run(&whole[..length]).unwrap();
                let unparsed = sum(&datapath).unparsed - before;
                let expected = if length < told { (Pass, 1) } else { (Drop, 0) };
                assert_eq!((verdict, unparsed), expected, "{length} bytes of {source}");
            }
        }
    }
}

#[test]
fn a_version_that_contradicts_the_ether_type_passes_counted_in_that_family() {
    let mut datapath = Datapath::load().unwrap();
    for (ban, source, family) in [
        ("203.0.113.9", "203.0.113.9", Family::V4),
        ("2001:db8::/64", "2001:db8::9", Family::V6),
    ] {
        datapath.ban(ban).unwrap();
        let mut frame = from(source).payload(64).frame();
        frame[14] ^= 0x20;
        assert_eq!(datapath.run(&frame).unwrap(), Pass);
        assert_eq!(datapath.verdicts(family).unwrap().unparsed, 1);
        frame[14] ^= 0x20;
        assert_eq!(datapath.run(&frame).unwrap(), Drop);
    }
}

#[test]
fn random_bytes_are_never_dropped_and_always_counted() {
    let mut datapath = Datapath::load().unwrap();
    datapath.ban("203.0.113.9").unwrap();
    datapath.ban("2001:db8::/64").unwrap();
    datapath.ban("198.51.100.0/24").unwrap();
    let datapath = RefCell::new(datapath);
    let ether_type = prop_oneof![
        Just(0x0800_u16),
        Just(0x86dd),
        Just(VLAN),
        Just(QINQ),
        any::<u16>()
    ];
    let strategy = (
        proptest::collection::vec(ether_type, 1..5),
        proptest::collection::vec(any::<u8>(), 0..120),
    );
    TestRunner::new(config())
        .run(&strategy, |(types, rest)| {
            let mut frame = vec![2; 12];
            for ether_type in types {
                frame.extend(ether_type.to_be_bytes());
                frame.extend([0, 1]);
            }
            // So that a type may also be followed by what is to follow it.
            frame.truncate(frame.len() - 2);
            frame.extend(rest);
            let mut datapath = datapath.borrow_mut();
            let before = sum(&datapath);
            prop_assert_eq!(datapath.run(&frame).unwrap(), Pass);
            let after = sum(&datapath);
            prop_assert_eq!(after.dropped, before.dropped);
            prop_assert_eq!(
                after.passed + after.unparsed,
                before.passed + before.unparsed + 1
            );
            Ok(())
        })
        .unwrap();
}

#[test]
fn whatever_stands_around_a_banned_source_it_is_dropped() {
    for (ban, source, at) in [
        ("203.0.113.9", "203.0.113.9", 26..30),
        ("2001:db8::/64", "2001:db8::9", 22..38),
    ] {
        let mut datapath = Datapath::load().unwrap();
        datapath.ban(ban).unwrap();
        let datapath = RefCell::new(datapath);
        let whole = from(source).payload(40).frame();
        let noise = proptest::collection::vec(any::<u8>(), whole.len());
        TestRunner::new(config())
            .run(&noise, |mut frame| {
                // The noise keeps the EtherType, the version and the source.
                frame[12..14].copy_from_slice(&whole[12..14]);
                frame[14] = (whole[14] & 0xf0) | (frame[14] & 0x0f);
                frame[at.clone()].copy_from_slice(&whole[at.clone()]);
                prop_assert_eq!(datapath.borrow_mut().run(&frame).unwrap(), Drop);
                Ok(())
            })
            .unwrap();
    }
}

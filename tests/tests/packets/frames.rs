//! What may stand around the source: tags, options, extension headers, fragments.

use nicban_ebpf::abi::Family;
use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
};
use nicban_tests::packet::{Extension, Fragment, QINQ, Shape, VLAN};

use crate::pair::{expect, from, pair};

const BANS: [(&str, &str, &str); 3] = [
    ("203.0.113.9", "203.0.113.9", "203.0.113.10"),
    ("203.0.112.0/23", "203.0.113.9", "203.0.114.9"),
    ("2001:db8:0:7::/64", "2001:db8:0:7::9", "2001:db8:0:8::9"),
];

/// The pair, for frames of a shape, by each kind of ban.
#[track_caller]
fn in_shape(bans: &[(&str, &str, &str)], shape: impl Fn(Shape) -> Shape) {
    let mut datapath = Datapath::load().unwrap();
    for (ban, banned, other) in bans {
        pair(
            &mut datapath,
            ban,
            &[shape(from(banned)).frame()],
            &[shape(from(other)).frame()],
        );
    }
}

#[test]
fn one_vlan_tag_hides_nothing() {
    in_shape(&BANS, |shape| shape.tagged(&[VLAN]));
    in_shape(&BANS, |shape| shape.tagged(&[QINQ]));
}

#[test]
fn two_vlan_tags_hide_nothing() {
    in_shape(&BANS, |shape| shape.tagged(&[QINQ, VLAN]));
    in_shape(&BANS, |shape| shape.tagged(&[VLAN, VLAN]));
    in_shape(&BANS, |shape| shape.tagged(&[QINQ, QINQ]));
}

#[test]
fn three_vlan_tags_are_too_many_and_pass_counted() {
    let mut datapath = Datapath::load().unwrap();
    for (ban, banned, _) in BANS {
        datapath.ban(ban).unwrap();
        expect(
            &mut datapath,
            Pass,
            &[from(banned).tagged(&[VLAN; 3]).frame()],
        );
        expect(
            &mut datapath,
            Drop,
            &[from(banned).tagged(&[VLAN; 2]).frame()],
        );
    }
    assert_eq!(datapath.verdicts(Family::Other).unwrap().unparsed, 3);
}

#[test]
fn ipv4_options_of_every_length_hide_nothing() {
    for bytes in (0..=40).step_by(4) {
        in_shape(&BANS[..2], |shape| shape.options(bytes));
    }
}

#[test]
fn every_fragment_of_a_banned_source_is_dropped() {
    for fragment in [Fragment::FIRST, Fragment::LATER, Fragment::LAST] {
        in_shape(&BANS, |shape| shape.fragment(fragment).payload(64));
    }
}

#[test]
fn ipv6_extension_headers_hide_nothing() {
    for extension in [
        Extension::HopByHop,
        Extension::Routing,
        Extension::Destination,
    ] {
        in_shape(&BANS[2..], |shape| shape.extensions(&[extension]));
    }
    in_shape(&BANS[2..], |shape| {
        shape
            .extensions(&[
                Extension::HopByHop,
                Extension::Destination,
                Extension::Routing,
                Extension::Fragment(Fragment::LATER),
                Extension::Destination,
            ])
            .tagged(&[QINQ, VLAN])
            .payload(32)
    });
}

#[test]
fn a_hundred_extension_headers_hide_nothing() {
    in_shape(&BANS[2..], |shape| {
        shape.extensions(&[Extension::Destination; 100])
    });
}

#[test]
fn what_is_neither_family_passes_as_other() {
    let mut datapath = Datapath::load().unwrap();
    datapath.ban("0.0.0.0").unwrap();
    datapath.ban("::/64").unwrap();
    // ARP, LLDP, MPLS, PPPoE, and a length in place of a type (IEEE 802.3).
    let types = [0x0806_u16, 0x88cc, 0x8847, 0x8864, 46];
    for ether_type in types {
        let mut frame = vec![2; 12];
        frame.extend(ether_type.to_be_bytes());
        frame.extend([0; 46]);
        expect(&mut datapath, Pass, &[frame]);
    }
    let other = datapath.verdicts(Family::Other).unwrap();
    assert_eq!((other.passed, other.unparsed), (types.len() as u64, 0));
}

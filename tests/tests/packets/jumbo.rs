//! Frames larger than a page, which a driver hands over in fragments.

use nicban_ebpf::abi::Family;
use nicban_tests::datapath::{Datapath, Verdict::Drop, net};
use nicban_tests::packet::{QINQ, Shape, VLAN};

use crate::pair::{from, pair};

const BANS: [(&str, &str, &str, Family); 2] = [
    ("203.0.113.9", "203.0.113.9", "203.0.113.10", Family::V4),
    (
        "2001:db8::/64",
        "2001:db8::9",
        "2001:db8:0:1::9",
        Family::V6,
    ),
];

/// Bytes of payload: an MTU of 9,001 (Amazon EC2's largest), and many pages.
const PAYLOADS: [usize; 2] = [8_900, 40_000];

#[test]
fn the_source_of_a_jumbo_frame_is_read() {
    for (ban, banned, other, _) in BANS {
        let mut datapath = Datapath::load().unwrap();
        for payload in PAYLOADS {
            let jumbo = |shape: Shape| shape.tagged(&[QINQ, VLAN]).payload(payload).frame();
            pair(
                &mut datapath,
                ban,
                &[jumbo(from(banned))],
                &[jumbo(from(other))],
            );
        }
    }
}

#[test]
fn the_bytes_of_a_jumbo_frame_are_counted_in_whole() {
    for (ban, banned, _, family) in BANS {
        let mut datapath = Datapath::load().unwrap();
        datapath.ban(ban).unwrap();
        let mut bytes = 0;
        for payload in PAYLOADS {
            let frame = from(banned).payload(payload).frame();
            datapath.run_many(&frame, 3).unwrap();
            bytes += 3 * frame.len() as u64;
        }
        assert_eq!(datapath.verdicts(family).unwrap().dropped_bytes, bytes);
        assert_eq!(datapath.hits().unwrap()[&net(ban).unwrap()].bytes, bytes);
    }
}

#[test]
fn headers_that_the_driver_left_in_a_fragment_are_read_there() {
    for (ban, banned, _, _) in BANS {
        let mut datapath = Datapath::load().unwrap();
        datapath.ban(ban).unwrap();
        let frame = from(banned).tagged(&[QINQ, VLAN]).payload(8_900).frame();
        for linear in 14..70 {
            let verdict = datapath.run_split(&frame, linear).unwrap();
            assert_eq!(verdict, Drop, "{linear} bytes in the linear part");
        }
    }
}

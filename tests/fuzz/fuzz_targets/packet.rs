//! Frames: the XDP program's own parser beside one that is written for reading.
//!
//! The first octet says how much of the frame is in its linear part, the rest is the frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nicban_ebpf::abi::Family;
use nicban_ebpf::parse::{Frame, Source, lower_half, source};

/// A frame as the program reads it: by twos, since the kernel puts frames at even addresses,
/// and within its headers.
struct Linear<'a>(&'a [u8]);

/// Ethernet, two tags, IPv6.
const HEADERS: usize = 14 + 2 * 4 + 40;

impl Frame for Linear<'_> {
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        assert!(
            offset.is_multiple_of(2) && N.is_multiple_of(2),
            "{N} octets at {offset}"
        );
        assert!(offset + N <= HEADERS, "{N} octets at {offset}");
        self.0.octets(offset)
    }
}

/// A frame's source, as its own octets.
#[derive(Debug, PartialEq, Eq)]
enum From {
    V4([u8; 4]),
    V6([u8; 16]),
    Other,
    Unparsed(Family),
}

fn parsed(frame: &[u8]) -> From {
    let frame = Linear(frame);
    match source(&frame) {
        Source::V4(address) => From::V4(address.to_ne_bytes()),
        Source::V6 { upper, lower_at } => {
            let halves = [upper, lower_half(&frame, lower_at)];
            let mut address = [0; 16];
            for (half, octets) in halves.iter().zip(address.chunks_exact_mut(8)) {
                octets.copy_from_slice(&half.to_ne_bytes());
            }
            From::V6(address)
        }
        Source::Other => From::Other,
        Source::Unparsed(family) => From::Unparsed(family),
    }
}

/// The same by the books (IEEE 802.3 and 802.1Q, RFC 791, RFC 8200).
fn expected(frame: &[u8]) -> From {
    let mut rest = frame.get(12..).unwrap_or_default();
    let mut tags = 0;
    while let [0x81, 0x00, _, _, behind @ ..] | [0x88, 0xa8, _, _, behind @ ..] = rest {
        tags += 1;
        if tags > 2 {
            return From::Unparsed(Family::Other);
        }
        rest = behind;
    }
    match rest {
        [0x81, 0x00, ..] | [0x88, 0xa8, ..] | [] | [_] => From::Unparsed(Family::Other),
        [0x08, 0x00, packet @ ..] => match packet.first_chunk::<20>() {
            Some([first, .., a, b, c, d, _, _, _, _]) if first >> 4 == 4 => {
                From::V4([*a, *b, *c, *d])
            }
            _ => From::Unparsed(Family::V4),
        },
        [0x86, 0xdd, packet @ ..] => match packet.first_chunk::<40>() {
            Some(header) if header[0] >> 4 == 6 => {
                From::V6(header[8..24].try_into().expect("16 octets"))
            }
            _ => From::Unparsed(Family::V6),
        },
        _ => From::Other,
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&cut, frame)) = input.split_first() else {
        return;
    };
    let whole = parsed(frame);
    assert_eq!(whole, expected(frame));
    // The program asks again with a helper where it could not parse the linear part: so that
    // part must give no other source.
    let linear = parsed(&frame[..frame.len().min(cut.into())]);
    assert!(
        linear == whole || matches!(linear, From::Unparsed(_)),
        "{linear:?}, {whole:?}"
    );
});

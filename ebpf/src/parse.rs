//! Where a frame comes from.
//!
//! Only the source address is wanted, and it stands at a fixed place behind the
//! Ethernet header and up to two VLAN tags. IPv4 options, IPv6 extension headers
//! and fragments don't move it.

#![expect(
    clippy::inline_always,
    reason = "a BPF program has 512 bytes of stack, and each call costs"
)]

use crate::abi::Family;

/// Octets at a place of a frame; `None` where the frame ends before.
pub trait Frame {
    /// `N` octets from `offset` on.
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl Frame for &[u8] {
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

/// What the parser found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An IPv4 packet's source, in network byte order.
    V4(u32),
    /// An IPv6 packet's source.
    V6 {
        /// Its upper half, in network byte order.
        upper: u64,
        /// Where its [lower half](lower_half) stands: few packets' is wanted.
        lower_at: usize,
    },
    /// Neither IPv4 nor IPv6.
    Other,
    /// Not what its `EtherType` says, cut short, or tagged more than twice.
    Unparsed(Family),
}

/// The `EtherType`'s offset in an untagged frame (IEEE 802.3).
const ETHER_TYPE: usize = 12;
/// A VLAN tag's length: TPID and TCI.
const TAG: usize = 4;

// As they stand in a frame, so that none has to be turned around.
const IPV4: u16 = 0x0800_u16.to_be();
const IPV6: u16 = 0x86dd_u16.to_be();
const VLAN: u16 = 0x8100_u16.to_be();
const SERVICE_VLAN: u16 = 0x88a8_u16.to_be();

/// The source of a frame.
#[inline(always)]
pub fn source<F: Frame>(frame: &F) -> Source {
    // Written out: a loop's bookkeeping would cost each packet more than the look-up.
    let mut behind = ether_type(frame, ETHER_TYPE);
    let mut header = ETHER_TYPE + 2;
    if is_tag(behind) {
        behind = ether_type(frame, ETHER_TYPE + TAG);
        header += TAG;
        if is_tag(behind) {
            behind = ether_type(frame, ETHER_TYPE + 2 * TAG);
            header += TAG;
        }
    }
    match behind {
        Some(IPV4) => ipv4(frame, header),
        Some(IPV6) => ipv6(frame, header),
        None | Some(VLAN | SERVICE_VLAN) => Source::Unparsed(Family::Other),
        Some(_) => Source::Other,
    }
}

#[inline(always)]
fn ether_type<F: Frame>(frame: &F, offset: usize) -> Option<u16> {
    frame.octets(offset).map(u16::from_ne_bytes)
}

#[inline(always)]
fn is_tag(ether_type: Option<u16>) -> bool {
    matches!(ether_type, Some(VLAN | SERVICE_VLAN))
}

/// The source of an IPv4 header of at least its 20 fixed octets (RFC 791, 3.1).
#[inline(always)]
fn ipv4<F: Frame>(frame: &F, header: usize) -> Source {
    match frame.octets::<20>(header) {
        Some(octets) if octets[0] >> 4 == 4 => {
            let [.., a, b, c, d, _, _, _, _] = octets;
            Source::V4(u32::from_ne_bytes([a, b, c, d]))
        }
        _ => Source::Unparsed(Family::V4),
    }
}

/// The source of an IPv6 header of 40 octets (RFC 8200, 3).
#[inline(always)]
fn ipv6<F: Frame>(frame: &F, header: usize) -> Source {
    match frame.octets::<40>(header) {
        Some(octets) if octets[0] >> 4 == 6 => {
            let mut upper = [0; 8];
            upper.copy_from_slice(&octets[8..16]);
            Source::V6 {
                upper: u64::from_ne_bytes(upper),
                lower_at: header + 16,
            }
        }
        _ => Source::Unparsed(Family::V6),
    }
}

/// The lower half of an IPv6 source, in network byte order; 0 where the frame ends before.
#[inline(always)]
pub fn lower_half<F: Frame>(frame: &F, at: usize) -> u64 {
    frame.octets(at).map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACS: [u8; 12] = [2; 12];
    const V4: [u8; 4] = [203, 0, 113, 9];
    const V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];

    fn frame(tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = MACS.to_vec();
        for tag in tags {
            frame.extend(tag.to_ne_bytes());
            frame.extend([0, 42]);
        }
        frame.extend(ether_type.to_ne_bytes());
        frame.extend(payload);
        frame
    }

    fn ipv4_header() -> Vec<u8> {
        let mut header = vec![0; 20];
        header[0] = 0x45;
        header[12..16].copy_from_slice(&V4);
        header
    }

    fn ipv6_header() -> Vec<u8> {
        let mut header = vec![0; 40];
        header[0] = 0x60;
        header[8..24].copy_from_slice(&V6);
        header
    }

    fn parse(frame: &[u8]) -> Source {
        source(&frame)
    }

    fn v6(mut frame: &[u8]) -> Option<[u8; 16]> {
        let Source::V6 { upper, lower_at } = parse(frame) else {
            return None;
        };
        frame = &frame[..lower_at + 8];
        let mut source = [0; 16];
        source[..8].copy_from_slice(&upper.to_ne_bytes());
        source[8..].copy_from_slice(&lower_half(&frame, lower_at).to_ne_bytes());
        Some(source)
    }

    #[test]
    fn up_to_two_tags_are_read() {
        for tags in [&[][..], &[VLAN], &[SERVICE_VLAN, VLAN], &[VLAN, VLAN]] {
            assert_eq!(
                parse(&frame(tags, IPV4, &ipv4_header())),
                Source::V4(u32::from_ne_bytes(V4))
            );
            assert_eq!(v6(&frame(tags, IPV6, &ipv6_header())), Some(V6));
        }
        assert_eq!(
            parse(&frame(&[VLAN; 3], IPV4, &ipv4_header())),
            Source::Unparsed(Family::Other)
        );
    }

    #[test]
    fn options_and_extension_headers_do_not_move_the_source() {
        let mut options = ipv4_header();
        options[0] = 0x4f;
        options.extend([0; 40]);
        assert_eq!(
            parse(&frame(&[], IPV4, &options)),
            Source::V4(u32::from_ne_bytes(V4))
        );
        let mut hop_by_hop = ipv6_header();
        hop_by_hop[6] = 0;
        hop_by_hop.extend([0; 8]);
        assert_eq!(v6(&frame(&[], IPV6, &hop_by_hop)), Some(V6));
    }

    #[test]
    fn another_protocol_is_no_fault() {
        assert_eq!(
            parse(&frame(&[], 0x0806_u16.to_be(), &[0; 28])),
            Source::Other
        );
    }

    #[test]
    fn every_truncation_is_unparsed_or_other_never_a_wrong_source() {
        for (ether_type, header) in [(IPV4, ipv4_header()), (IPV6, ipv6_header())] {
            let whole = frame(&[SERVICE_VLAN, VLAN], ether_type, &header);
            for length in 0..whole.len() {
                assert!(
                    matches!(parse(&whole[..length]), Source::Unparsed(_)),
                    "{length} octets of {ether_type:#06x}"
                );
            }
        }
    }

    #[test]
    fn a_version_that_contradicts_the_ether_type_is_unparsed() {
        assert_eq!(
            parse(&frame(&[], IPV4, &ipv6_header())),
            Source::Unparsed(Family::V4)
        );
        let mut header = ipv6_header();
        header[0] = 0x45;
        assert_eq!(
            parse(&frame(&[], IPV6, &header)),
            Source::Unparsed(Family::V6)
        );
    }
}

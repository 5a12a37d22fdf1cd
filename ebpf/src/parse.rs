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
    /// An IPv4 packet's source.
    V4([u8; 4]),
    /// An IPv6 packet's source.
    V6([u8; 16]),
    /// Neither IPv4 nor IPv6.
    Other,
    /// Not what its `EtherType` says, cut short, or tagged more than twice.
    Unparsed(Family),
}

/// The `EtherType`'s offset in an untagged frame (IEEE 802.3).
const ETHER_TYPE: usize = 12;
/// A VLAN tag's length: TPID and TCI.
const TAG: usize = 4;
/// Tags that are read: 802.1ad's service tag and 802.1Q's customer tag.
const TAGS: usize = 2;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;

/// The source of a frame.
#[inline(always)]
pub fn source<F: Frame>(frame: &F) -> Source {
    let mut offset = ETHER_TYPE;
    for _ in 0..=TAGS {
        let Some(ether_type) = frame.octets(offset).map(u16::from_be_bytes) else {
            return Source::Unparsed(Family::Other);
        };
        let header = offset + 2;
        match ether_type {
            IPV4 => return ipv4(frame, header),
            IPV6 => return ipv6(frame, header),
            VLAN | SERVICE_VLAN => offset += TAG,
            _ => return Source::Other,
        }
    }
    Source::Unparsed(Family::Other)
}

/// The source of an IPv4 header of at least its 20 fixed octets (RFC 791, 3.1).
#[inline(always)]
fn ipv4<F: Frame>(frame: &F, header: usize) -> Source {
    match frame.octets::<20>(header) {
        Some(octets) if octets[0] >> 4 == 4 => {
            Source::V4([octets[12], octets[13], octets[14], octets[15]])
        }
        _ => Source::Unparsed(Family::V4),
    }
}

/// The source of an IPv6 header of 40 octets (RFC 8200, 3).
#[inline(always)]
fn ipv6<F: Frame>(frame: &F, header: usize) -> Source {
    if frame.octets::<32>(header + 8).is_none() {
        return Source::Unparsed(Family::V6);
    }
    match (frame.octets::<1>(header), frame.octets::<16>(header + 8)) {
        (Some([version]), Some(source)) if version >> 4 == 6 => Source::V6(source),
        _ => Source::Unparsed(Family::V6),
    }
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
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 42]);
        }
        frame.extend(ether_type.to_be_bytes());
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

    #[test]
    fn up_to_two_tags_are_read() {
        for tags in [&[][..], &[VLAN], &[SERVICE_VLAN, VLAN], &[VLAN, VLAN]] {
            assert_eq!(parse(&frame(tags, IPV4, &ipv4_header())), Source::V4(V4));
            assert_eq!(parse(&frame(tags, IPV6, &ipv6_header())), Source::V6(V6));
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
        assert_eq!(parse(&frame(&[], IPV4, &options)), Source::V4(V4));
        let mut hop_by_hop = ipv6_header();
        hop_by_hop[6] = 0;
        hop_by_hop.extend([0; 8]);
        assert_eq!(parse(&frame(&[], IPV6, &hop_by_hop)), Source::V6(V6));
    }

    #[test]
    fn another_protocol_is_no_fault() {
        assert_eq!(parse(&frame(&[], 0x0806, &[0; 28])), Source::Other);
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

//! Ethernet frames, put together byte by byte.

use std::net::{IpAddr, SocketAddr};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const PROTOCOL_UDP: u8 = 17;
const ETHERNET_HEADER: usize = 14;

/// A frame with an UDP datagram in it, every length and checksum right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// A datagram from one address to another of the same family.
    ///
    /// # Panics
    /// The families differ, or the payload is longer than 1,400 bytes.
    pub fn udp(
        macs: (&[u8; 6], &[u8; 6]),
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
    ) -> Self {
        assert!(payload.len() <= 1_400, "a payload that fits one frame");
        let (source_mac, destination_mac) = macs;
        let (ethertype, packet) = match (from.ip(), to.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let datagram = udp(from, to, payload);
                (
                    ETHERTYPE_IPV4,
                    [
                        ipv4_header(source.octets(), destination.octets(), datagram.len()),
                        datagram,
                    ]
                    .concat(),
                )
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let datagram = udp(from, to, payload);
                (
                    ETHERTYPE_IPV6,
                    [
                        ipv6_header(source.octets(), destination.octets(), datagram.len()),
                        datagram,
                    ]
                    .concat(),
                )
            }
            (source, destination) => panic!("{source} and {destination} are of two families"),
        };
        Self(
            [
                &destination_mac[..],
                &source_mac[..],
                &ethertype.to_be_bytes(),
                &packet,
            ]
            .concat(),
        )
    }

    /// The same frame with a VLAN tag before everything that it has already:
    /// `ethertype` is 0x8100 for 802.1Q and 0x88a8 for 802.1ad.
    #[must_use]
    pub fn tagged(&self, ethertype: u16, vlan: u16) -> Self {
        let (addresses, rest) = self.0.split_at(ETHERNET_HEADER - 2);
        Self(
            [
                addresses,
                &ethertype.to_be_bytes(),
                &vlan.to_be_bytes(),
                rest,
            ]
            .concat(),
        )
    }

    /// Its first bytes only.
    #[must_use]
    pub fn cut(&self, bytes: usize) -> Self {
        Self(self.0[..bytes.min(self.0.len())].to_vec())
    }

    /// Its bytes, from the destination's MAC address on.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

fn ipv4_header(source: [u8; 4], destination: [u8; 4], payload: usize) -> Vec<u8> {
    let total = length(20 + payload);
    // Version 4, five words; no fragments; a time to live of 64.
    let mut header = [
        &[0x45, 0][..],
        &total,
        &[0, 0, 0x40, 0, 64, PROTOCOL_UDP, 0, 0],
        &source,
        &destination,
    ]
    .concat();
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    header
}

fn ipv6_header(source: [u8; 16], destination: [u8; 16], payload: usize) -> Vec<u8> {
    [
        &[0x60, 0, 0, 0][..],
        &length(payload),
        &[PROTOCOL_UDP, 64],
        &source,
        &destination,
    ]
    .concat()
}

fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = length(8 + payload.len());
    let header = [
        &from.port().to_be_bytes()[..],
        &to.port().to_be_bytes(),
        &length,
        &[0, 0],
    ]
    .concat();
    let mut datagram = [&header[..], payload].concat();
    let pseudo_header = [
        octets(from.ip()),
        octets(to.ip()),
        vec![0, PROTOCOL_UDP],
        length.to_vec(),
    ]
    .concat();
    // Zero would say that there is no checksum (RFC 768).
    let sum = match checksum(&[pseudo_header, datagram.clone()].concat()) {
        0 => u16::MAX,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes)
        .expect("a packet that fits one frame")
        .to_be_bytes()
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| {
            u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum();
    let mut folded = sum;
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    !u16::try_from(folded).expect("sixteen bits are left")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(from: &str, to: &str) -> Frame {
        Frame::udp(
            (&[2; 6], &[4; 6]),
            from.parse().unwrap(),
            to.parse().unwrap(),
            b"odd",
        )
    }

    #[test]
    fn a_right_header_sums_to_zero() {
        let frame = frame("192.0.2.1:1", "192.0.2.2:2");
        assert_eq!(checksum(&frame.bytes()[14..34]), 0);
    }

    #[test]
    fn a_right_datagram_sums_to_zero_with_its_pseudo_header() {
        let frame = frame("[2001:db8::1]:1", "[2001:db8::2]:2");
        let bytes = frame.bytes();
        let pseudo_header = [&bytes[22..54], &[0, PROTOCOL_UDP], &bytes[18..20]].concat();
        assert_eq!(checksum(&[&pseudo_header, &bytes[54..]].concat()), 0);
    }

    #[test]
    fn a_tag_stands_before_the_ethertype() {
        let tagged = frame("192.0.2.1:1", "192.0.2.2:2")
            .tagged(0x8100, 7)
            .tagged(0x88a8, 9);
        assert_eq!(
            tagged.bytes()[12..22],
            [0x88, 0xa8, 0, 9, 0x81, 0x00, 0, 7, 0x08, 0x00]
        );
    }
}

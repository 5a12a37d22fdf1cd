//! What the IP packet carries.

use std::net::IpAddr;

use super::checksum::checksum;

/// A transport header ahead of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The first packet of a TCP connection, to the port of ssh.
    Tcp,
    /// A UDP datagram.
    Udp,
    /// An echo request of the family's ICMP.
    Icmp,
}

impl Transport {
    /// Its protocol number.
    pub(super) const fn number(self, ipv6: bool) -> u8 {
        match self {
            Self::Icmp if ipv6 => 58,
            Self::Icmp => 1,
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// Header and payload, the checksum right for these addresses of one family.
    pub(super) fn segment(self, from: IpAddr, to: IpAddr, payload: &[u8]) -> Vec<u8> {
        let (header, sum_at): (Vec<u8>, usize) = match self {
            Self::Tcp => {
                let ports = [0xc3, 0x50, 0, 22];
                let numbers = [0, 0, 0, 1, 0, 0, 0, 0];
                // 5 words, SYN, a window of 65,535.
                let rest = [0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0];
                ([&ports[..], &numbers, &rest].concat(), 16)
            }
            Self::Udp => {
                let length = u16_of(8 + payload.len());
                ([&[0xc3, 0x50, 0, 53][..], &length, &[0, 0]].concat(), 6)
            }
            Self::Icmp => {
                let echo = if from.is_ipv6() { 128 } else { 8 };
                (vec![echo, 0, 0, 0, 0, 7, 0, 1], 2)
            }
        };
        let mut segment = [&header, payload].concat();
        let mut covered = self.pseudo_header(from, to, segment.len());
        covered.extend(&segment);
        // In UDP, zero would say that there is none (RFC 768).
        let sum = match checksum(&covered) {
            0 if self == Self::Udp => u16::MAX,
            sum => sum,
        };
        segment[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
        segment
    }

    /// What the checksum covers beside the segment (RFC 9293, 3.1; RFC 8200, 8.1).
    /// An odd family's would be its caller's fault.
    fn pseudo_header(self, from: IpAddr, to: IpAddr, length: usize) -> Vec<u8> {
        match (from, to) {
            // ICMP for IPv4 covers itself only (RFC 792).
            (IpAddr::V4(_), _) if self == Self::Icmp => Vec::new(),
            (IpAddr::V4(from), IpAddr::V4(to)) => [
                &from.octets()[..],
                &to.octets(),
                &[0, self.number(false)],
                &u16_of(length),
            ]
            .concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [
                &from.octets()[..],
                &to.octets(),
                &[0, 0],
                &u16_of(length),
                &[0, 0, 0, self.number(true)],
            ]
            .concat(),
            (from, to) => panic!("{from} and {to} are of two families"),
        }
    }
}

/// A length as headers write it.
pub(super) fn u16_of(length: usize) -> [u8; 2] {
    u16::try_from(length)
        .expect("an IP packet has at most 65,535 bytes")
        .to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_sums_to_zero_with_its_pseudo_header() {
        let pairs: [(IpAddr, IpAddr); 2] = [
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()),
            (
                "2001:db8::1".parse().unwrap(),
                "2001:db8::2".parse().unwrap(),
            ),
        ];
        for (from, to) in pairs {
            for transport in [Transport::Tcp, Transport::Udp, Transport::Icmp] {
                let segment = transport.segment(from, to, b"odd");
                let covered = [
                    transport.pseudo_header(from, to, segment.len()),
                    segment.clone(),
                ]
                .concat();
                assert_eq!(checksum(&covered), 0, "{transport:?} from {from}");
            }
        }
    }

    #[test]
    fn icmp_has_a_number_for_each_family() {
        assert_eq!(Transport::Icmp.number(false), 1);
        assert_eq!(Transport::Icmp.number(true), 58);
    }
}

//! A frame as it is described, before it is bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Extension, Fragment, Transport, checksum::checksum, transport::u16_of};

/// The tag protocol identifier of 802.1Q, a customer's VLAN.
pub const VLAN: u16 = 0x8100;
/// The tag protocol identifier of 802.1ad, a provider's VLAN.
pub const QINQ: u16 = 0x88a8;

const TO_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const TO_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// What a frame is made of. It starts as an ssh connection's first packet.
#[derive(Debug, Clone)]
pub struct Shape {
    source: IpAddr,
    tags: Vec<u16>,
    options: Vec<u8>,
    extensions: Vec<Extension>,
    fragment: Option<Fragment>,
    transport: Transport,
    payload: usize,
}

impl Shape {
    /// A frame from an address.
    pub fn from(source: IpAddr) -> Self {
        Self {
            source,
            tags: Vec::new(),
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            transport: Transport::Tcp,
            payload: 0,
        }
    }

    /// With VLAN tags of these protocol identifiers, the outermost first.
    #[must_use]
    pub fn tagged(mut self, tags: &[u16]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    /// With IPv4 options, of no operation, in bytes: a multiple of 4 up to 40.
    #[must_use]
    pub fn options(mut self, bytes: usize) -> Self {
        assert!(
            bytes.is_multiple_of(4) && bytes <= 40,
            "{bytes} bytes of options"
        );
        self.options = vec![1; bytes];
        self
    }

    /// With IPv6 extension headers, in this order.
    #[must_use]
    pub fn extensions(mut self, extensions: &[Extension]) -> Self {
        self.extensions = extensions.to_vec();
        self
    }

    /// As a fragment: of IPv4 in the header, of IPv6 in the last extension header.
    #[must_use]
    pub fn fragment(mut self, fragment: Fragment) -> Self {
        match self.source {
            IpAddr::V4(_) => self.fragment = Some(fragment),
            IpAddr::V6(_) => self.extensions.push(Extension::Fragment(fragment)),
        }
        self
    }

    /// With another transport than TCP.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// With bytes behind the transport header.
    #[must_use]
    pub fn payload(mut self, bytes: usize) -> Self {
        self.payload = bytes;
        self
    }

    /// The frame, from the destination's MAC address on, without frame check sequence.
    ///
    /// # Panics
    /// The IP packet would be longer than 65,535 bytes.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = MACS.to_vec();
        for tag in &self.tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 42]);
        }
        match self.source {
            IpAddr::V4(source) => {
                frame.extend([0x08, 0x00]);
                frame.extend(self.ipv4(source));
            }
            IpAddr::V6(source) => {
                frame.extend([0x86, 0xdd]);
                frame.extend(self.ipv6(source));
            }
        }
        frame
    }

    fn ipv4(&self, source: Ipv4Addr) -> Vec<u8> {
        let content = self.content(TO_V4.into());
        let length = 20 + self.options.len();
        let words = u8::try_from(length / 4).expect("at most 60 bytes");
        let place = self.fragment.map_or([0, 0], Fragment::ipv4);
        let mut header = [
            &[0x40 | words, 0][..],
            &u16_of(length + content.len()),
            &[0x12, 0x34],
            &place,
            &[64, self.transport.number(false), 0, 0],
            &source.octets(),
            &TO_V4.octets(),
            &self.options,
        ]
        .concat();
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        [header, content].concat()
    }

    fn ipv6(&self, source: Ipv6Addr) -> Vec<u8> {
        let mut next = self.transport.number(true);
        let mut chain = self.content(TO_V6.into());
        for extension in self.extensions.iter().rev() {
            chain = [extension.bytes(next), chain].concat();
            next = extension.number();
        }
        [
            &[0x60, 0, 0, 0][..],
            &u16_of(chain.len()),
            &[next, 64],
            &source.octets(),
            &TO_V6.octets(),
            &chain,
        ]
        .concat()
    }

    /// A later fragment has no transport header, only bytes from further behind.
    fn content(&self, to: IpAddr) -> Vec<u8> {
        let payload = vec![0x5a; self.payload];
        if self.is_later_fragment() {
            payload
        } else {
            self.transport.segment(self.source, to, &payload)
        }
    }

    fn is_later_fragment(&self) -> bool {
        let in_extension = self
            .extensions
            .iter()
            .find_map(|extension| match extension {
                Extension::Fragment(fragment) => Some(*fragment),
                _ => None,
            });
        self.fragment
            .or(in_extension)
            .is_some_and(|fragment| fragment.offset > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(source: &str) -> Shape {
        Shape::from(source.parse().unwrap())
    }

    #[test]
    fn an_ipv4_header_sums_to_zero_with_options_too() {
        for options in [0, 4, 40] {
            let frame = from("203.0.113.9").options(options).frame();
            assert_eq!(frame[14], 0x45 + u8::try_from(options / 4).unwrap());
            assert_eq!(checksum(&frame[14..34 + options]), 0);
            assert_eq!(frame[26..30], [203, 0, 113, 9]);
        }
    }

    #[test]
    fn tags_stand_before_the_ether_type() {
        let frame = from("203.0.113.9").tagged(&[QINQ, VLAN]).frame();
        assert_eq!(
            frame[12..22],
            [0x88, 0xa8, 0, 42, 0x81, 0, 0, 42, 0x08, 0x00]
        );
    }

    #[test]
    fn extension_headers_are_chained_by_their_numbers() {
        let frame = from("2001:db8::9")
            .extensions(&[Extension::HopByHop, Extension::Destination])
            .transport(Transport::Udp)
            .frame();
        assert_eq!((frame[20], frame[54], frame[62]), (0, 60, 17));
        assert_eq!(usize::from(frame[19]), frame.len() - 54);
    }

    #[test]
    fn a_later_fragment_has_no_transport_header() {
        for source in ["203.0.113.9", "2001:db8::9"] {
            let first = from(source).fragment(Fragment::FIRST).payload(64).frame();
            let last = from(source).fragment(Fragment::LAST).payload(64).frame();
            assert_eq!(first.len() - last.len(), 20, "a TCP header, {source}");
        }
    }
}

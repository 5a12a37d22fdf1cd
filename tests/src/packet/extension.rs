//! IPv6 extension headers (RFC 8200, 4).

use super::Fragment;

/// A header between the IPv6 header and the transport's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Hop-by-hop options.
    HopByHop,
    /// A routing header of type 2, with one address (RFC 6275, 6.4).
    Routing,
    /// Destination options.
    Destination,
    /// A fragment header.
    Fragment(Fragment),
}

impl Extension {
    /// Its number in the header before it.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::HopByHop => 0,
            Self::Routing => 43,
            Self::Fragment(_) => 44,
            Self::Destination => 60,
        }
    }

    /// Its bytes, a multiple of 8, ahead of the header numbered `next`.
    pub(super) fn bytes(self, next: u8) -> Vec<u8> {
        match self {
            // One PadN option fills the 6 bytes (RFC 8200, 4.2).
            Self::HopByHop | Self::Destination => vec![next, 0, 1, 4, 0, 0, 0, 0],
            Self::Routing => [&[next, 2, 2, 1, 0, 0, 0, 0][..], &[0xfd; 16]].concat(),
            Self::Fragment(fragment) => {
                let [high, low] = fragment.ipv6();
                vec![next, 0, high, low, 0, 0, 0x12, 0x34]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_its_own_length() {
        for extension in [
            Extension::HopByHop,
            Extension::Routing,
            Extension::Destination,
        ] {
            let bytes = extension.bytes(17);
            assert_eq!(bytes.len(), 8 + 8 * usize::from(bytes[1]), "{extension:?}");
        }
        assert_eq!(Extension::Fragment(Fragment::FIRST).bytes(17).len(), 8);
    }
}

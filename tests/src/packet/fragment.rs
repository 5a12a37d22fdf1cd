//! Where a fragment stands in its datagram.

/// A fragment's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Its offset, in units of 8 bytes, at most 8,191.
    pub offset: u16,
    /// Whether another follows.
    pub more: bool,
}

impl Fragment {
    /// The one that holds the transport header.
    pub const FIRST: Self = Self {
        offset: 0,
        more: true,
    };
    /// One in the middle.
    pub const LATER: Self = Self {
        offset: 185,
        more: true,
    };
    /// The one at the end.
    pub const LAST: Self = Self {
        offset: 370,
        more: false,
    };

    /// The flags and offset of an IPv4 header (RFC 791, 3.1).
    pub(super) fn ipv4(self) -> [u8; 2] {
        (self.offset | u16::from(self.more) << 13).to_be_bytes()
    }

    /// The offset and flag of an IPv6 fragment header (RFC 8200, 4.5).
    pub(super) fn ipv6(self) -> [u8; 2] {
        (self.offset << 3 | u16::from(self.more)).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_write_it_differently() {
        assert_eq!(Fragment::FIRST.ipv4(), [0x20, 0]);
        assert_eq!(Fragment::LAST.ipv4(), [0x01, 0x72]);
        assert_eq!(Fragment::FIRST.ipv6(), [0, 1]);
        assert_eq!(Fragment::LAST.ipv6(), [0x0b, 0x90]);
    }
}

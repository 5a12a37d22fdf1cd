//! The Internet checksum (RFC 1071).

/// The checksum of `bytes`, an odd one padded with a zero.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let words = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    let last = odd.first().map(|byte| u16::from_be_bytes([*byte, 0]));
    !words.chain(last).fold(0, add)
}

/// One's complement addition: the carry comes back in at the bottom.
fn add(left: u16, right: u16) -> u16 {
    let (sum, carry) = left.overflowing_add(right);
    sum + u16::from(carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 1071, 3: the sum is ddf2.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&bytes), !0xddf2);
    }

    #[test]
    fn an_odd_byte_counts_as_the_upper_half() {
        assert_eq!(checksum(&[0x12]), !0x1200);
    }

    #[test]
    fn with_its_checksum_in_place_a_text_sums_to_zero() {
        let mut bytes = vec![0xff, 0xfe, 0x80, 0x01, 0, 0];
        let sum = checksum(&bytes).to_be_bytes();
        bytes[4..6].copy_from_slice(&sum);
        assert_eq!(checksum(&bytes), 0);
    }
}

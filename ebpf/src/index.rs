//! The index that stands in front of the maps of bans: lines of one cache line each.
//!
//! A region of `lines` lines, a power of two, begins at line `lines` of the map, so
//! that one number tells both where it begins and how large it is, and a larger or
//! smaller one can be filled while this one is in use. A key belongs to one line of
//! a region. A line that does not hold all its keys, or is being changed, says so
//! in `ask`: the map of bans decides then.

#![expect(
    clippy::inline_always,
    reason = "a BPF program has 512 bytes of stack, and each call costs"
)]

/// Keys in a line of IPv4 addresses.
pub const SLOTS_V4: usize = 15;
/// Keys in a line of IPv6 networks.
pub const SLOTS_V6: usize = 7;

/// A line of IPv4 addresses.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub struct LineV4 {
    /// Why the map of bans must be asked: how many keys of the line are not in it,
    /// and whether it is being changed. 0 = it says it all.
    pub ask: u32,
    /// Addresses as they stand in a packet; 0 = free.
    pub keys: [u32; SLOTS_V4],
}

/// A line of IPv6 networks.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub struct LineV6 {
    /// As in [`LineV4`].
    pub ask: u64,
    /// The upper 64 bits of addresses as they stand in a packet; 0 = free.
    pub keys: [u64; SLOTS_V6],
}

const _: () = assert!(size_of::<LineV4>() == 64 && size_of::<LineV6>() == 64);

/// An odd number whose products are well spread: 2^64 over the golden ratio
/// (Knuth, The Art of Computer Programming, volume 3, section 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads an IPv4 address over 32 bits.
#[inline(always)]
#[must_use]
pub const fn spread_v4(key: u32) -> u32 {
    upper(u64_of(key).wrapping_mul(GOLDEN))
}

/// Spreads the upper half of an IPv6 address over 32 bits.
#[inline(always)]
#[must_use]
pub const fn spread_v6(key: u64) -> u32 {
    // A product's upper bits don't depend on the factor's: fold those in first.
    upper((key ^ (key >> 32)).wrapping_mul(GOLDEN))
}

/// The line of a spread key in the region of `lines` lines, a power of two.
#[inline(always)]
#[must_use]
pub const fn line(lines: u32, spread: u32) -> u32 {
    lines | (spread & (lines - 1))
}

#[inline(always)]
const fn u64_of(key: u32) -> u64 {
    key as u64
}

#[inline(always)]
const fn upper(product: u64) -> u32 {
    (product >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_begins_at_the_line_of_its_size_and_ends_before_twice_that() {
        for lines in [1, 2, 64, 1 << 20] {
            for spread in [0, 1, 63, 64, u32::MAX] {
                let line = line(lines, spread);
                assert!((lines..2 * lines).contains(&line), "{line} of {lines}");
            }
        }
    }

    #[test]
    fn neighbours_are_spread_over_the_lines() {
        const LINES: u32 = 1 << 10;
        let fullest = |spreads: &mut dyn Iterator<Item = u32>| {
            let mut lines = vec![0_u32; LINES as usize];
            for spread in spreads {
                lines[(line(LINES, spread) - LINES) as usize] += 1;
            }
            lines.into_iter().max().unwrap_or(0)
        };
        // 4 keys a line on average; chance alone would put 14 into the fullest.
        let keys = 0..4 * LINES;
        for step in [0, 8, 12] {
            let v4 = &mut keys
                .clone()
                .map(|key| spread_v4((0x0a00_0000 + (key << step)).to_be()));
            assert!(fullest(v4) <= 20, "IPv4, every {step} bits");
        }
        for step in [0, 8, 16, 32] {
            let v6 = &mut keys
                .clone()
                .map(|key| spread_v6(((0x2001_0db8 << 32) + (u64_of(key) << step)).to_be()));
            assert!(fullest(v6) <= 20, "IPv6, every {step} bits");
        }
    }
}

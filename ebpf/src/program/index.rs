//! What an index says of a source.

use core::ptr::from_ref;

use aya_ebpf::btf_maps::Array;
use nicban_ebpf::{
    abi::{Family, Settings, Stats},
    index::{line, spread_v4, spread_v6},
};

use super::{
    count,
    maps::{INDEX_V4, INDEX_V6},
};

/// An index's word.
pub(crate) enum Word {
    /// The map of bans has no such key.
    Free,
    /// Banned now, and not on the allow list. To be counted here.
    Banned(&'static mut Stats),
    /// The maps decide.
    Ask,
}

/// What the index says of an IPv4 address.
#[inline(always)]
pub(crate) fn of_v4(settings: &Settings, key: u32) -> Word {
    match at(&INDEX_V4, settings.index_v4, spread_v4(key)) {
        // A zero marks a free place, and so no line can hold that key.
        Some(line) if key != 0 => {
            // SAFETY: the line is in the map, and the map outlives the program. The
            // engine writes it meanwhile, but each of its words whole, and volatile
            // reads are whole and in this order.
            unsafe {
                let ask = (&raw const (*line).ask).read_volatile();
                let keys = &(*line).keys;
                word(settings, Family::V4, ask == 0, || {
                    keys.iter().any(|own| from_ref(own).read_volatile() == key)
                })
            }
        }
        _ => Word::Ask,
    }
}

/// What the index says of the upper half of an IPv6 address, cut to the length at which
/// IPv6 is banned.
#[inline(always)]
pub(crate) fn of_v6(settings: &Settings, key: u64) -> Word {
    match at(&INDEX_V6, settings.index_v6, spread_v6(key)) {
        Some(line) if key != 0 => {
            // SAFETY: as in `of_v4`.
            unsafe {
                let ask = (&raw const (*line).ask).read_volatile();
                let keys = &(*line).keys;
                word(settings, Family::V6, ask == 0, || {
                    keys.iter().any(|own| from_ref(own).read_volatile() == key)
                })
            }
        }
        _ => Word::Ask,
    }
}

#[inline(always)]
fn at<L, const N: usize, const F: usize>(
    index: &Array<L, N, F>,
    lines: u32,
    spread: u32,
) -> Option<*const L> {
    if lines == 0 {
        return None;
    }
    index.get_ptr(line(lines, spread))
}

#[inline(always)]
fn word(
    settings: &Settings,
    family: Family,
    says_it_all: bool,
    holds: impl FnOnce() -> bool,
) -> Word {
    if !says_it_all {
        return Word::Ask;
    }
    if !holds() {
        return Word::Free;
    }
    match count::present(family) {
        Some(stats) if stats.pace.now < settings.index_until => Word::Banned(stats),
        _ => Word::Ask,
    }
}

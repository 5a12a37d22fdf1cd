//! Which ban, if any, catches a source.

use aya_ebpf::{btf_maps::lpm_trie::Key, helpers::bpf_ktime_get_boot_ns};
use nicban_ebpf::abi::{AddressV4, AddressV6, NetworkV6, OffenderV4, OffenderV6, Settings};

use super::maps::{ALLOW_V4, ALLOW_V6, BANS_V4, BANS_V6, NETS_V4, NETS_V6};

/// The ban that catches an IPv4 source.
#[inline(always)]
pub(crate) fn offender_v4(settings: &Settings, address: [u8; 4]) -> Option<OffenderV4> {
    // SAFETY: the value is read once, here; the kernel frees or reuses it only
    // after the program has returned or as another ban of the same map, which
    // at worst is one packet judged by a ban that has just ended.
    let ban = unsafe { BANS_V4.get(AddressV4 { address }) };
    if ban.is_some_and(|ban| in_force(ban.expires_at)) {
        return Some(OffenderV4 {
            prefix_len: 32,
            address,
        });
    }
    if settings.nets_v4 == 0 {
        return None;
    }
    let prefix_len = net_v4(address)?;
    let mask = u32::MAX.checked_shl(32 - prefix_len).unwrap_or(0);
    Some(OffenderV4 {
        prefix_len,
        address: (u32::from_be_bytes(address) & mask).to_be_bytes(),
    })
}

/// The length of the longest banned network around an IPv4 source. One whose ban
/// has ended, and that nobody took out, must not hide a wider one.
#[inline(always)]
fn net_v4(address: [u8; 4]) -> Option<u32> {
    let mut longest = 32;
    for _ in 0..=32 {
        let net = NETS_V4.get(&Key::new(longest, AddressV4 { address }))?;
        if in_force(net.expires_at) {
            return Some(net.prefix_len);
        }
        longest = net.prefix_len.checked_sub(1)?;
    }
    None
}

/// The ban that catches an IPv6 source.
#[inline(always)]
pub(crate) fn offender_v6(settings: &Settings, address: [u8; 16]) -> Option<OffenderV6> {
    let [upper, lower] = halves(address);
    let mask = u64::from_be_bytes(settings.ipv6_mask);
    let network = (upper & mask).to_be_bytes();
    // SAFETY: as in `offender_v4`.
    let ban = unsafe { BANS_V6.get(NetworkV6 { network }) };
    if ban.is_some_and(|ban| in_force(ban.expires_at)) {
        return Some(OffenderV6 {
            prefix_len: mask.count_ones(),
            address: join(upper & mask, 0),
        });
    }
    if settings.nets_v6 == 0 {
        return None;
    }
    let prefix_len = net_v6(address)?;
    let upper_mask = u64::MAX
        .checked_shl(64u32.saturating_sub(prefix_len))
        .unwrap_or(0);
    let lower_mask = u64::MAX
        .checked_shl(128u32.saturating_sub(prefix_len))
        .unwrap_or(0);
    Some(OffenderV6 {
        prefix_len,
        address: join(upper & upper_mask, lower & lower_mask),
    })
}

/// As [`net_v4`], of an IPv6 source.
#[inline(always)]
fn net_v6(address: [u8; 16]) -> Option<u32> {
    let mut longest = 128;
    for _ in 0..=128 {
        let net = NETS_V6.get(&Key::new(longest, AddressV6 { address }))?;
        if in_force(net.expires_at) {
            return Some(net.prefix_len);
        }
        longest = net.prefix_len.checked_sub(1)?;
    }
    None
}

/// Whether an IPv4 source is on the allow list.
#[inline(always)]
pub(crate) fn allowed_v4(settings: &Settings, address: [u8; 4]) -> bool {
    settings.allow_v4 != 0 && ALLOW_V4.get(&Key::new(32, AddressV4 { address })).is_some()
}

/// Whether an IPv6 source is on the allow list.
#[inline(always)]
pub(crate) fn allowed_v6(settings: &Settings, address: [u8; 16]) -> bool {
    settings.allow_v6 != 0
        && ALLOW_V6
            .get(&Key::new(128, AddressV6 { address }))
            .is_some()
}

/// An IPv4 address in the 16 octets of an event.
#[inline(always)]
pub(crate) fn widen(address: [u8; 4]) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[0] = address[0];
    wide[1] = address[1];
    wide[2] = address[2];
    wide[3] = address[3];
    wide
}

/// A ban without end costs no clock.
#[inline(always)]
fn in_force(expires_at: u64) -> bool {
    // SAFETY: the helper has no precondition.
    expires_at == 0 || unsafe { bpf_ktime_get_boot_ns() } < expires_at
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "each half is cut out on purpose"
)]
#[inline(always)]
fn halves(address: [u8; 16]) -> [u64; 2] {
    let address = u128::from_be_bytes(address);
    [(address >> 64) as u64, address as u64]
}

#[inline(always)]
fn join(upper: u64, lower: u64) -> [u8; 16] {
    ((u128::from(upper) << 64) | u128::from(lower)).to_be_bytes()
}

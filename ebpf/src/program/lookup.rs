//! Which ban, if any, catches a source.

use aya_ebpf::{btf_maps::lpm_trie::Key, helpers::bpf_ktime_get_boot_ns};
use nicban_ebpf::abi::{AddressV4, AddressV6, NetworkV6, OffenderV4, OffenderV6, Settings};

use super::maps::{ALLOW_V4, ALLOW_V6, BANS_V4, BANS_V6, NETS_V4, NETS_V6};

/// The ban on an IPv4 address alone; in network byte order.
#[inline(always)]
pub(crate) fn exact_v4(address: u32) -> OffenderV4 {
    OffenderV4 {
        prefix_len: 32,
        address: address.to_ne_bytes(),
    }
}

/// The ban on an IPv6 network of the length at which IPv6 is banned; its upper half in
/// network byte order.
#[inline(always)]
pub(crate) fn exact_v6(settings: &Settings, network: u64) -> OffenderV6 {
    OffenderV6 {
        prefix_len: settings.ipv6_prefix,
        address: join(network, 0),
    }
}

/// The ban that catches an IPv4 source; of networks alone unless `exact`.
#[inline(always)]
pub(crate) fn offender_v4(
    settings: &Settings,
    address: [u8; 4],
    exact: bool,
) -> Option<OffenderV4> {
    if exact && banned_v4(address) {
        return Some(exact_v4(u32::from_ne_bytes(address)));
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

/// Whether `bans_v4` has a ban on an address that has not ended.
#[inline(always)]
fn banned_v4(address: [u8; 4]) -> bool {
    // SAFETY: the value is read once, here; the kernel frees or reuses it only
    // after the program has returned or as another ban of the same map, which
    // at worst is one packet judged by a ban that has just ended.
    let ban = unsafe { BANS_V4.get(AddressV4 { address }) };
    ban.is_some_and(|ban| in_force(ban.expires_at))
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

/// The ban that catches an IPv6 source, its halves in network byte order; of networks of
/// other lengths alone unless `exact`.
#[inline(always)]
pub(crate) fn offender_v6(
    settings: &Settings,
    [upper, lower]: [u64; 2],
    exact: bool,
) -> Option<OffenderV6> {
    let network = upper & u64::from_ne_bytes(settings.ipv6_mask);
    if exact && banned_v6(network) {
        return Some(exact_v6(settings, network));
    }
    if settings.nets_v6 == 0 {
        return None;
    }
    let prefix_len = net_v6(join(upper, lower))?;
    let upper_mask = u64::MAX
        .checked_shl(64u32.saturating_sub(prefix_len))
        .unwrap_or(0);
    let lower_mask = u64::MAX
        .checked_shl(128u32.saturating_sub(prefix_len))
        .unwrap_or(0);
    Some(OffenderV6 {
        prefix_len,
        address: join(upper & upper_mask.to_be(), lower & lower_mask.to_be()),
    })
}

/// Whether `bans_v6` has a ban on a network that has not ended.
#[inline(always)]
fn banned_v6(network: u64) -> bool {
    let network = network.to_ne_bytes();
    // SAFETY: as in `banned_v4`.
    let ban = unsafe { BANS_V6.get(NetworkV6 { network }) };
    ban.is_some_and(|ban| in_force(ban.expires_at))
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
pub(crate) fn allowed_v6(settings: &Settings, [upper, lower]: [u64; 2]) -> bool {
    let address = join(upper, lower);
    settings.allow_v6 != 0
        && ALLOW_V6
            .get(&Key::new(128, AddressV6 { address }))
            .is_some()
}

/// A ban without end costs no clock.
#[inline(always)]
fn in_force(expires_at: u64) -> bool {
    // SAFETY: the helper has no precondition.
    expires_at == 0 || unsafe { bpf_ktime_get_boot_ns() } < expires_at
}

/// An IPv6 address of its halves in network byte order.
#[inline(always)]
pub(crate) fn join(upper: u64, lower: u64) -> [u8; 16] {
    let [upper, lower] = [upper.to_ne_bytes(), lower.to_ne_bytes()];
    let mut address = [0; 16];
    address[..8].copy_from_slice(&upper);
    address[8..].copy_from_slice(&lower);
    address
}

/// The halves of an IPv6 address in network byte order.
#[inline(always)]
pub(crate) fn halves(address: [u8; 16]) -> [u64; 2] {
    let half = |at: usize| {
        let mut half = [0; 8];
        half.copy_from_slice(&address[at..at + 8]);
        u64::from_ne_bytes(half)
    };
    [half(0), half(8)]
}

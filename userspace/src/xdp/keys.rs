//! Networks as the maps' keys and values, and back.

use std::net::{Ipv4Addr, Ipv6Addr};

use aya::maps::lpm_trie::Key;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nicban_ebpf::abi::{AddressV4, AddressV6, NetBan, NetworkV6};

use crate::target::Ipv6Prefix;

/// The mask that cuts the upper 64 bits of an address to the length at which IPv6
/// is banned.
pub(super) fn ipv6_mask(prefix: Ipv6Prefix) -> [u8; 8] {
    let host_bits = 64 - u32::from(prefix.bits());
    u64::MAX.checked_shl(host_bits).unwrap_or(0).to_be_bytes()
}

pub(super) fn net_key_v4(net: Ipv4Net) -> Key<AddressV4> {
    trie_v4(net.network().octets(), net.prefix_len())
}

pub(super) fn net_key_v6(net: Ipv6Net) -> Key<AddressV6> {
    trie_v6(net.network().octets(), net.prefix_len())
}

pub(super) fn trie_v4(address: [u8; 4], bits: u8) -> Key<AddressV4> {
    Key::new(u32::from(bits), AddressV4 { address })
}

pub(super) fn trie_v6(address: [u8; 16], bits: u8) -> Key<AddressV6> {
    Key::new(u32::from(bits), AddressV6 { address })
}

pub(super) fn net_ban(expires_at: u64, prefix_len: u8) -> NetBan {
    NetBan {
        expires_at,
        prefix_len: u32::from(prefix_len),
    }
}

pub(super) fn upper_half(address: [u8; 16]) -> NetworkV6 {
    NetworkV6 {
        network: std::array::from_fn(|index| address[index]),
    }
}

/// The kernel keeps lengths within the family's, so that clamping loses nothing.
pub(super) fn net_v4(address: Ipv4Addr, prefix_len: u32) -> IpNet {
    let prefix_len = u8::try_from(prefix_len).map_or(32, |length| length.min(32));
    IpNet::V4(Ipv4Net::new_assert(address, prefix_len).trunc())
}

/// As [`net_v4`].
pub(super) fn net_v6(address: Ipv6Addr, prefix_len: u32) -> IpNet {
    let prefix_len = u8::try_from(prefix_len).map_or(128, |length| length.min(128));
    IpNet::V6(Ipv6Net::new_assert(address, prefix_len).trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_keeps_the_prefix_and_nothing_else() {
        let mask = |bits| ipv6_mask(Ipv6Prefix::new(bits).unwrap());
        assert_eq!(mask(64), [255; 8]);
        assert_eq!(mask(32), [255, 255, 255, 255, 0, 0, 0, 0]);
        assert_eq!(mask(33), [255, 255, 255, 255, 0x80, 0, 0, 0]);
    }
}

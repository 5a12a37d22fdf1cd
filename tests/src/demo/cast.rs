//! Who attacks, and how loudly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address that attacks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Attacker {
    /// The address.
    pub(super) address: IpAddr,
    /// Packets/s that it sends once it is banned.
    pub(super) rate: f64,
}

/// How many of each family there are.
const V4: u8 = 30;
const V6: u16 = 4;

/// The loudest attacker's packets/s; the next has a half, then a third, and so
/// on: what a bastion sees is as heavy-tailed (Zipf's law).
const LOUDEST: f64 = 400.0;

/// The loudest of IPv6.
const LOUDEST_V6: f64 = 120.0;

/// The attackers, in the order in which they begin: how loud one is doesn't tell
/// when it comes.
pub(super) fn attackers() -> Vec<Attacker> {
    let v4 = (0..V4).map(|n| Attacker {
        address: v4_address(n).into(),
        // 7 and 30 have no common divisor: every rank is taken once.
        rate: LOUDEST / f64::from(1 + u16::from(n) * 7 % u16::from(V4)),
    });
    let v6 = (0..V6).map(|n| Attacker {
        address: v6_address(n).into(),
        rate: LOUDEST_V6 / f64::from(1 + n),
    });
    let mut attackers: Vec<Attacker> = v4.collect();
    for (n, attacker) in v6.enumerate() {
        attackers.insert(n * 8 + 4, attacker);
    }
    attackers
}

/// Half of them in each of two networks for documentation (RFC 5737), far enough
/// apart that no narrow network holds two.
fn v4_address(n: u8) -> Ipv4Addr {
    let host = 5 + n / 2 * 16;
    if n.is_multiple_of(2) {
        Ipv4Addr::new(203, 0, 113, host)
    } else {
        Ipv4Addr::new(198, 51, 100, host)
    }
}

/// Each in a /64 of its own (RFC 3849).
fn v6_address(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xa1 + n, 0, 0, 0, 0xbad, 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_thirty_and_four_of_different_addresses() {
        let attackers = attackers();
        let distinct: BTreeSet<IpAddr> = attackers.iter().map(|a| a.address).collect();
        assert_eq!(distinct.len(), 34);
        assert_eq!(attackers.iter().filter(|a| a.address.is_ipv6()).count(), 4);
    }

    #[test]
    fn the_rates_are_different_and_bounded() {
        let attackers = attackers();
        let v4: BTreeSet<u64> = attackers
            .iter()
            .filter(|a| a.address.is_ipv4())
            .map(|a| a.rate.to_bits())
            .collect();
        assert_eq!(v4.len(), 30);
        let total: f64 = attackers.iter().map(|a| a.rate).sum();
        assert!(total < 2_500.0, "{total} packets/s");
    }
}

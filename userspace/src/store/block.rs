//! Some hundreds of holds in one column of one row.
//!
//! A row for each of a million holds took 12 s to write, most of it in the database's own
//! trees (docs/decisions/0016). Packed, they are a few thousand rows.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::bans::Until;
use crate::target::Target;

/// The layout, first byte of each block.
const LAYOUT: u8 = 1;

/// What is in an entry beside its address.
mod flag {
    pub(super) const IPV6: u8 = 1;
    /// The length is not that of a single IPv4 address, or an IPv6 /64.
    pub(super) const LENGTH: u8 = 1 << 1;
    /// It began at another time than the one before.
    pub(super) const SINCE: u8 = 1 << 2;
    /// It ends at another time than the one before.
    pub(super) const UNTIL: u8 = 1 << 3;
    /// It has counts or a reason.
    pub(super) const MORE: u8 = 1 << 4;
    pub(super) const ALL: u8 = IPV6 | LENGTH | SINCE | UNTIL | MORE;
}

/// A hold of a list, whose name stands beside the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) since: i64,
    pub(super) until: Until,
    pub(super) bancount: u32,
    pub(super) failures: u32,
    pub(super) reason: Option<Box<str>>,
}

/// A target as bytes, in the order of the targets.
pub(super) fn key(target: &Target) -> Vec<u8> {
    match target.network() {
        IpNet::V4(net) => [&[4][..], &net.addr().octets(), &[net.prefix_len()]].concat(),
        IpNet::V6(net) => [&[6][..], &net.addr().octets(), &[net.prefix_len()]].concat(),
    }
}

/// Packs holds, which are in the order of their targets.
pub(super) fn pack(holds: &[(Target, Held)]) -> Vec<u8> {
    let mut block = Vec::with_capacity(1 + holds.len() * 8);
    block.push(LAYOUT);
    let (mut since, mut until) = (0, i64::MAX);
    for (target, held) in holds {
        let end = held.until.seconds().unwrap_or(i64::MAX);
        let network = target.network();
        let usual = match network {
            IpNet::V4(_) => 32,
            IpNet::V6(_) => 64,
        };
        let when = |condition, flag| if condition { flag } else { 0 };
        let has_more = held.bancount != 1 || held.failures != 0 || held.reason.is_some();
        let flags = when(matches!(network, IpNet::V6(_)), flag::IPV6)
            | when(network.prefix_len() != usual, flag::LENGTH)
            | when(held.since != since, flag::SINCE)
            | when(end != until, flag::UNTIL)
            | when(has_more, flag::MORE);
        block.push(flags);
        match network {
            IpNet::V4(net) => block.extend_from_slice(&net.addr().octets()),
            IpNet::V6(net) => block.extend_from_slice(&net.addr().octets()),
        }
        if flags & flag::LENGTH != 0 {
            block.push(network.prefix_len());
        }
        if flags & flag::SINCE != 0 {
            block.extend_from_slice(&held.since.to_le_bytes());
            since = held.since;
        }
        if flags & flag::UNTIL != 0 {
            block.extend_from_slice(&end.to_le_bytes());
            until = end;
        }
        if has_more {
            block.extend_from_slice(&held.bancount.to_le_bytes());
            block.extend_from_slice(&held.failures.to_le_bytes());
            // A reason is far shorter (`MAX_REASON`); none is told from an empty one.
            let reason = held.reason.as_deref();
            let length = reason.map_or(0, |reason| reason.len() + 1);
            block.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
            let kept = reason.unwrap_or_default().as_bytes();
            block.extend_from_slice(&kept[..kept.len().min(usize::from(u16::MAX) - 1)]);
        }
    }
    block
}

/// A block that is not one, or is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block of holds is damaged at its byte {at}")]
pub(super) struct DamagedBlock {
    /// Where it makes no sense.
    pub(super) at: usize,
}

/// Unpacks a block.
pub(super) fn unpack(block: &[u8]) -> Result<Vec<(Target, Held)>, DamagedBlock> {
    let mut reader = Reader { block, at: 0 };
    if reader.take::<1>()? != [LAYOUT] {
        return Err(DamagedBlock { at: 0 });
    }
    let mut holds = Vec::with_capacity(block.len() / 6);
    let (mut since, mut end) = (0, i64::MAX);
    while reader.at < block.len() {
        let begun = DamagedBlock { at: reader.at };
        let [flags] = reader.take()?;
        if flags & !flag::ALL != 0 {
            return Err(begun);
        }
        let has = |flag| flags & flag != 0;
        let network = if has(flag::IPV6) {
            let address = Ipv6Addr::from(reader.take::<16>()?);
            let length = reader.length(has(flag::LENGTH), 64)?;
            Ipv6Net::new(address, length).map(IpNet::V6)
        } else {
            let address = Ipv4Addr::from(reader.take::<4>()?);
            let length = reader.length(has(flag::LENGTH), 32)?;
            Ipv4Net::new(address, length).map(IpNet::V4)
        };
        let target = network
            .ok()
            .and_then(|network| Target::from_network(network).ok())
            .ok_or(begun)?;
        if has(flag::SINCE) {
            since = i64::from_le_bytes(reader.take()?);
        }
        if has(flag::UNTIL) {
            end = i64::from_le_bytes(reader.take()?);
        }
        let mut held = Held {
            since,
            until: Some(end).filter(|end| *end != i64::MAX).into(),
            bancount: 1,
            failures: 0,
            reason: None,
        };
        if has(flag::MORE) {
            held.bancount = u32::from_le_bytes(reader.take()?);
            held.failures = u32::from_le_bytes(reader.take()?);
            held.reason = reader.reason()?;
        }
        holds.push((target, held));
    }
    Ok(holds)
}

struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DamagedBlock> {
        let rest = self.block.get(self.at..).unwrap_or_default();
        let bytes = rest.first_chunk().ok_or(DamagedBlock { at: self.at })?;
        self.at += N;
        Ok(*bytes)
    }

    fn length(&mut self, is_there: bool, usual: u8) -> Result<u8, DamagedBlock> {
        if is_there {
            let [length] = self.take()?;
            return Ok(length);
        }
        Ok(usual)
    }

    fn reason(&mut self) -> Result<Option<Box<str>>, DamagedBlock> {
        let Some(length) = usize::from(u16::from_le_bytes(self.take()?)).checked_sub(1) else {
            return Ok(None);
        };
        let damaged = DamagedBlock { at: self.at };
        let bytes = self.block.get(self.at..self.at + length).ok_or(damaged)?;
        self.at += length;
        let reason = std::str::from_utf8(bytes).map_err(|_| damaged)?;
        Ok(Some(reason.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::target::Ipv6Prefix;

    fn held() -> impl Strategy<Value = Held> {
        let time = prop_oneof![Just(7i64), any::<i64>()];
        let until = prop_oneof![
            Just(Until::Permanent),
            Just(Until::At(9)),
            (..i64::MAX).prop_map(Until::At)
        ];
        let more = prop_oneof![
            Just((1u32, 0u32, None)),
            (any::<u32>(), any::<u32>(), prop::option::of("\\PC{0,30}"))
        ];
        (time, until, more).prop_map(|(since, until, (bancount, failures, reason))| Held {
            since,
            until,
            bancount,
            failures,
            reason: reason.map(Into::into),
        })
    }

    fn target() -> impl Strategy<Value = Target> {
        let v4 = (any::<u32>(), 8u8..=32)
            .prop_map(|(bits, length)| IpNet::new_assert(Ipv4Addr::from(bits).into(), length));
        let v6 = (any::<u128>(), 12u8..=128)
            .prop_map(|(bits, length)| IpNet::new_assert(Ipv6Addr::from(bits).into(), length));
        prop_oneof![v4, v6].prop_filter_map("no target", |net| Target::from_network(net).ok())
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks(holds in prop::collection::vec((target(), held()), 0..40)) {
            prop_assert_eq!(unpack(&pack(&holds)).unwrap(), holds);
        }

        #[test]
        fn keys_are_in_the_order_of_targets(a in target(), b in target()) {
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
        }

        #[test]
        fn damage_is_told(holds in prop::collection::vec((target(), held()), 1..5), cut in 1usize..4) {
            let block = pack(&holds);
            prop_assert!(unpack(&block[..block.len() - cut]).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(unpack(&bytes));
        }
    }

    #[test]
    fn a_list_of_addresses_takes_five_bytes_each() {
        let target = |n: u8| {
            let text = format!("192.0.2.{n}");
            Target::parse(&text, Ipv6Prefix::default()).unwrap().target
        };
        let held = Held {
            since: 7,
            until: Until::Permanent,
            bancount: 1,
            failures: 0,
            reason: None,
        };
        let holds: Vec<_> = (0..100).map(|n| (target(n), held.clone())).collect();
        assert_eq!(pack(&holds).len(), 1 + 8 + 5 * 100);
        assert_eq!(unpack(&[2]), Err(DamagedBlock { at: 0 }));
    }
}

//! The maps that the engine writes: bans, allow list, settings.

mod access;
mod allow;
mod indexes;
mod many;

use aya::{
    Ebpf,
    maps::{Array, HashMap, LpmTrie, MapData},
};
use ipnet::IpNet;
use nicban_ebpf::abi::{
    AddressV4, AddressV6, Allow, Ban, EVENTS_OFF, NetBan, NetworkV6, Settings, maps,
};
use nicban_protocol::Mode;

use self::{
    access::{count, full_or_failed, holds, mapped, there},
    indexes::{may_v4, may_v6},
    many::{key_v4, key_v6},
};
use super::{
    LoadOptions, XdpError,
    allowed::Allowed,
    helper::Helper,
    index::{Index, LineV4, LineV6, Mapped},
    keys::{ipv6_mask, net_ban, trie_v4, trie_v6, upper_half},
};
use crate::target::{self, Ipv6Prefix, Place};

pub(super) use access::{absent_is_fine, failed, typed};

/// Insert or overwrite (`BPF_ANY` in include/uapi/linux/bpf.h).
const ANY: u64 = 0;

/// The maps that the engine writes.
pub struct Tables {
    bans_v4: HashMap<MapData, AddressV4, Ban>,
    bans_v6: HashMap<MapData, NetworkV6, Ban>,
    nets_v4: LpmTrie<MapData, AddressV4, NetBan>,
    nets_v6: LpmTrie<MapData, AddressV6, NetBan>,
    allow_v4: LpmTrie<MapData, AddressV4, Allow>,
    allow_v6: LpmTrie<MapData, AddressV6, Allow>,
    /// What the allow maps hold: a look-up there tells no entry's own length.
    allowed: Allowed,
    index_v4: Index<LineV4, Mapped<LineV4>>,
    index_v6: Index<LineV6, Mapped<LineV6>>,
    settings: Array<MapData, Settings>,
    current: Settings,
    ipv6_prefix: Ipv6Prefix,
    helper: Helper,
}

/// The name of a kernel map of bans.
pub const fn map_name(map: target::Map) -> &'static str {
    match map {
        target::Map::HashV4 => maps::BANS_V4,
        target::Map::HashV6 => maps::BANS_V6,
        target::Map::TrieV4 => maps::NETS_V4,
        target::Map::TrieV6 => maps::NETS_V6,
    }
}

impl Tables {
    pub(super) fn take(ebpf: &mut Ebpf, options: &LoadOptions) -> Result<Self, XdpError> {
        let mut tables = Self {
            bans_v4: typed(ebpf, maps::BANS_V4)?,
            bans_v6: typed(ebpf, maps::BANS_V6)?,
            nets_v4: typed(ebpf, maps::NETS_V4)?,
            nets_v6: typed(ebpf, maps::NETS_V6)?,
            allow_v4: typed(ebpf, maps::ALLOW_V4)?,
            allow_v6: typed(ebpf, maps::ALLOW_V6)?,
            allowed: Allowed::default(),
            index_v4: Index::new(mapped(ebpf, maps::INDEX_V4)?),
            index_v6: Index::new(mapped(ebpf, maps::INDEX_V6)?),
            settings: typed(ebpf, maps::SETTINGS)?,
            current: Settings::default(),
            ipv6_prefix: options.ipv6_prefix,
            helper: Helper::default(),
        };
        tables.current = tables
            .settings
            .get(&0, 0)
            .map_err(failed("read", maps::SETTINGS, &0))?;
        tables.current.ipv6_mask = ipv6_mask(options.ipv6_prefix);
        tables.current.ipv6_prefix = u32::from(options.ipv6_prefix.bits());
        tables.current.event_mask = EVENTS_OFF;
        tables.current.nets_v4 = count(&tables.nets_v4, maps::NETS_V4)?;
        tables.current.nets_v6 = count(&tables.nets_v6, maps::NETS_V6)?;
        tables.current.allow_v4 = count(&tables.allow_v4, maps::ALLOW_V4)?;
        tables.current.allow_v6 = count(&tables.allow_v6, maps::ALLOW_V6)?;
        for network in tables.allowed()? {
            tables.allowed.insert(network);
        }
        tables.index()?;
        Ok(tables)
    }

    /// Puts a ban in, or moves its end. `expires_at` is in ns of `CLOCK_BOOTTIME`;
    /// 0 = never.
    pub fn put(&mut self, network: &IpNet, expires_at: u64) -> Result<(), XdpError> {
        let place = Place::of(network.trunc(), self.ipv6_prefix);
        let is_new_net = match place {
            Place::HashV4(_) | Place::HashV6(_) => false,
            Place::TrieV4 { network, bits } => !holds(&self.nets_v4, &trie_v4(network, bits)),
            Place::TrieV6 { network, bits } => !holds(&self.nets_v6, &trie_v6(network, bits)),
        };
        if is_new_net {
            self.announce_net(place.map(), 1)?;
        }
        let ban = Ban { expires_at };
        match place {
            Place::HashV4(address) => {
                self.expect_end(expires_at)?;
                self.resize_v4(1)?;
                let address = AddressV4 { address };
                let key = key_v4(address);
                let may = may_v4(&self.allowed, key);
                self.index_v4
                    .put(key, may, || self.bans_v4.insert(address, ban, ANY))
            }
            Place::HashV6(address) => {
                self.expect_end(expires_at)?;
                self.resize_v6(1)?;
                let network = upper_half(address);
                let key = key_v6(network);
                let may = may_v6(&self.allowed, key, self.ipv6_prefix);
                self.index_v6
                    .put(key, may, || self.bans_v6.insert(network, ban, ANY))
            }
            Place::TrieV4 { network, bits } => {
                let net = net_ban(expires_at, bits);
                self.nets_v4.insert(&trie_v4(network, bits), net, ANY)
            }
            Place::TrieV6 { network, bits } => {
                let net = net_ban(expires_at, bits);
                self.nets_v6.insert(&trie_v6(network, bits), net, ANY)
            }
        }
        .or_else(|source| {
            if is_new_net {
                self.announce_net(place.map(), -1)?;
            }
            Err(full_or_failed(
                "put",
                map_name(place.map()),
                network,
                source,
            ))
        })
    }

    /// Takes a ban out; one that is not in is no error.
    pub fn remove(&mut self, network: &IpNet) -> Result<(), XdpError> {
        let place = Place::of(network.trunc(), self.ipv6_prefix);
        let removed = match place {
            Place::HashV4(address) => {
                let address = AddressV4 { address };
                self.index_v4
                    .remove(key_v4(address), || there(self.bans_v4.remove(&address)))
            }
            Place::HashV6(address) => {
                let network = upper_half(address);
                self.index_v6
                    .remove(key_v6(network), || there(self.bans_v6.remove(&network)))
            }
            Place::TrieV4 { network, bits } => there(self.nets_v4.remove(&trie_v4(network, bits))),
            Place::TrieV6 { network, bits } => there(self.nets_v6.remove(&trie_v6(network, bits))),
        }
        .map_err(failed("remove", map_name(place.map()), network))?;
        if removed {
            self.announce_net(place.map(), -1)?;
        }
        Ok(())
    }

    /// Drop, or only count.
    pub fn set_mode(&mut self, mode: Mode) -> Result<(), XdpError> {
        self.announce(|settings| settings.enforce = u32::from(mode == Mode::Enforce))
    }

    /// How choosy the program is with offenders that have no counter yet, see
    /// [`Settings::newcomer_mask`]. Writes only what changes.
    pub fn set_newcomer_mask(&mut self, mask: u32) -> Result<(), XdpError> {
        if self.current.newcomer_mask == mask {
            return Ok(());
        }
        self.announce(|settings| settings.newcomer_mask = mask)
    }

    /// Says that a trie of bans gets or has lost an entry; of a hash map there is
    /// nothing to say.
    fn announce_net(&mut self, map: target::Map, change: i32) -> Result<(), XdpError> {
        let settings = &self.current;
        let (mut nets_v4, mut nets_v6) = (settings.nets_v4, settings.nets_v6);
        let entries = match map {
            target::Map::HashV4 | target::Map::HashV6 => return Ok(()),
            target::Map::TrieV4 => &mut nets_v4,
            target::Map::TrieV6 => &mut nets_v6,
        };
        *entries = entries.saturating_add_signed(change);
        self.announce(|settings| (settings.nets_v4, settings.nets_v6) = (nets_v4, nets_v6))
    }

    /// Changes the settings. A trie is announced before it gets its entry, and
    /// withdrawn after it lost its last: a packet in between looks in vain, and
    /// no ban is overlooked.
    fn announce(&mut self, change: impl FnOnce(&mut Settings)) -> Result<(), XdpError> {
        let mut settings = self.current;
        change(&mut settings);
        self.settings
            .set(0, settings, ANY)
            .map_err(failed("write", maps::SETTINGS, &0))?;
        self.current = settings;
        Ok(())
    }
}

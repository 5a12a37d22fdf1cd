//! The maps that the engine writes: bans, allow list, settings.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, lpm_trie::Key},
};
use ipnet::IpNet;
use nicban_ebpf::abi::{
    AddressV4, AddressV6, Allow, AllowOrigin, Ban, EVENTS_OFF, NetBan, NetworkV6, Settings, maps,
};
use nicban_protocol::Mode;

use super::{
    LoadOptions, XdpError,
    keys::{
        ipv6_mask, net_ban, net_key_v4, net_key_v6, net_v4, net_v6, trie_v4, trie_v6, upper_half,
    },
};
use crate::target::{self, Ipv6Prefix, Place};

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
    allowed: BTreeSet<IpNet>,
    settings: Array<MapData, Settings>,
    current: Settings,
    ipv6_prefix: Ipv6Prefix,
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
            allowed: BTreeSet::new(),
            settings: typed(ebpf, maps::SETTINGS)?,
            current: Settings::default(),
            ipv6_prefix: options.ipv6_prefix,
        };
        tables.current = tables
            .settings
            .get(&0, 0)
            .map_err(failed("read", maps::SETTINGS, &0))?;
        tables.current.ipv6_mask = ipv6_mask(options.ipv6_prefix);
        tables.current.event_mask = EVENTS_OFF;
        tables.current.nets_v4 = count(&tables.nets_v4, maps::NETS_V4)?;
        tables.current.nets_v6 = count(&tables.nets_v6, maps::NETS_V6)?;
        tables.current.allow_v4 = count(&tables.allow_v4, maps::ALLOW_V4)?;
        tables.current.allow_v6 = count(&tables.allow_v6, maps::ALLOW_V6)?;
        tables.allowed = tables.allowed()?.into_iter().collect();
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
            Place::HashV4(address) => self.bans_v4.insert(AddressV4 { address }, ban, ANY),
            Place::HashV6(address) => self.bans_v6.insert(upper_half(address), ban, ANY),
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
            Place::HashV4(address) => self.bans_v4.remove(&AddressV4 { address }),
            Place::HashV6(address) => self.bans_v6.remove(&upper_half(address)),
            Place::TrieV4 { network, bits } => self.nets_v4.remove(&trie_v4(network, bits)),
            Place::TrieV6 { network, bits } => self.nets_v6.remove(&trie_v6(network, bits)),
        }
        .map(|()| true)
        .or_else(absent_is_fine)
        .map_err(failed("remove", map_name(place.map()), network))?;
        if removed {
            self.announce_net(place.map(), -1)?;
        }
        Ok(())
    }

    /// Every ban in the maps, with its end in ns of `CLOCK_BOOTTIME`.
    pub fn bans(&self) -> Result<Vec<(IpNet, u64)>, XdpError> {
        let mut bans = Vec::new();
        for entry in &self.bans_v4 {
            let (key, ban) = entry.map_err(failed("list", maps::BANS_V4, &"bans"))?;
            bans.push((
                IpNet::V4(Ipv4Addr::from(key.address).into()),
                ban.expires_at,
            ));
        }
        for entry in &self.bans_v6 {
            let (key, ban) = entry.map_err(failed("list", maps::BANS_V6, &"bans"))?;
            let upper = u128::from(u64::from_be_bytes(key.network)) << 64;
            let net = net_v6(Ipv6Addr::from(upper), u32::from(self.ipv6_prefix.bits()));
            bans.push((net, ban.expires_at));
        }
        for entry in &self.nets_v4 {
            let (key, ban) = entry.map_err(failed("list", maps::NETS_V4, &"bans"))?;
            bans.push((
                net_v4(key.data().address.into(), key.prefix_len()),
                ban.expires_at,
            ));
        }
        for entry in &self.nets_v6 {
            let (key, ban) = entry.map_err(failed("list", maps::NETS_V6, &"bans"))?;
            bans.push((
                net_v6(key.data().address.into(), key.prefix_len()),
                ban.expires_at,
            ));
        }
        Ok(bans)
    }

    /// Never drop `network`.
    pub fn allow(&mut self, network: &IpNet, origin: AllowOrigin) -> Result<(), XdpError> {
        let value = Allow {
            origin: origin as u32,
        };
        let network = network.trunc();
        let is_new = self.allowed.insert(network);
        if is_new {
            self.announce_allowed()?;
        }
        match network {
            IpNet::V4(net) => self.allow_v4.insert(&net_key_v4(net), value, ANY),
            IpNet::V6(net) => self.allow_v6.insert(&net_key_v6(net), value, ANY),
        }
        .or_else(|source| {
            if is_new {
                self.allowed.remove(&network);
                self.announce_allowed()?;
            }
            Err(full_or_failed(
                "allow",
                allow_map(&network),
                &network,
                source,
            ))
        })
    }

    /// Drop `network` again where it is banned; one that was not allowed is no error.
    pub fn disallow(&mut self, network: &IpNet) -> Result<(), XdpError> {
        let network = network.trunc();
        match network {
            IpNet::V4(net) => self.allow_v4.remove(&net_key_v4(net)),
            IpNet::V6(net) => self.allow_v6.remove(&net_key_v6(net)),
        }
        .map(|()| true)
        .or_else(absent_is_fine)
        .map_err(failed("disallow", allow_map(&network), &network))?;
        self.allowed.remove(&network);
        self.announce_allowed()
    }

    /// Every network on the allow list.
    pub fn allowed(&self) -> Result<Vec<IpNet>, XdpError> {
        let mut allowed = Vec::new();
        for key in self.allow_v4.keys() {
            let key = key.map_err(failed("list", maps::ALLOW_V4, &"networks"))?;
            allowed.push(net_v4(key.data().address.into(), key.prefix_len()));
        }
        for key in self.allow_v6.keys() {
            let key = key.map_err(failed("list", maps::ALLOW_V6, &"networks"))?;
            allowed.push(net_v6(key.data().address.into(), key.prefix_len()));
        }
        Ok(allowed)
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

    /// Says how many entries the allow maps have, or are about to have.
    fn announce_allowed(&mut self) -> Result<(), XdpError> {
        let is_v4 = |network: &&IpNet| matches!(network, IpNet::V4(_));
        let v4 = entries(self.allowed.iter().filter(is_v4).count());
        let v6 = entries(self.allowed.len()) - v4;
        self.announce(|settings| (settings.allow_v4, settings.allow_v6) = (v4, v6))
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

pub(super) fn typed<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, XdpError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or(XdpError::Missing { what: "map", name })?;
    T::try_from(map).map_err(failed("open", name, &"the map"))
}

/// A map has at most `u32::MAX` entries.
fn entries(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn count<K: Pod, V: Pod>(
    trie: &LpmTrie<MapData, K, V>,
    map: &'static str,
) -> Result<u32, XdpError> {
    let mut entries = 0;
    for key in trie.keys() {
        key.map_err(failed("count", map, &"entries"))?;
        entries += 1;
    }
    Ok(entries)
}

pub(super) fn failed(
    operation: &'static str,
    map: &'static str,
    subject: &dyn ToString,
) -> impl FnOnce(MapError) -> XdpError + use<> {
    let subject = subject.to_string();
    move |source| XdpError::Map {
        operation,
        subject,
        map,
        source: Box::new(source),
    }
}

/// A full hash says E2BIG, a full trie ENOSPC (kernel/bpf/hashtab.c, `lpm_trie.c`).
fn full_or_failed(
    operation: &'static str,
    map: &'static str,
    network: &IpNet,
    source: MapError,
) -> XdpError {
    let errno = match &source {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    };
    match errno.map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::E2BIG | nix::errno::Errno::ENOSPC) => XdpError::Full {
            map,
            subject: network.to_string(),
        },
        _ => failed(operation, map, network)(source),
    }
}

/// Turns "there was none" into `false`.
pub(super) fn absent_is_fine(error: MapError) -> Result<bool, MapError> {
    match error {
        MapError::KeyNotFound => Ok(false),
        MapError::SyscallError(ref call)
            if call.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(false)
        }
        other => Err(other),
    }
}

/// Whether the trie has this very network: a look-up finds the longest that
/// covers it, whose value tells its own length.
fn holds<K: Pod>(trie: &LpmTrie<MapData, K, NetBan>, key: &Key<K>) -> bool {
    trie.get(key, 0)
        .is_ok_and(|ban| ban.prefix_len == key.prefix_len())
}

fn allow_map(network: &IpNet) -> &'static str {
    match network {
        IpNet::V4(_) => maps::ALLOW_V4,
        IpNet::V6(_) => maps::ALLOW_V6,
    }
}

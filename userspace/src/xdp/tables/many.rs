//! Many bans at once.

use aya::{
    Pod,
    maps::{HashMap, IterableMap as _, MapData},
    sys::SyscallError,
};
use ipnet::IpNet;
use nicban_ebpf::abi::{AddressV4, Ban, NetworkV6, maps};

use super::{
    ANY, Tables,
    access::{failed, full_or_failed, there},
    indexes::{banned_v4, banned_v6, end_of, may_v4, may_v6},
};
use crate::{
    target::Place,
    xdp::{
        XdpError, bulk,
        helper::Helper,
        keys::{net_v4, net_v6, upper_half},
    },
};

impl Tables {
    /// Puts many bans in, or moves their ends, as [`Self::put`] does one. After an error some
    /// of them may be in, and others not.
    pub fn put_all(&mut self, bans: &[(IpNet, u64)]) -> Result<(), XdpError> {
        let (mut v4, mut v6) = (Chunk::default(), Chunk::default());
        for (network, expires_at) in bans {
            let ban = Ban {
                expires_at: *expires_at,
            };
            match Place::of(network.trunc(), self.ipv6_prefix) {
                Place::HashV4(address) => v4.push(*network, AddressV4 { address }, ban),
                Place::HashV6(address) => v6.push(*network, upper_half(address), ban),
                Place::TrieV4 { .. } | Place::TrieV6 { .. } => self.put(network, *expires_at)?,
            }
        }
        self.put_v4(&v4)?;
        self.put_v6(&v6)
    }

    /// Takes many bans out, as [`Self::remove`] does one. After an error some of them may be
    /// gone, and others not.
    pub fn remove_all(&mut self, networks: &[IpNet]) -> Result<(), XdpError> {
        let (mut v4, mut v6) = (Chunk::default(), Chunk::default());
        let ban = Ban { expires_at: 0 };
        for network in networks {
            match Place::of(network.trunc(), self.ipv6_prefix) {
                Place::HashV4(address) => v4.push(*network, AddressV4 { address }, ban),
                Place::HashV6(address) => v6.push(*network, upper_half(address), ban),
                Place::TrieV4 { .. } | Place::TrieV6 { .. } => self.remove(network)?,
            }
        }
        self.remove_v4(&v4)?;
        self.remove_v6(&v6)
    }

    fn put_v4(&mut self, chunk: &Chunk<AddressV4>) -> Result<(), XdpError> {
        self.expect_end(chunk.first_end())?;
        self.resize_v4(chunk.keys.len())?;
        let keys: Vec<u32> = chunk.keys.iter().copied().map(key_v4).collect();
        let (bans, helper) = (&mut self.bans_v4, &mut self.helper);
        let may = |key| may_v4(&self.allowed, key);
        let write = || chunk.put(bans, maps::BANS_V4, helper);
        self.index_v4.put_all(&keys, may, write)
    }

    fn put_v6(&mut self, chunk: &Chunk<NetworkV6>) -> Result<(), XdpError> {
        self.expect_end(chunk.first_end())?;
        self.resize_v6(chunk.keys.len())?;
        let keys: Vec<u64> = chunk.keys.iter().copied().map(key_v6).collect();
        let (bans, helper) = (&mut self.bans_v6, &mut self.helper);
        let may = |key| may_v6(&self.allowed, key, self.ipv6_prefix);
        let write = || chunk.put(bans, maps::BANS_V6, helper);
        self.index_v6.put_all(&keys, may, write)
    }

    fn remove_v4(&mut self, chunk: &Chunk<AddressV4>) -> Result<(), XdpError> {
        let keys: Vec<u32> = chunk.keys.iter().copied().map(key_v4).collect();
        let bans = &mut self.bans_v4;
        self.index_v4
            .remove_all(&keys, || chunk.remove(bans, maps::BANS_V4))
    }

    fn remove_v6(&mut self, chunk: &Chunk<NetworkV6>) -> Result<(), XdpError> {
        let keys: Vec<u64> = chunk.keys.iter().copied().map(key_v6).collect();
        let bans = &mut self.bans_v6;
        self.index_v6
            .remove_all(&keys, || chunk.remove(bans, maps::BANS_V6))
    }

    /// Every ban in the maps, with its end in ns of `CLOCK_BOOTTIME`.
    pub fn bans(&self) -> Result<Vec<(IpNet, u64)>, XdpError> {
        let mut bans = Vec::new();
        self.each_v4(|key, ban| bans.push((banned_v4(key), ban.expires_at)))?;
        self.each_v6(|key, ban| bans.push((banned_v6(key, self.ipv6_prefix), ban.expires_at)))?;
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
}

impl Tables {
    /// Every address in the map of bans, by its key in the index.
    pub(super) fn each_v4(&self, mut each: impl FnMut(u32, Ban)) -> Result<(), XdpError> {
        let blank = AddressV4 { address: [0; 4] };
        each_entry(&self.bans_v4, maps::BANS_V4, blank, |key, ban| {
            each(key_v4(key), ban);
        })
    }

    /// As [`Self::each_v4`].
    pub(super) fn each_v6(&self, mut each: impl FnMut(u64, Ban)) -> Result<(), XdpError> {
        let blank = NetworkV6 { network: [0; 8] };
        each_entry(&self.bans_v6, maps::BANS_V6, blank, |key, ban| {
            each(key_v6(key), ban);
        })
    }
}

/// Bans of one hash map, as batches want them.
struct Chunk<K> {
    networks: Vec<IpNet>,
    keys: Vec<K>,
    bans: Vec<Ban>,
}

impl<K> Default for Chunk<K> {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            keys: Vec::new(),
            bans: Vec::new(),
        }
    }
}

impl<K: Pod + Send + Sync> Chunk<K> {
    fn push(&mut self, network: IpNet, key: K, ban: Ban) {
        self.networks.push(network);
        self.keys.push(key);
        self.bans.push(ban);
    }

    /// The first end of all, as the kernel knows ends.
    fn first_end(&self) -> u64 {
        let ends = self.bans.iter().map(|ban| end_of(ban.expires_at));
        ends.min().unwrap_or(u64::MAX)
    }

    fn put(
        &self,
        map: &mut HashMap<MapData, K, Ban>,
        name: &'static str,
        helper: &mut Helper,
    ) -> Result<(), XdpError> {
        let mut done = 0;
        while let Err(stopped) =
            bulk::update(helper, map.map(), &self.keys[done..], &self.bans[done..])
        {
            done = self.one_by_one(done, &stopped, |at| {
                let put = map.insert(self.keys[at], self.bans[at], ANY);
                put.map_err(|source| full_or_failed("put", name, &self.networks[at], source))
            })?;
        }
        Ok(())
    }

    fn remove(
        &self,
        map: &mut HashMap<MapData, K, Ban>,
        name: &'static str,
    ) -> Result<(), XdpError> {
        let mut done = 0;
        while let Err(stopped) = bulk::delete(map.map(), &self.keys[done..]) {
            done = self.one_by_one(done, &stopped, |at| {
                let removed = there(map.remove(&self.keys[at])).map(|_was_there| ());
                removed.map_err(failed("remove", name, &self.networks[at]))
            })?;
        }
        Ok(())
    }

    /// Goes on where a batch stopped, `done` of the chunk being done before it: with the entry
    /// that stopped it, whose own call tells what is wrong with it; where the kernel has no
    /// batches, with all. Returns how many are done now.
    fn one_by_one(
        &self,
        done: usize,
        stopped: &bulk::Stopped,
        one: impl FnMut(usize) -> Result<(), XdpError>,
    ) -> Result<usize, XdpError> {
        let at = done + stopped.done;
        let until = if stopped.is_unsupported() {
            self.keys.len()
        } else {
            at + 1
        };
        (at..until).try_for_each(one)?;
        Ok(until)
    }
}

pub(super) fn key_v4(key: AddressV4) -> u32 {
    u32::from_ne_bytes(key.address)
}

pub(super) fn key_v6(key: NetworkV6) -> u64 {
    u64::from_ne_bytes(key.network)
}

/// Every entry of a hash map: by batches, or one by one where the kernel has none.
fn each_entry<K: Pod>(
    map: &HashMap<MapData, K, Ban>,
    name: &'static str,
    blank: K,
    mut each: impl FnMut(K, Ban),
) -> Result<(), XdpError> {
    let stopped = match bulk::read(map.map(), (blank, Ban { expires_at: 0 }), &mut each) {
        Ok(()) => return Ok(()),
        Err(stopped) => stopped,
    };
    if !stopped.is_unsupported() {
        let error = SyscallError {
            call: "bpf_map_lookup_batch",
            io_error: stopped.why,
        };
        return Err(failed("list", name, &"bans")(error.into()));
    }
    for entry in map {
        let (key, ban) = entry.map_err(failed("list", name, &"bans"))?;
        each(key, ban);
    }
    Ok(())
}

//! Opening the kernel's maps, and what their errors mean.

use std::os::fd::AsFd as _;

use aya::{
    Ebpf, Pod,
    maps::{LpmTrie, Map, MapData, MapError, lpm_trie::Key},
};
use ipnet::IpNet;
use nicban_ebpf::abi::NetBan;

use crate::xdp::{
    XdpError,
    index::{Mapped, Shared},
};

pub(in crate::xdp) fn typed<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, XdpError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or(XdpError::Missing { what: "map", name })?;
    T::try_from(map).map_err(failed("open", name, &"the map"))
}

pub(super) fn mapped<L: Shared>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<Mapped<L>, XdpError> {
    let Some(Map::Array(array)) = ebpf.take_map(name) else {
        return Err(XdpError::Missing { what: "map", name });
    };
    let lines = array
        .info()
        .map_err(failed("size up", name, &"the map"))?
        .max_entries();
    Mapped::new(array.fd().as_fd(), lines).map_err(|source| XdpError::Memory { map: name, source })
}

/// Whether something was there to be removed.
pub(super) fn there(removed: Result<(), MapError>) -> Result<bool, MapError> {
    removed.map(|()| true).or_else(absent_is_fine)
}

pub(super) fn count<K: Pod, V: Pod>(
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

pub(in crate::xdp) fn failed(
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
pub(super) fn full_or_failed(
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
pub(in crate::xdp) fn absent_is_fine(error: MapError) -> Result<bool, MapError> {
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
pub(super) fn holds<K: Pod>(trie: &LpmTrie<MapData, K, NetBan>, key: &Key<K>) -> bool {
    trie.get(key, 0)
        .is_ok_and(|ban| ban.prefix_len == key.prefix_len())
}

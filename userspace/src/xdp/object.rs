//! Loading the program against the pinned maps.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, MapError, MapInfo},
    programs::Xdp,
};
use aya_log::EbpfLogger;
use nicban_ebpf::{
    abi::{self, maps},
    index::{LineV4, LineV6},
};
use tracing::warn;

use crate::target::Ipv6Prefix;

use super::{
    XdpError, capabilities,
    counters::Counters,
    index,
    keys::ipv6_mask,
    links::Links,
    tables::{Tables, failed},
};

/// The compiled program, in this binary.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/nicban-xdp"));

/// The maps of which the settings tell whether they are empty.
const TRIES: [&str; 4] = [maps::NETS_V4, maps::NETS_V6, maps::ALLOW_V4, maps::ALLOW_V6];

/// The maps that have an index in front of them.
const BANS: [&str; 2] = [maps::BANS_V4, maps::BANS_V6];

/// What the program is loaded with.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The folder of the pins, on a BPF file system.
    pub pin_dir: PathBuf,
    /// Entries of each of `bans_v4` and `bans_v6`.
    pub max_bans: u32,
    /// Entries of each of `nets_v4` and `nets_v6`, and as many networks that are allowed.
    pub max_nets: u32,
    /// Entries of each of `hits_v4` and `hits_v6`.
    pub max_offenders: u32,
    /// The length at which an IPv6 address is banned.
    pub ipv6_prefix: Ipv6Prefix,
    /// What the program itself logs.
    pub log: ProgramLog,
}

/// The least severe line that the program itself logs, with `aya_log`'s numbers.
/// What is below it, the verifier takes out of the program. It logs each drop at
/// [`ProgramLog::Debug`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProgramLog {
    /// Nothing, and at no cost.
    Off = 0,
    /// Errors.
    Error = 1,
    /// And warnings.
    Warn = 2,
    /// And what happens.
    Info = 3,
    /// And details.
    Debug = 4,
    /// And every packet.
    Trace = 5,
}

/// Passes the program's log lines on to the `log` crate.
pub type ProgramLogger = EbpfLogger<&'static dyn log::Log>;

/// The program, loaded but not attached anywhere yet.
pub struct Loaded {
    /// The ban, allow and settings maps.
    pub tables: Tables,
    /// The counters.
    pub counters: Counters,
    /// The program and its attachments.
    pub links: Links,
    /// What the program logs, where it logs at all: to be flushed now and then.
    pub log: Option<ProgramLogger>,
    /// Maps whose pins did not fit this build or configuration: they start empty,
    /// while packets are still judged by the old ones until [`Links::replace`].
    pub renewed: Vec<&'static str>,
}

/// Loads the program: against the maps that are pinned, or new ones where none are.
/// Capabilities that were missing are named.
pub fn load(options: &LoadOptions) -> Result<Loaded, XdpError> {
    try_load(options).map_err(capabilities::blame)
}

fn try_load(options: &LoadOptions) -> Result<Loaded, XdpError> {
    let pin_dir = &options.pin_dir;
    fs::create_dir_all(pin_dir).map_err(|source| XdpError::PinDir {
        path: pin_dir.clone(),
        source,
    })?;
    let renewed = unpin_what_does_not_fit(options)?;

    let log_level = options.log as u8;
    let pins: Vec<(&'static str, PathBuf)> = maps::ALL
        .into_iter()
        .map(|name| (name, pin_dir.join(name)))
        .collect();
    let mut loader = EbpfLoader::new();
    for (name, entries) in capacities(options) {
        loader.map_max_entries(name, entries);
    }
    for (name, pin) in &pins {
        loader.map_pin_path(name, pin.as_path());
    }
    loader.override_global(aya_log::LEVEL, &log_level, true);
    let mut ebpf = loader
        .load(OBJECT)
        .map_err(|error| XdpError::Load(Box::new(error)))?;

    let xdp = program(&mut ebpf)?;
    xdp.load().map_err(XdpError::program("load"))?;
    pin_program(xdp, pin_dir)?;

    let log = match options.log {
        ProgramLog::Off => None,
        _ => Some(EbpfLogger::init(&mut ebpf).map_err(|error| XdpError::Log(Box::new(error)))?),
    };
    let tables = Tables::take(&mut ebpf, options)?;
    let counters = Counters::take(&mut ebpf)?;
    Ok(Loaded {
        tables,
        counters,
        links: Links::new(ebpf, pin_dir),
        log,
        renewed,
    })
}

/// The program in an object.
pub(super) fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, XdpError> {
    ebpf.program_mut(abi::PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or(XdpError::Missing {
            what: "program",
            name: abi::PROGRAM,
        })
}

/// Room in the allow maps for what the host itself needs, on top of what is asked
/// for: its addresses, its gateways, the special networks.
const HOST_NETWORKS: u32 = 1024;

/// The sizes that the configuration sets.
fn capacities(options: &LoadOptions) -> [(&'static str, u32); 10] {
    [
        (maps::BANS_V4, options.max_bans),
        (maps::BANS_V6, options.max_bans),
        (maps::NETS_V4, options.max_nets),
        (maps::NETS_V6, options.max_nets),
        (
            maps::ALLOW_V4,
            options.max_nets.saturating_add(HOST_NETWORKS),
        ),
        (
            maps::ALLOW_V6,
            options.max_nets.saturating_add(HOST_NETWORKS),
        ),
        (
            maps::INDEX_V4,
            index::lines::<index::LineV4>(options.max_bans),
        ),
        (
            maps::INDEX_V6,
            index::lines::<index::LineV6>(options.max_bans),
        ),
        (maps::HITS_V4, options.max_offenders),
        (maps::HITS_V6, options.max_offenders),
    ]
}

/// Key and value sizes of this build, in bytes; a ring buffer has none.
fn layout(map: &str) -> (u32, u32) {
    const fn sizes<K, V>() -> (u32, u32) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the ABI's types are a few dozen bytes long"
        )]
        (size_of::<K>() as u32, size_of::<V>() as u32)
    }
    match map {
        maps::BANS_V4 => sizes::<abi::AddressV4, abi::Ban>(),
        maps::BANS_V6 => sizes::<abi::NetworkV6, abi::Ban>(),
        maps::NETS_V4 => sizes::<(u32, abi::AddressV4), abi::NetBan>(),
        maps::NETS_V6 => sizes::<(u32, abi::AddressV6), abi::NetBan>(),
        maps::ALLOW_V4 => sizes::<(u32, abi::AddressV4), abi::Allow>(),
        maps::ALLOW_V6 => sizes::<(u32, abi::AddressV6), abi::Allow>(),
        maps::INDEX_V4 => sizes::<u32, LineV4>(),
        maps::INDEX_V6 => sizes::<u32, LineV6>(),
        maps::HITS_V4 => sizes::<abi::OffenderV4, abi::Hits>(),
        maps::HITS_V6 => sizes::<abi::OffenderV6, abi::Hits>(),
        maps::STATS => sizes::<u32, abi::Stats>(),
        maps::SETTINGS => sizes::<u32, abi::Settings>(),
        _ => (0, 0),
    }
}

/// Removes the pins of maps that don't fit, so that new ones are made.
///
/// The attached program keeps the old maps alive and goes on judging by them
/// until it is itself replaced, which happens only once the new ones are filled.
fn unpin_what_does_not_fit(options: &LoadOptions) -> Result<Vec<&'static str>, XdpError> {
    let pin = |name: &str| options.pin_dir.join(name);
    let mut pinned = BTreeSet::new();
    let mut renewed = BTreeSet::new();
    for name in maps::ALL {
        if exists(&pin(name))? {
            pinned.insert(name);
            if !fits(name, &pin(name), options)? {
                renewed.insert(name);
            }
        }
    }
    let settings_fit = pinned.contains(maps::SETTINGS) && !renewed.contains(maps::SETTINGS);
    // At another length, the keys of IPv6 bans mean other networks.
    if !settings_fit || mask_in(&pin(maps::SETTINGS))? != ipv6_mask(options.ipv6_prefix) {
        renewed.extend([maps::BANS_V6, maps::NETS_V6, maps::SETTINGS]);
    }
    // A map that is not pinned begins empty as well: whoever made the others anew was killed
    // before it came to this one. The attached program may still have a map of that name.
    renewed.extend(maps::ALL.into_iter().filter(|name| !pinned.contains(name)));
    // The settings tell the attached program which of its own tries are empty.
    if TRIES.iter().any(|trie| renewed.contains(trie)) {
        renewed.insert(maps::SETTINGS);
    }
    // They also tell it what is in its own indexes, and those what is in its own maps of
    // bans. An index is made anew at each start, and only who reads the same settings learns
    // of that in time: the three go together.
    let derived = [maps::SETTINGS, maps::INDEX_V4, maps::INDEX_V6];
    let is_renewed = |map: &&str| renewed.contains(map);
    if derived.iter().any(is_renewed) || BANS.iter().any(is_renewed) {
        renewed.extend(derived);
    }
    let mut renewed: Vec<_> = renewed.intersection(&pinned).copied().collect();
    // The settings go first: without them, whoever loads next after a crash in
    // between renews what they speak of.
    renewed.sort_by_key(|name| *name != maps::SETTINGS);
    for name in &renewed {
        let pin = pin(name);
        warn!(
            map = name,
            "the pinned map does not fit this build or configuration: making a new one"
        );
        fs::remove_file(&pin).map_err(|source| XdpError::file("remove", &pin, source))?;
    }
    Ok(renewed)
}

/// Whether a pinned map has the layout of this build and the size of the configuration.
fn fits(name: &str, pin: &Path, options: &LoadOptions) -> Result<bool, XdpError> {
    let info = MapInfo::from_pin(pin).map_err(|source| unreadable(pin, source))?;
    let capacity = capacities(options)
        .into_iter()
        .find_map(|(map, entries)| (map == name).then_some(entries));
    Ok((info.key_size(), info.value_size()) == layout(name)
        && capacity.is_none_or(|entries| entries == info.max_entries()))
}

/// The mask of IPv6 bans in the pinned settings.
fn mask_in(pin: &Path) -> Result<[u8; 8], XdpError> {
    let data = MapData::from_pin(pin).map_err(|source| unreadable(pin, source))?;
    let settings: Array<MapData, abi::Settings> = Map::Array(data)
        .try_into()
        .map_err(|source| unreadable(pin, source))?;
    let settings = settings
        .get(&0, 0)
        .map_err(failed("read", maps::SETTINGS, &0))?;
    Ok(settings.ipv6_mask)
}

fn unreadable(pin: &Path, source: MapError) -> XdpError {
    XdpError::Pin {
        operation: "read",
        path: pin.to_owned(),
        source: Box::new(source),
    }
}

/// Pins the program as `prog`, over the pin of the one before.
fn pin_program(program: &mut Xdp, pin_dir: &Path) -> Result<(), XdpError> {
    // A dot can't stand in a name of the BPF file system (kernel/bpf/inode.c, bpf_lookup).
    let fresh = pin_dir.join("prog_new");
    if exists(&fresh)? {
        fs::remove_file(&fresh).map_err(|source| XdpError::file("remove", &fresh, source))?;
    }
    program
        .pin(&fresh)
        .map_err(|source| XdpError::pin("write", &fresh, source))?;
    fs::rename(&fresh, pin_dir.join("prog"))
        .map_err(|source| XdpError::file("rename", &fresh, source))
}

fn exists(pin: &Path) -> Result<bool, XdpError> {
    pin.try_exists()
        .map_err(|source| XdpError::file("look for", pin, source))
}

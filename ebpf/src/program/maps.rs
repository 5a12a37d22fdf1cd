//! The maps. Sizes are defaults: the loader sets those of the configuration.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, PerCpuHashMap, RingBuf},
    macros::btf_map,
};
use nicban_ebpf::abi::{
    AddressV4, AddressV6, Allow, Ban, Event, FAMILIES, Hits, NetBan, NetworkV6, OffenderV4,
    OffenderV6, Settings, Stats,
};
use nicban_ebpf::index::{LineV4, LineV6};

/// Memory goes to what is banned, not to what might be.
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

/// The engine writes lines in place. The kernel also aligns such an array to a page, and so
/// each line to a cache line.
const MAPPED: usize = BPF_F_MMAPABLE as usize;

const MAX_BANS: usize = 1 << 20;
const MAX_NETS: usize = 1 << 14;
const MAX_ALLOWED: usize = 1 << 12;
const MAX_OFFENDERS: usize = 1 << 16;
const MAX_LINES_V4: usize = 1 << 18;
const MAX_LINES_V6: usize = 1 << 19;
const EVENT_BYTES: usize = 1 << 18;

#[btf_map(name = "bans_v4")]
pub(crate) static BANS_V4: HashMap<AddressV4, Ban, MAX_BANS, ON_DEMAND> = HashMap::new();
#[btf_map(name = "bans_v6")]
pub(crate) static BANS_V6: HashMap<NetworkV6, Ban, MAX_BANS, ON_DEMAND> = HashMap::new();

#[btf_map(name = "nets_v4")]
pub(crate) static NETS_V4: LpmTrie<AddressV4, NetBan, MAX_NETS> = LpmTrie::new();
#[btf_map(name = "nets_v6")]
pub(crate) static NETS_V6: LpmTrie<AddressV6, NetBan, MAX_NETS> = LpmTrie::new();

#[btf_map(name = "allow_v4")]
pub(crate) static ALLOW_V4: LpmTrie<AddressV4, Allow, MAX_ALLOWED> = LpmTrie::new();
#[btf_map(name = "allow_v6")]
pub(crate) static ALLOW_V6: LpmTrie<AddressV6, Allow, MAX_ALLOWED> = LpmTrie::new();

#[btf_map(name = "index_v4")]
pub(crate) static INDEX_V4: Array<LineV4, MAX_LINES_V4, MAPPED> = Array::new();
#[btf_map(name = "index_v6")]
pub(crate) static INDEX_V6: Array<LineV6, MAX_LINES_V6, MAPPED> = Array::new();

// Made beforehand: to make one takes the kernel microseconds, in the middle of a flood.
#[btf_map(name = "hits_v4")]
pub(crate) static HITS_V4: PerCpuHashMap<OffenderV4, Hits, MAX_OFFENDERS> = PerCpuHashMap::new();
#[btf_map(name = "hits_v6")]
pub(crate) static HITS_V6: PerCpuHashMap<OffenderV6, Hits, MAX_OFFENDERS> = PerCpuHashMap::new();

#[btf_map(name = "stats")]
pub(crate) static STATS: PerCpuArray<Stats, { FAMILIES as usize }> = PerCpuArray::new();

#[btf_map(name = "settings")]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();

#[btf_map(name = "events")]
pub(crate) static EVENTS: RingBuf<Event, EVENT_BYTES> = RingBuf::new();

//! The kernel/user ABI: each map's name, key and value, as the kernel lays them out.
//!
//! Keys and values are plain integers and byte arrays in `repr(C)`, without
//! padding: the kernel compares and hashes keys as bytes, and padding would be
//! whatever the stack held. Addresses stand in network byte order.

/// The program's name, and that of its pin.
pub const PROGRAM: &str = "nicban";

/// Names of the maps, and of their pins.
pub mod maps {
    /// Exact IPv4 bans: HASH of [`super::AddressV4`] to [`super::Ban`].
    pub const BANS_V4: &str = "bans_v4";
    /// IPv6 bans by network of the configured length: HASH of [`super::NetworkV6`] to [`super::Ban`].
    pub const BANS_V6: &str = "bans_v6";
    /// IPv4 networks: `LPM_TRIE` of [`super::AddressV4`] to [`super::NetBan`].
    pub const NETS_V4: &str = "nets_v4";
    /// IPv6 networks of another length: `LPM_TRIE` of [`super::AddressV6`] to [`super::NetBan`].
    pub const NETS_V6: &str = "nets_v6";
    /// Never dropped: `LPM_TRIE` of [`super::AddressV4`] to [`super::Allow`].
    pub const ALLOW_V4: &str = "allow_v4";
    /// Never dropped: `LPM_TRIE` of [`super::AddressV6`] to [`super::Allow`].
    pub const ALLOW_V6: &str = "allow_v6";
    /// Drops by offender: `PERCPU_HASH` of [`super::OffenderV4`] to [`super::Hits`].
    pub const HITS_V4: &str = "hits_v4";
    /// Drops by offender: `PERCPU_HASH` of [`super::OffenderV6`] to [`super::Hits`].
    pub const HITS_V6: &str = "hits_v6";
    /// What stands in front of `bans_v4`: ARRAY of [`LineV4`](crate::index::LineV4).
    pub const INDEX_V4: &str = "index_v4";
    /// What stands in front of `bans_v6`: ARRAY of [`LineV6`](crate::index::LineV6).
    pub const INDEX_V6: &str = "index_v6";
    /// Verdicts by family: `PERCPU_ARRAY` of [`super::Stats`], indexed by [`super::Family`].
    pub const STATS: &str = "stats";
    /// What the daemon tells the program: ARRAY of one [`super::Settings`].
    pub const SETTINGS: &str = "settings";
    /// Sampled drops: RINGBUF of [`super::Event`].
    pub const EVENTS: &str = "events";

    /// All of them.
    pub const ALL: [&str; 13] = [
        BANS_V4, BANS_V6, NETS_V4, NETS_V6, ALLOW_V4, ALLOW_V6, INDEX_V4, INDEX_V6, HITS_V4,
        HITS_V6, STATS, SETTINGS, EVENTS,
    ];
}

/// An IPv4 address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressV4 {
    /// Its octets.
    pub address: [u8; 4],
}

/// An IPv6 address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressV6 {
    /// Its octets.
    pub address: [u8; 16],
}

/// The upper 64 bits of an IPv6 address, masked to the length at which IPv6 is banned.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkV6 {
    /// Their octets.
    pub network: [u8; 8],
}

/// A ban on one address, or one IPv6 network of the configured length.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    /// When it ends, in ns of `CLOCK_BOOTTIME`; 0 = never.
    pub expires_at: u64,
}

/// A ban on a network.
///
/// Aligned to 4 bytes because the kernel puts a trie's value right behind its
/// key's 4 or 16 octets (`trie_lookup_elem` in `kernel/bpf/lpm_trie.c`).
#[repr(C, packed(4))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetBan {
    /// When it ends, in ns of `CLOCK_BOOTTIME`; 0 = never.
    pub expires_at: u64,
    /// The network's own length in bits, which a look-up does not tell.
    pub prefix_len: u32,
}

/// An entry of the allow list.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow {
    /// Where it comes from, see [`AllowOrigin`].
    pub origin: u32,
}

/// Values of [`Allow::origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowOrigin {
    /// The host's own address, a gateway, link-local.
    Host = 1,
    /// The configuration.
    Config = 2,
    /// The operator.
    Operator = 3,
    /// The peer of the SSH session that attached.
    SshPeer = 4,
}

/// A banned IPv4 source that sends: the ban that caught it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffenderV4 {
    /// The ban's length in bits; 32 is one address.
    pub prefix_len: u32,
    /// The ban's network.
    pub address: [u8; 4],
}

/// A banned IPv6 source that sends: the ban that caught it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffenderV6 {
    /// The ban's length in bits.
    pub prefix_len: u32,
    /// The ban's network.
    pub address: [u8; 16],
}

/// What one CPU dropped, or would have dropped, of one offender: exactly, but in a dense
/// flood by samples, see [`Pace`].
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hits {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the Ethernet header on.
    pub bytes: u64,
}

/// Indices of [`maps::STATS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// ARP, LLDP, whatever is neither IPv4 nor IPv6, and frames too short to tell.
    Other = 0,
    /// IPv4.
    V4 = 1,
    /// IPv6.
    V6 = 2,
}

/// Entries of [`maps::STATS`].
pub const FAMILIES: u32 = 3;

/// One CPU's verdicts on one family, in packets unless the name says bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Passed: no ban.
    pub passed: u64,
    /// Dropped.
    pub dropped: u64,
    /// Bytes of the dropped, from the Ethernet header on; sampled as [`Hits`] are.
    pub dropped_bytes: u64,
    /// Passed in observe mode that enforce mode would have dropped.
    pub would_drop: u64,
    /// Banned, but on the allow list: passed.
    pub allowed: u64,
    /// Could not be parsed: passed.
    pub unparsed: u64,
    /// Dropped, or would have been, but not counted by offender: no room.
    pub untracked: u64,
    /// How drops are counted. Here, where a drop is at work anyway.
    pub pace: Pace,
}

/// What a CPU remembers of a family from drop to drop.
///
/// Counting each packet of a dense flood by its offender would cost the cache misses
/// that the index saved. So each CPU counts packets one by one as long as it has
/// credit, which comes back with time; then it counts one of [`SAMPLED`] on average,
/// for that many.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// The jiffy of `now`.
    pub jiffy: u64,
    /// The time at the first packet of that jiffy that was dropped, in ns of `CLOCK_BOOTTIME`.
    pub now: u64,
    /// Packets that may still be counted one by one, or are owed if it is negative.
    pub credit: i32,
    /// Packets to leave out before the next one is counted.
    pub skip: u32,
}

/// Packets that a sampled one stands for.
pub const SAMPLED: u32 = 64;

/// The credit of a CPU, and what it owes, at the most, in packets.
pub const CREDIT: i32 = 4096;

/// Credit comes back at one packet in 2 to this power ns: 61,035 packets/s.
pub const CREDIT_SHIFT: u32 = 14;

/// What the daemon tells the program.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// The mask of IPv6 bans' upper 64 bits, as octets in network byte order.
    pub ipv6_mask: [u8; 8],
    /// 1 drops, 0 only counts.
    pub enforce: u32,
    /// Entries in `nets_v4`; while it is 0, the trie is not looked up.
    pub nets_v4: u32,
    /// Entries in `nets_v6`.
    pub nets_v6: u32,
    /// Entries in `allow_v4`.
    pub allow_v4: u32,
    /// Entries in `allow_v6`.
    pub allow_v6: u32,
    /// A drop becomes an event when a random number AND this mask is 0;
    /// [`EVENTS_OFF`] writes none.
    pub event_mask: u32,
    /// An offender that has no counter gets one when a random number AND this mask
    /// is 0: with a crowded map, heavy hitters still get in (sample and hold;
    /// Estan and Varghese, "New directions in traffic measurement and
    /// accounting", SIGCOMM 2002).
    pub newcomer_mask: u32,
    /// Lines of the region of `index_v4` that is in use, see [`index`](crate::index);
    /// 0: none is, and `bans_v4` decides.
    pub index_v4: u32,
    /// The same of `index_v6`.
    pub index_v6: u32,
    /// The length of `ipv6_mask` in bits.
    pub ipv6_prefix: u32,
    /// Reserved, 0.
    pub reserved: u64,
    /// No ban that is in an index ends before this, in ns of `CLOCK_BOOTTIME`. Until
    /// then what an index holds is dropped; from then on `bans_v4` and `bans_v6` are
    /// asked whether it has ended.
    pub index_until: u64,
}

/// [`Settings::event_mask`] that writes no events.
pub const EVENTS_OFF: u32 = u32::MAX;

/// A sampled drop.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When, in ns of `CLOCK_BOOTTIME`.
    pub at: u64,
    /// The interface's index.
    pub interface: u32,
    /// The frame's length in bytes.
    pub length: u32,
    /// The source; an IPv4 source stands in the first 4 octets.
    pub source: [u8; 16],
    /// [`Family`].
    pub family: u32,
    /// The length in bits of the ban that caught it.
    pub prefix_len: u32,
    /// 1 dropped, 0 would have been.
    pub dropped: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

/// A type's size is the sum of its fields': it has no padding.
macro_rules! assert_layout {
    ($($type:ty = $size:expr;)+) => {
        $(const _: () = assert!(size_of::<$type>() == $size, "padding, or a changed layout");)+
    };
}

assert_layout! {
    AddressV4 = 4;
    AddressV6 = 16;
    NetworkV6 = 8;
    Ban = 8;
    NetBan = 8 + 4;
    Allow = 4;
    OffenderV4 = 4 + 4;
    OffenderV6 = 4 + 16;
    Hits = 2 * 8;
    Stats = 7 * 8 + 24;
    Settings = 8 + 10 * 4 + 2 * 8;
    Pace = 2 * 8 + 2 * 4;
    Event = 8 + 2 * 4 + 16 + 4 * 4;
}

#[cfg(feature = "user")]
mod pod {
    use super::{
        AddressV4, AddressV6, Allow, Ban, Event, Hits, NetBan, NetworkV6, OffenderV4, OffenderV6,
        Pace, Settings, Stats,
    };

    macro_rules! pod {
        ($($type:ty),+ $(,)?) => {
            $(
                // SAFETY: `repr(C)` of integers and octets, valid for every bit
                // pattern, and without padding (asserted above).
                unsafe impl aya::Pod for $type {}
            )+
        };
    }

    pod!(
        AddressV4,
        AddressV6,
        NetworkV6,
        Ban,
        NetBan,
        Allow,
        OffenderV4,
        OffenderV6,
        Hits,
        Stats,
        Settings,
        Pace,
        Event,
        crate::index::LineV4,
        crate::index::LineV6,
    );
}

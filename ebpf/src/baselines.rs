//! What the bench measures the XDP program beside: the least that a program can do,
//! one lookup in a kernel hash, and the source of a flood.
//!
//! An object of its own, so that nothing here changes the one that the daemon carries.
#![no_std]
#![no_main]
#![expect(
    clippy::inline_always,
    reason = "a BPF program has 512 bytes of stack, and each call costs"
)]
#![expect(
    clippy::needless_pass_by_value,
    missing_docs,
    unreachable_pub,
    reason = "the `xdp` macro wraps the program in a function that it defines"
)]

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, xdp_action},
    btf_maps::{Array, HashMap},
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_ns},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// As the program's own maps are.
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

/// The bench sets how many there are.
const ENTRIES: usize = 1 << 20;

/// IPv4 addresses, as they stand in a packet.
#[btf_map(name = "bare_v4")]
static BARE_V4: HashMap<u32, u64, ENTRIES, ON_DEMAND> = HashMap::new();

/// The first halves of IPv6 addresses, as they stand in a packet.
#[btf_map(name = "bare_v6")]
static BARE_V6: HashMap<u64, u64, ENTRIES, ON_DEMAND> = HashMap::new();

/// Whom a flood comes from, the first octet lowest: the IPv4 header's checksum, the
/// source, and the port that its packets go to, as they stand in a packet.
#[btf_map(name = "sources")]
static SOURCES: Array<u64, ENTRIES> = Array::new();

/// How many of the sources, from the first on, are the flood's. The bench sets it before
/// loading, as the next one.
#[unsafe(no_mangle)]
static SOURCE_COUNT: u32 = 1;

/// How many after those are innocent: one packet in [`INNOCENT_SHARE`] comes from them.
#[unsafe(no_mangle)]
static INNOCENT_COUNT: u32 = 0;

/// ns from one frame to the next; 0 for as fast as can be.
#[unsafe(no_mangle)]
static INTERVAL: u32 = 0;

/// When the next frame is due, in ns of the monotonic clock.
#[btf_map(name = "due")]
static DUE: Array<u64, 1> = Array::new();

/// ns that are made up for at most.
const BEHIND: u64 = 100_000;

/// Looks at the clock until a frame is due, at most: some microseconds.
const LOOKS: u32 = 128;

/// A power of two. The bench has the same number.
const INNOCENT_SHARE: u32 = 16;

const ETHER_TYPE: usize = 12;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const IPV4_CHECKSUM: usize = 14 + 10;
const IPV4_SOURCE: usize = 14 + 12;
const IPV6_SOURCE: usize = 14 + 8;
const UDP_DESTINATION: usize = 14 + 20 + 2;

/// Drops, and does nothing else.
#[xdp(frags)]
pub fn bare_drop(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Passes, and does nothing else.
#[xdp(frags)]
pub fn bare_pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Drops what one lookup in a kernel hash finds, by its IPv4 source.
#[xdp(frags)]
pub fn lookup_v4(ctx: XdpContext) -> u32 {
    if read::<u16>(&ctx, ETHER_TYPE) != Some(IPV4.to_be()) {
        return xdp_action::XDP_PASS;
    }
    let Some(source) = read::<u32>(&ctx, IPV4_SOURCE) else {
        return xdp_action::XDP_PASS;
    };
    match BARE_V4.get_ptr(source) {
        Some(_) => xdp_action::XDP_DROP,
        None => xdp_action::XDP_PASS,
    }
}

/// Drops what one lookup in a kernel hash finds, by the /64 of its IPv6 source.
#[xdp(frags)]
pub fn lookup_v6(ctx: XdpContext) -> u32 {
    if read::<u16>(&ctx, ETHER_TYPE) != Some(IPV6.to_be()) {
        return xdp_action::XDP_PASS;
    }
    let Some(source) = read::<u64>(&ctx, IPV6_SOURCE) else {
        return xdp_action::XDP_PASS;
    };
    match BARE_V6.get_ptr(source) {
        Some(_) => xdp_action::XDP_DROP,
        None => xdp_action::XDP_PASS,
    }
}

/// Gives a frame the address of one of the sources, by chance, and sends it.
#[xdp(frags)]
pub fn flood(ctx: XdpContext) -> u32 {
    wait_until_due();
    let Some(source) = SOURCES.get(sender()) else {
        return xdp_action::XDP_ABORTED;
    };
    let [checksum, upper, lower, port] = quarters(*source);
    let written = write(&ctx, IPV4_CHECKSUM, checksum)
        && write(&ctx, IPV4_SOURCE, [upper, lower])
        && write(&ctx, UDP_DESTINATION, port);
    if written {
        xdp_action::XDP_TX
    } else {
        xdp_action::XDP_ABORTED
    }
}

/// Keeps the interval on average: a late frame does not delay the ones after it.
#[inline(always)]
fn wait_until_due() {
    // SAFETY: as in `sender`.
    let interval = unsafe { core::ptr::read_volatile(&raw const INTERVAL) };
    if interval == 0 {
        return;
    }
    let Some(due) = DUE.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the pointer is to the value of an array's element, which is never freed;
    // one program sends at a time.
    let next = unsafe { *due };
    let mut now = 0;
    for _ in 0..LOOKS {
        // SAFETY: the helper has no precondition.
        now = unsafe { bpf_ktime_get_ns() };
        if now >= next {
            break;
        }
    }
    // SAFETY: as above.
    unsafe { *due = now.saturating_sub(BEHIND).max(next) + u64::from(interval) };
}

/// Whose turn it is.
#[inline(always)]
fn sender() -> u32 {
    // SAFETY: constants of the loaded program, which nothing writes; read as volatile
    // because the bench changes them between compiling and loading.
    let (sources, innocent) = unsafe {
        (
            core::ptr::read_volatile(&raw const SOURCE_COUNT),
            core::ptr::read_volatile(&raw const INNOCENT_COUNT),
        )
    };
    // SAFETY: the helper has no precondition.
    let chance = unsafe { bpf_get_prandom_u32() };
    if innocent != 0 && chance % INNOCENT_SHARE == 0 {
        // The lowest bits are spent; the others tell who of them.
        sources + scaled(chance, innocent)
    } else {
        scaled(chance, sources)
    }
}

/// A number below `count`, without a division.
#[inline(always)]
fn scaled(chance: u32, count: u32) -> u32 {
    ((u64::from(chance) * u64::from(count)) >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "cut out on purpose")]
#[inline(always)]
fn quarters(source: u64) -> [u16; 4] {
    [
        source as u16,
        (source >> 16) as u16,
        (source >> 32) as u16,
        (source >> 48) as u16,
    ]
}

/// A number as it stands in the frame.
#[inline(always)]
fn read<T: Copy>(ctx: &XdpContext, offset: usize) -> Option<T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: the octets lie before the packet's end, as just compared, and any octets
    // are a number; they need not be aligned.
    Some(unsafe { (start as *const T).read_unaligned() })
}

/// Puts a number into the frame as it is; says whether there was room.
#[inline(always)]
fn write<T: Copy>(ctx: &XdpContext, offset: usize, value: T) -> bool {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return false;
    }
    // SAFETY: as in `read`, and the program alone has the packet.
    unsafe { (start as *mut T).write_unaligned(value) };
    true
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lets GPL-compatible programs alone call some helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

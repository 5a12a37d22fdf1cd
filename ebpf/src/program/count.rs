//! What is counted: verdicts by family, drops by offender, samples of drops.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_ANY,
    btf_maps::PerCpuHashMap,
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_boot_ns, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use nicban_ebpf::abi::{EVENTS_OFF, Event, Family, Hits, OffenderV4, OffenderV6, Settings};

use super::maps::{EVENTS, HITS_V4, HITS_V6, STATS};

/// What became of a frame.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    /// No ban.
    Passed,
    /// Banned, with the frame's bytes.
    Dropped(u64),
    /// Banned, in observe mode.
    WouldDrop,
    /// Banned, but allowed.
    Allowed,
    /// Not understood.
    Unparsed,
}

/// A packet that a ban caught.
pub(crate) struct Packet<'a> {
    ctx: &'a XdpContext,
    source: [u8; 16],
    /// Its family.
    pub(crate) family: Family,
    /// The frame's bytes, fragments included.
    pub(crate) length: u64,
}

impl<'a> Packet<'a> {
    /// The packet of a context.
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext, family: Family, source: [u8; 16]) -> Self {
        Self {
            ctx,
            source,
            family,
            // SAFETY: the context is the one that the kernel gave the program.
            length: unsafe { bpf_xdp_get_buff_len(ctx.as_ptr().cast()) },
        }
    }
}

/// Counts a verdict.
#[inline(always)]
pub(crate) fn verdict(family: Family, verdict: Verdict) {
    let Some(stats) = STATS.get_ptr_mut(family as u32) else {
        return;
    };
    // SAFETY: the entry is this CPU's own, and XDP programs of one CPU don't
    // interrupt each other: nobody else writes it.
    let stats = unsafe { &mut *stats };
    match verdict {
        Verdict::Passed => stats.passed += 1,
        Verdict::Dropped(bytes) => {
            stats.dropped += 1;
            stats.dropped_bytes += bytes;
        }
        Verdict::WouldDrop => stats.would_drop += 1,
        Verdict::Allowed => stats.allowed += 1,
        Verdict::Unparsed => stats.unparsed += 1,
    }
}

/// Counts a packet of an IPv4 offender.
#[inline(always)]
pub(crate) fn hit_v4(settings: &Settings, offender: OffenderV4, packet: &Packet<'_>) {
    hit(settings, &HITS_V4, offender, packet);
}

/// Counts a packet of an IPv6 offender.
#[inline(always)]
pub(crate) fn hit_v6(settings: &Settings, offender: OffenderV6, packet: &Packet<'_>) {
    hit(settings, &HITS_V6, offender, packet);
}

#[inline(always)]
fn hit<K: Copy, const N: usize, const F: usize>(
    settings: &Settings,
    hits: &PerCpuHashMap<K, Hits, N, F>,
    offender: K,
    packet: &Packet<'_>,
) {
    if let Some(known) = hits.get_ptr_mut(offender) {
        // SAFETY: the value is this CPU's own, see `verdict`.
        let known = unsafe { &mut *known };
        known.packets += 1;
        known.bytes += packet.length;
        return;
    }
    let first = Hits {
        packets: 1,
        bytes: packet.length,
    };
    let chosen = settings.newcomer_mask == 0 || random() & settings.newcomer_mask == 0;
    // Not only where there is none: another CPU may have put the offender in since
    // the look-up. This CPU's part of its value is zero then, and `first` replaces
    // that part alone.
    let counted = chosen && hits.insert(offender, first, u64::from(BPF_ANY)).is_ok();
    if !counted && let Some(stats) = STATS.get_ptr_mut(packet.family as u32) {
        // SAFETY: see `verdict`.
        unsafe { (*stats).untracked += 1 };
    }
}

/// Reports one drop in a while, where somebody watches.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel counts interfaces and frames' bytes in 32 bits"
)]
#[inline(always)]
pub(crate) fn event(settings: &Settings, packet: &Packet<'_>, prefix_len: u32, dropped: bool) {
    if settings.event_mask == EVENTS_OFF || random() & settings.event_mask != 0 {
        return;
    }
    let event = Event {
        // SAFETY: the helper has no precondition.
        at: unsafe { bpf_ktime_get_boot_ns() },
        interface: packet.ctx.ingress_ifindex() as u32,
        length: packet.length as u32,
        source: packet.source,
        family: packet.family as u32,
        prefix_len,
        dropped: u32::from(dropped),
        reserved: 0,
    };
    // A full ring means a watcher that can't keep up: it misses samples, and the
    // counters miss nothing.
    let _full = EVENTS.output(event, 0);
}

#[inline(always)]
fn random() -> u32 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_prandom_u32() }
}

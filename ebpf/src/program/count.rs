//! What is counted: verdicts by family, drops by offender, samples of drops.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_ANY,
        xdp_action::{XDP_DROP, XDP_PASS},
        xdp_md,
    },
    btf_maps::PerCpuHashMap,
    helpers::{bpf_ktime_get_boot_ns, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use nicban_ebpf::abi::{EVENTS_OFF, Event, Family, Hits, OffenderV4, OffenderV6, Settings, Stats};

use super::{
    lookup::{halves, join},
    maps::{EVENTS, HITS_V4, HITS_V6, SETTINGS, STATS},
    pace::{self, random},
};

/// Why a frame passes.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    /// No ban.
    Passed,
    /// Banned, but allowed.
    Allowed,
    /// Not understood.
    Unparsed,
}

/// Lets a frame pass.
#[inline(always)]
pub(crate) fn pass(family: Family, verdict: Verdict) -> u32 {
    if let Some(stats) = stats(family) {
        match verdict {
            Verdict::Passed => stats.passed += 1,
            Verdict::Allowed => stats.allowed += 1,
            Verdict::Unparsed => stats.unparsed += 1,
        }
    }
    XDP_PASS
}

/// Drops a frame from an IPv4 source that a ban caught, or says that it would be.
#[inline(always)]
pub(crate) fn drop_v4(
    ctx: &XdpContext,
    settings: &Settings,
    stats: &mut Stats,
    source: u32,
    offender: OffenderV4,
) -> u32 {
    let weight = pace::weight(&mut stats.pace);
    if weight != 0 {
        let address = u32::from_ne_bytes(offender.address);
        hit_v4(ctx.ctx, address, offender.prefix_len, weight);
    }
    debug!(ctx, "banned {:i}/{}", offender.address, offender.prefix_len);
    if settings.event_mask != EVENTS_OFF {
        event(
            ctx.ctx,
            u64::from(source),
            0,
            Family::V4 as u32,
            offender.prefix_len,
        );
    }
    drop_or_observe(settings, stats)
}

/// As [`drop_v4`], from an IPv6 source.
#[inline(always)]
pub(crate) fn drop_v6(
    ctx: &XdpContext,
    settings: &Settings,
    stats: &mut Stats,
    source: impl FnOnce() -> [u64; 2],
    offender: OffenderV6,
) -> u32 {
    let weight = pace::weight(&mut stats.pace);
    if weight != 0 {
        let [network, host] = halves(offender.address);
        hit_v6(ctx.ctx, network, host, offender.prefix_len, weight);
    }
    debug!(ctx, "banned {:i}/{}", offender.address, offender.prefix_len);
    if settings.event_mask != EVENTS_OFF {
        let [upper, lower] = source();
        event(
            ctx.ctx,
            upper,
            lower,
            Family::V6 as u32,
            offender.prefix_len,
        );
    }
    drop_or_observe(settings, stats)
}

#[inline(always)]
fn drop_or_observe(settings: &Settings, stats: &mut Stats) -> u32 {
    if settings.enforce == 0 {
        stats.would_drop += 1;
        return XDP_PASS;
    }
    stats.dropped += 1;
    XDP_DROP
}

/// As [`stats`], with its pace brought up to the present.
#[inline(always)]
pub(crate) fn present(family: Family) -> Option<&'static mut Stats> {
    let stats = stats(family)?;
    pace::follow(&mut stats.pace);
    Some(stats)
}

/// This CPU's verdicts on a family.
#[inline(always)]
pub(crate) fn stats(family: Family) -> Option<&'static mut Stats> {
    let stats = STATS.get_ptr_mut(family as u32)?;
    // SAFETY: the entry is this CPU's own, and XDP programs of one CPU don't
    // interrupt each other: nobody else writes it. The map outlives the program.
    Some(unsafe { &mut *stats })
}

/// A frame's bytes, fragments included.
#[inline(always)]
fn length(ctx: &XdpContext) -> u64 {
    // SAFETY: the context is the one that the kernel gave the program.
    unsafe { bpf_xdp_get_buff_len(ctx.as_ptr().cast()) }
}

/// Counts packets of an IPv4 offender: as many as this one stands for.
#[inline(never)]
fn hit_v4(ctx: *mut xdp_md, address: u32, prefix_len: u32, weight: u32) {
    let offender = OffenderV4 {
        prefix_len,
        address: address.to_ne_bytes(),
    };
    hit(
        Family::V4,
        &HITS_V4,
        offender,
        &XdpContext::new(ctx),
        weight,
    );
}

/// Counts packets of an IPv6 offender: as many as this one stands for.
#[inline(never)]
fn hit_v6(ctx: *mut xdp_md, upper: u64, lower: u64, prefix_len: u32, weight: u32) {
    let offender = OffenderV6 {
        prefix_len,
        address: join(upper, lower),
    };
    hit(
        Family::V6,
        &HITS_V6,
        offender,
        &XdpContext::new(ctx),
        weight,
    );
}

#[inline(always)]
fn hit<K: Copy, const N: usize, const F: usize>(
    family: Family,
    hits: &PerCpuHashMap<K, Hits, N, F>,
    offender: K,
    ctx: &XdpContext,
    weight: u32,
) {
    let packets = u64::from(weight);
    let sample = Hits {
        packets,
        bytes: packets * length(ctx),
    };
    let Some(settings) = SETTINGS.get(0) else {
        return;
    };
    let mut stats = stats(family);
    if settings.enforce != 0
        && let Some(stats) = &mut stats
    {
        stats.dropped_bytes += sample.bytes;
    }
    if let Some(known) = hits.get_ptr_mut(offender) {
        // SAFETY: the value is this CPU's own, see `stats`.
        let known = unsafe { &mut *known };
        known.packets += sample.packets;
        known.bytes += sample.bytes;
        return;
    }
    let mask = settings.newcomer_mask;
    let chosen = mask == 0 || random() & mask == 0;
    // Not only where there is none: another CPU may have put the offender in since
    // the look-up. This CPU's part of its value is zero then, and `sample` replaces
    // that part alone.
    let counted = chosen && hits.insert(offender, sample, u64::from(BPF_ANY)).is_ok();
    if !counted && let Some(stats) = &mut stats {
        stats.untracked += packets;
    }
}

/// Reports one drop in a while, where somebody watches. An IPv4 source stands in `upper`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel counts interfaces and frames' bytes in 32 bits"
)]
#[inline(never)]
fn event(ctx: *mut xdp_md, upper: u64, lower: u64, family: u32, prefix_len: u32) {
    let ctx = XdpContext::new(ctx);
    let Some(settings) = SETTINGS.get(0) else {
        return;
    };
    if random() & settings.event_mask != 0 {
        return;
    }
    let event = Event {
        // SAFETY: the helper has no precondition.
        at: unsafe { bpf_ktime_get_boot_ns() },
        interface: ctx.ingress_ifindex() as u32,
        length: length(&ctx) as u32,
        source: join(upper, lower),
        family,
        prefix_len,
        dropped: u32::from(settings.enforce != 0),
        reserved: 0,
    };
    // A full ring means a watcher that can't keep up: it misses samples, and the
    // counters miss nothing.
    let _full = EVENTS.output(event, 0);
}

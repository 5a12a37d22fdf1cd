//! The XDP program: drops what comes from a banned source, passes all else.
//!
//! An honest packet pays for the parser and one hash miss. Everything further
//! (expiry, allow list, counters per offender, events) happens on a hit.
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

mod program {
    pub(crate) mod count;
    pub(crate) mod frame;
    pub(crate) mod lookup;
    pub(crate) mod maps;
}

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use aya_log_ebpf::debug;
use nicban_ebpf::{
    abi::{Family, Settings},
    parse::{self, Source},
};
use program::{
    count::{self, Verdict},
    frame::XdpFrame,
    lookup, maps,
};

/// The verdict on one frame. Whatever goes wrong, the frame passes.
#[xdp(frags)]
pub fn nicban(ctx: XdpContext) -> u32 {
    let Some(settings) = maps::SETTINGS.get(0) else {
        return xdp_action::XDP_PASS;
    };
    match parse::source(&XdpFrame::new(&ctx)) {
        Source::V4(address) => match lookup::offender_v4(settings, address) {
            None => pass(Family::V4),
            Some(_) if lookup::allowed_v4(settings, address) => allow(Family::V4),
            Some(offender) => {
                let packet = count::Packet::new(&ctx, Family::V4, lookup::widen(address));
                count::hit_v4(settings, offender, &packet);
                debug!(
                    &ctx,
                    "banned {:i}/{}", offender.address, offender.prefix_len
                );
                drop_or_observe(settings, &packet, offender.prefix_len)
            }
        },
        Source::V6(address) => match lookup::offender_v6(settings, address) {
            None => pass(Family::V6),
            Some(_) if lookup::allowed_v6(settings, address) => allow(Family::V6),
            Some(offender) => {
                let packet = count::Packet::new(&ctx, Family::V6, address);
                count::hit_v6(settings, offender, &packet);
                debug!(
                    &ctx,
                    "banned {:i}/{}", offender.address, offender.prefix_len
                );
                drop_or_observe(settings, &packet, offender.prefix_len)
            }
        },
        Source::Other => pass(Family::Other),
        Source::Unparsed(family) => {
            count::verdict(family, Verdict::Unparsed);
            xdp_action::XDP_PASS
        }
    }
}

#[inline(always)]
fn pass(family: Family) -> u32 {
    count::verdict(family, Verdict::Passed);
    xdp_action::XDP_PASS
}

#[inline(always)]
fn allow(family: Family) -> u32 {
    count::verdict(family, Verdict::Allowed);
    xdp_action::XDP_PASS
}

#[inline(always)]
fn drop_or_observe(settings: &Settings, packet: &count::Packet<'_>, prefix_len: u32) -> u32 {
    let enforce = settings.enforce != 0;
    count::event(settings, packet, prefix_len, enforce);
    if enforce {
        count::verdict(packet.family, Verdict::Dropped(packet.length));
        xdp_action::XDP_DROP
    } else {
        count::verdict(packet.family, Verdict::WouldDrop);
        xdp_action::XDP_PASS
    }
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

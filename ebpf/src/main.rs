//! The XDP program: drops what comes from a banned source, passes all else.
//!
//! An honest packet pays for the parser and one line of an index. What the index does not
//! settle goes to the [maps](program::judge).
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
    pub(crate) mod index;
    pub(crate) mod judge;
    pub(crate) mod lookup;
    pub(crate) mod maps;
    pub(crate) mod pace;
}

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use nicban_ebpf::{
    abi::Family,
    parse::{self, Source},
};
use program::{
    count::{self, Verdict},
    frame::Linear,
    index::{self, Word},
    judge, lookup, maps,
};

/// The verdict on one frame. Whatever goes wrong, the frame passes.
#[xdp(frags)]
pub fn nicban(ctx: XdpContext) -> u32 {
    let Some(settings) = maps::SETTINGS.get(0) else {
        return xdp_action::XDP_PASS;
    };
    match parse::source(&Linear::new(&ctx)) {
        Source::V4(source) => match index::of_v4(settings, source) {
            Word::Free if settings.nets_v4 == 0 => count::pass(Family::V4, Verdict::Passed),
            Word::Free => judge::v4(ctx.ctx, source, judge::NONE),
            Word::Banned(stats) => {
                count::drop_v4(&ctx, settings, stats, source, lookup::exact_v4(source))
            }
            Word::Ask => judge::v4(ctx.ctx, source, judge::ASK),
        },
        Source::V6 { upper, lower_at } => {
            let network = upper & u64::from_ne_bytes(settings.ipv6_mask);
            let lower = || parse::lower_half(&Linear::new(&ctx), lower_at);
            match index::of_v6(settings, network) {
                Word::Free if settings.nets_v6 == 0 => count::pass(Family::V6, Verdict::Passed),
                Word::Free => judge::v6(ctx.ctx, upper, lower(), judge::NONE),
                Word::Banned(stats) => {
                    let offender = lookup::exact_v6(settings, network);
                    count::drop_v6(&ctx, settings, stats, || [upper, lower()], offender)
                }
                Word::Ask => judge::v6(ctx.ctx, upper, lower(), judge::ASK),
            }
        }
        Source::Other => count::pass(Family::Other, Verdict::Passed),
        Source::Unparsed(_) => judge::scattered(ctx.ctx),
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

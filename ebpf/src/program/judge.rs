//! The whole verdict: what no index settles. Apart from the rest, so that most packets
//! don't pay for its registers.

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use nicban_ebpf::{
    abi::Family,
    parse::{self, Source},
};

use super::{
    count::{self, Verdict},
    frame::Scattered,
    lookup,
    maps::SETTINGS,
};

/// The maps of exact bans are to be asked.
pub(crate) const ASK: u32 = 1;
/// An index has answered for them.
pub(crate) const NONE: u32 = 0;

/// The verdict on a frame whose headers are not all in its linear part.
#[inline(never)]
pub(crate) fn scattered(ctx: *mut xdp_md) -> u32 {
    let context = XdpContext::new(ctx);
    let frame = Scattered::new(&context);
    match parse::source(&frame) {
        Source::V4(address) => v4(ctx, address, ASK),
        Source::V6 { upper, lower_at } => v6(ctx, upper, parse::lower_half(&frame, lower_at), ASK),
        Source::Other => count::pass(Family::Other, Verdict::Passed),
        Source::Unparsed(family) => count::pass(family, Verdict::Unparsed),
    }
}

/// The verdict on an IPv4 source, in network byte order. `exact` is [`ASK`] or [`NONE`].
#[inline(never)]
pub(crate) fn v4(ctx: *mut xdp_md, source: u32, exact: u32) -> u32 {
    let Some(settings) = SETTINGS.get(0) else {
        return XDP_PASS;
    };
    let address = source.to_ne_bytes();
    match lookup::offender_v4(settings, address, exact == ASK) {
        None => count::pass(Family::V4, Verdict::Passed),
        Some(_) if lookup::allowed_v4(settings, address) => {
            count::pass(Family::V4, Verdict::Allowed)
        }
        Some(offender) => match count::present(Family::V4) {
            Some(stats) => count::drop_v4(&XdpContext::new(ctx), settings, stats, source, offender),
            None => XDP_PASS,
        },
    }
}

/// The verdict on an IPv6 source, its halves in network byte order; `exact` as in [`v4`].
#[inline(never)]
pub(crate) fn v6(ctx: *mut xdp_md, upper: u64, lower: u64, exact: u32) -> u32 {
    let Some(settings) = SETTINGS.get(0) else {
        return XDP_PASS;
    };
    let source = [upper, lower];
    match lookup::offender_v6(settings, source, exact == ASK) {
        None => count::pass(Family::V6, Verdict::Passed),
        Some(_) if lookup::allowed_v6(settings, source) => {
            count::pass(Family::V6, Verdict::Allowed)
        }
        Some(offender) => match count::present(Family::V6) {
            Some(stats) => {
                count::drop_v6(&XdpContext::new(ctx), settings, stats, || source, offender)
            }
            None => XDP_PASS,
        },
    }
}

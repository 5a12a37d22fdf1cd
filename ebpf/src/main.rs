//! x
#![no_std]
#![allow(missing_docs, unreachable_pub)]
#![no_main]
use aya_ebpf::{bindings::xdp_action, btf_maps::HashMap, macros::{btf_map, xdp}, programs::XdpContext};
/// k
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Key { #[allow(missing_docs)] pub address: u32 }
/// v
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Value { #[allow(missing_docs)] pub expires_at: u64 }
#[btf_map]
static BANS_V4: HashMap<Key, Value, 1024, 1> = HashMap::new();
/// p
#[xdp(frags)]
pub fn nicban(ctx: XdpContext) -> u32 {
    let d = ctx.data();
    if unsafe { BANS_V4.get(Key { address: d as u32 }) }.is_some() { return xdp_action::XDP_DROP; }
    xdp_action::XDP_PASS
}
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

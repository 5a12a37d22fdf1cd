//! A frame as XDP shows it: two pointers to its linear part, and a helper for the rest.

use aya_ebpf::{EbpfContext as _, helpers::bpf_xdp_load_bytes, programs::XdpContext};
use nicban_ebpf::parse::Frame;

/// The linear part of a frame, which the program reads by itself. Most drivers put the
/// headers there.
pub(crate) struct Linear {
    data: usize,
    data_end: usize,
}

impl Linear {
    /// The linear part of a context's frame.
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self {
            data: ctx.data(),
            data_end: ctx.data_end(),
        }
    }
}

impl Frame for Linear {
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        const { assert!(N.is_multiple_of(2), "octets are read by twos") };
        let start = self.data + offset;
        if start + N > self.data_end {
            return None;
        }
        let mut octets = [0; N];
        // By twos: every field that is read has an even length and offset, but four and
        // more octets are not aligned to their number behind an Ethernet header.
        for (index, pair) in octets.chunks_exact_mut(2).enumerate() {
            // SAFETY: `start` is within the packet and N octets lie before its end, as
            // just compared, and the kernel puts frames at even addresses. The verifier
            // proves of the compiled program what it has to hold on this machine.
            let read = unsafe { *((start + 2 * index) as *const u16) };
            pair.copy_from_slice(&read.to_ne_bytes());
        }
        Some(octets)
    }
}

/// A whole frame, read by a helper: some drivers leave headers, or a part of them, in a
/// fragment (mlx5 with striding receive queues).
pub(crate) struct Scattered<'a> {
    ctx: &'a XdpContext,
}

impl<'a> Scattered<'a> {
    /// The frame of a context.
    #[inline(always)]
    pub(crate) const fn new(ctx: &'a XdpContext) -> Self {
        Self { ctx }
    }
}

impl Frame for Scattered<'_> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the headers are within the first hundred octets"
    )]
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut octets = [0; N];
        // SAFETY: the context is the one that the kernel gave the program, and the
        // helper writes N octets at most to an array of N.
        let status = unsafe {
            bpf_xdp_load_bytes(
                self.ctx.as_ptr().cast(),
                offset as u32,
                octets.as_mut_ptr().cast(),
                N as u32,
            )
        };
        (status == 0).then_some(octets)
    }
}

//! A frame as XDP shows it: two pointers, and a helper for what lies in fragments.

use aya_ebpf::{EbpfContext as _, helpers::bpf_xdp_load_bytes, programs::XdpContext};
use nicban_ebpf::parse::Frame;

/// A frame. Most drivers put its headers in the linear part, which the program
/// reads by itself; some leave them, or a part, in a fragment (mlx5 with striding
/// receive queues), where a helper reads them.
pub(crate) struct XdpFrame<'a> {
    ctx: &'a XdpContext,
    data: usize,
    data_end: usize,
}

impl<'a> XdpFrame<'a> {
    /// The frame of a context.
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Self {
        Self {
            ctx,
            data: ctx.data(),
            data_end: ctx.data_end(),
        }
    }

    /// Octets that the linear part does not hold in whole.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the headers are within the first hundred octets"
    )]
    #[inline(always)]
    fn scattered<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
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

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let start = self.data + offset;
        if start + N > self.data_end {
            return self.scattered(offset);
        }
        // SAFETY: `start` is within the packet and N octets lie before its end,
        // as just compared; an octet array has no alignment. The verifier
        // proves the same of the compiled program.
        Some(unsafe { *(start as *const [u8; N]) })
    }
}

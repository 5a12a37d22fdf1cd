//! A frame as XDP shows it: two pointers.

use aya_ebpf::programs::XdpContext;
use nicban_ebpf::parse::Frame;

/// The linear part of a frame. Headers are in it even where the frame has fragments.
pub(crate) struct XdpFrame {
    data: usize,
    data_end: usize,
}

impl XdpFrame {
    /// The frame of a context.
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self {
            data: ctx.data(),
            data_end: ctx.data_end(),
        }
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let start = self.data + offset;
        if start + N > self.data_end {
            return None;
        }
        // SAFETY: `start` is within the packet and N octets lie before its end,
        // as just compared; an octet array has no alignment. The verifier
        // proves the same of the compiled program.
        Some(unsafe { *(start as *const [u8; N]) })
    }
}

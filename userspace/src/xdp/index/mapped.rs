//! The kernel's memory of an array, in this process's address space.

#![expect(unsafe_code, reason = "the map edge: the memory is the kernel's")]

use std::{
    io,
    marker::PhantomData,
    ops::Deref,
    os::fd::{AsRawFd as _, BorrowedFd},
    slice,
};

use memmap2::{MmapOptions, MmapRaw};

use super::{Line, LineV4, LineV6};

/// The lines of an array that was made with `BPF_F_MMAPABLE`.
pub(in super::super) struct Mapped<L> {
    memory: MmapRaw,
    lines: usize,
    of: PhantomData<L>,
}

/// Types for which every bit pattern is valid and which are changed through shared
/// references: lines of atomic words.
pub(in super::super) trait Shared: Line {}
impl Shared for LineV4 {}
impl Shared for LineV6 {}

impl<L: Shared> Mapped<L> {
    /// Maps an array of `lines` lines.
    pub(in super::super) fn new(array: BorrowedFd<'_>, lines: u32) -> io::Result<Self> {
        let lines = lines as usize;
        let memory = MmapOptions::new()
            .len(lines * size_of::<L>())
            .map_raw(array.as_raw_fd())?;
        Ok(Self {
            memory,
            lines,
            of: PhantomData,
        })
    }
}

impl<L: Shared> Deref for Mapped<L> {
    type Target = [L];

    fn deref(&self) -> &[L] {
        // SAFETY: the mapping begins at a page, which aligns it for lines, is `lines`
        // lines long, and lasts as long as `self`. The kernel's programs and this
        // process touch it by whole words alone, which `Shared` types have: atomic
        // ones, for which every bit pattern is valid.
        unsafe { slice::from_raw_parts(self.memory.as_ptr().cast(), self.lines) }
    }
}

//! Many entries of a map by one system call.
//!
//! `BPF_MAP_UPDATE_BATCH` and its like came with Linux 5.6 (`generic_map_update_batch` in
//! kernel/bpf/syscall.c, `__htab_map_lookup_and_delete_batch` in kernel/bpf/hashtab.c). aya
//! does not have them. A call stops at the first entry that the kernel refuses, and tells how
//! many came before it.
#![expect(
    unsafe_code,
    reason = "bpf(2) has no safe wrapper for batches in any of the libraries"
)]

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    ptr,
};

use aya::{Pod, maps::MapData};

use super::helper::Helper;

/// Commands of bpf(2) (`enum bpf_cmd` in include/uapi/linux/bpf.h).
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
enum Command {
    Lookup = 24,
    Update = 26,
    Delete = 27,
}

/// `union bpf_attr`, its member `batch`; `from` and `next` are its `in_batch` and `out_batch`.
#[repr(C)]
#[derive(Debug, Default)]
struct Batch {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    /// Entries that there are or that fit; then entries done.
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

const _: () = assert!(size_of::<Batch>() == 56);

/// A batch that the kernel did not finish.
#[derive(Debug)]
pub(super) struct Stopped {
    /// Entries done, counted from the first.
    pub(super) done: usize,
    /// Why the next one was not.
    pub(super) why: io::Error,
}

impl Stopped {
    /// Whether the kernel knows no batches, or not of this kind of map: then nothing was done,
    /// and nothing will ever be.
    pub(super) fn is_unsupported(&self) -> bool {
        /// `ENOTSUPP`, which is the kernel's own (include/linux/errno.h).
        const ENOTSUPP: i32 = 524;
        self.done == 0
            && matches!(
                self.why.raw_os_error(),
                Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS | ENOTSUPP)
            )
    }
}

/// Inserts or overwrites entries: each key with the value at the same place. Both have the
/// layout of the map's own.
///
/// After it stopped, some of the entries behind [`Stopped::done`] may be in, too.
pub(super) fn update<K: Pod + Send + Sync, V: Pod + Send + Sync>(
    helper: &mut Helper,
    map: &MapData,
    keys: &[K],
    values: &[V],
) -> Result<(), Stopped> {
    let fd = duplicate(map)?;
    let entries = keys.len().min(values.len());
    let (keys, values) = (keys.to_vec(), values.to_vec());
    let work = move |from: usize, to: usize| {
        let (keys, values) = (&keys[from..to], &values[from..to]);
        let mut batch = Batch {
            keys: address(keys),
            values: address(values),
            count: count(to - from),
            ..Batch::default()
        };
        // SAFETY: the kernel reads `count` keys and values of the map's own sizes, which are
        // those of `K` and `V` (`Pod`, as aya's typed maps check when they are made); both
        // slices live until the call returns and are that long.
        unsafe { call(Command::Update, fd.as_fd(), &mut batch) }
    };
    helper.share(entries, Box::new(work))
}

/// Takes entries out. It stops at one that is not there (`ENOENT`).
pub(super) fn delete<K: Pod>(map: &MapData, keys: &[K]) -> Result<(), Stopped> {
    let mut batch = Batch {
        keys: address(keys),
        count: count(keys.len()),
        ..Batch::default()
    };
    // SAFETY: as in `update`; there are no values.
    unsafe { call(Command::Delete, map.fd().as_fd(), &mut batch) }
}

/// Entries that one call reads at the least.
const READ: usize = 16_384;

/// Gives every entry of a hash map to `each`; `blank` fills the room for them. What is changed
/// meanwhile may be missed. [`Stopped::done`] is what `each` got.
pub(super) fn read<K: Pod, V: Pod>(
    map: &MapData,
    blank: (K, V),
    mut each: impl FnMut(K, V),
) -> Result<(), Stopped> {
    let (mut keys, mut values) = (vec![blank.0; READ], vec![blank.1; READ]);
    // Where a hash map is to be read on: the number of a bucket.
    let (mut from, mut to) = (0_u32, 0_u32);
    let (mut is_first, mut done) = (true, 0);
    loop {
        let mut batch = Batch {
            from: if is_first {
                0
            } else {
                ptr::from_ref(&from) as u64
            },
            next: ptr::from_mut(&mut to) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: count(keys.len()),
            ..Batch::default()
        };
        // SAFETY: the kernel writes at most `count` keys and values of the map's own sizes, see
        // `update`, into vectors of that length, and a `u32` to `next`; it reads a `u32`
        // from `from` unless that is null. All of them live until the call returns.
        let result = unsafe { call(Command::Lookup, map.fd().as_fd(), &mut batch) };
        let found = batch.count as usize;
        let stop = match result {
            Ok(()) => None,
            Err(stopped) => match stopped.why.raw_os_error() {
                // The last bucket has been read.
                Some(libc::ENOENT) => Some(Ok(())),
                // One bucket holds more than there is room for.
                Some(libc::ENOSPC) => {
                    keys.resize(keys.len() * 2, blank.0);
                    values.resize(values.len() * 2, blank.1);
                    continue;
                }
                _ => Some(Err(Stopped { done, ..stopped })),
            },
        };
        if !matches!(stop, Some(Err(_))) {
            let entries = keys.iter().zip(&values).take(found);
            entries.for_each(|(key, value)| each(*key, *value));
            done += found;
        }
        if let Some(stop) = stop {
            return stop;
        }
        (from, is_first) = (to, false);
    }
}

/// # Safety
/// What the attributes point to is as the command wants it, see bpf(2).
unsafe fn call(command: Command, map: BorrowedFd<'_>, batch: &mut Batch) -> Result<(), Stopped> {
    batch.map_fd = map.as_raw_fd().cast_unsigned();
    let wanted = batch.count;
    if wanted == 0 {
        return Ok(());
    }
    // SAFETY: the attributes are a `bpf_attr` as far as their size tells, and the kernel takes
    // shorter ones; the caller vouches for what they point to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            ptr::from_mut(batch),
            size_of::<Batch>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    let why = io::Error::last_os_error();
    // Where it knows no batches, the kernel leaves the count as it was.
    let done = if batch.count == wanted {
        0
    } else {
        batch.count as usize
    };
    Err(Stopped { done, why })
}

/// The map, for as long as a helper needs it.
fn duplicate(map: &MapData) -> Result<OwnedFd, Stopped> {
    let fd = map.fd().as_fd().try_clone_to_owned();
    fd.map_err(|why| Stopped { done: 0, why })
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

fn count(entries: usize) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_batches_is_told_from_one_that_refuses() {
        let stopped = |done, errno| Stopped {
            done,
            why: io::Error::from_raw_os_error(errno),
        };
        assert!(stopped(0, libc::EINVAL).is_unsupported());
        assert!(stopped(0, 524).is_unsupported());
        assert!(!stopped(3, libc::EINVAL).is_unsupported());
        for errno in [libc::E2BIG, libc::EPERM, libc::ENOENT, libc::ENOMEM] {
            assert!(!stopped(0, errno).is_unsupported());
        }
    }
}

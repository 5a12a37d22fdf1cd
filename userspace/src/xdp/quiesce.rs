//! Waiting until no program runs any more that ran before.

#![expect(
    unsafe_code,
    reason = "the map edge: a system call that has no wrapper"
)]

use std::{io, thread, time::Duration};

use tracing::debug;

/// `MEMBARRIER_CMD_GLOBAL` (include/uapi/linux/membarrier.h).
const GLOBAL: libc::c_long = 1;

/// Where the kernel has no such call: far longer than a packet takes.
const LONG_ENOUGH: Duration = Duration::from_millis(50);

/// Waits until every program that was judging a packet has returned, so that none still
/// acts on what it read before.
///
/// Programs run within RCU read-side sections, and the call waits for all of those that
/// have begun (`synchronize_rcu` in kernel/sched/membarrier.c). It takes some 10 ms. A
/// kernel for isolated processors (`nohz_full`) refuses it; then time has to do.
pub(super) fn wait_for_readers() {
    // SAFETY: the call takes numbers alone and touches no memory of this process.
    let waited = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if waited != 0 {
        debug!(error = %io::Error::last_os_error(), "cannot wait for the programs that run");
        thread::sleep(LONG_ENOUGH);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "how long it takes is what is asked"
    )]
    fn it_comes_back() {
        let begun = Instant::now();
        wait_for_readers();
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

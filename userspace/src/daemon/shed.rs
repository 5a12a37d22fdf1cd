//! `CAP_PERFMON` is given up once the program is loaded.

use std::io;

use anyhow::Context as _;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Gives up `CAP_PERFMON`, for good, for the thread that calls. Every thread has to:
/// the kernel keeps capabilities by thread (capabilities(7)), and a new one has those
/// of its maker.
///
/// The verifier asks for it when a program is loaded, and nothing does afterwards.
/// Beside `CAP_BPF` it would let whoever takes over the daemon trace the kernel and
/// read all its memory (`bpf_base_func_proto` in kernel/bpf/helpers.c).
pub fn perfmon() -> anyhow::Result<()> {
    without(CapabilitySet::PERFMON).context("cannot give up CAP_PERFMON")
}

fn without(capability: CapabilitySet) -> io::Result<()> {
    let mut held = capabilities(None)?;
    if !held.permitted.contains(capability) {
        return Ok(());
    }
    held.effective.remove(capability);
    held.permitted.remove(capability);
    // And so from the ambient ones.
    held.inheritable.remove(capability);
    Ok(set_capabilities(None, held)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_for_the_thread_and_its_children_and_nobody_else() {
        let has = || capabilities(None).unwrap().permitted;
        let before = has();
        std::thread::spawn(move || {
            perfmon().unwrap();
            let left = before.difference(CapabilitySet::PERFMON);
            assert_eq!(has(), left);
            std::thread::spawn(move || assert_eq!(has(), left))
                .join()
                .unwrap();
            perfmon().unwrap();
        })
        .join()
        .unwrap();
        assert_eq!(has(), before);
    }
}

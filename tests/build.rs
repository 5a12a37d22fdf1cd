//! Builds what the bench measures the XDP program beside, to `OUT_DIR/nicban-baselines`.

#[path = "../ebpf/build/object.rs"]
mod object;

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    object::build("baselines")
}

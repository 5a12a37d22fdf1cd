//! Builds the XDP program, which the daemon carries as bytes, to `OUT_DIR/nicban-xdp`.

#[path = "../ebpf/build/object.rs"]
mod object;

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    object::build("program")
}

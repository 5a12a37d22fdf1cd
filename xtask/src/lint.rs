//! Formatting, what nicban is built from, and clippy, on the host's crates and on the BPF
//! programs; a warning is an error.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{fuzz, process, setup, toolchain};

/// Runs every lint; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    setup::ensure(setup::Scope::Lint)?;
    say("rustfmt");
    process::run(process::cargo().args(["fmt", "--all", "--check"]))?;
    process::run(process::cargo().args(["fmt", "--check", "--manifest-path", fuzz::MANIFEST]))?;
    say("licences, duplicates and sources");
    for manifest in ["Cargo.toml", fuzz::MANIFEST] {
        process::run(
            process::cargo()
                .args(["deny", "--manifest-path", manifest])
                .args(["--config", "deny.toml", "--log-level", "error"])
                .args(["check", "--hide-inclusion-graph"])
                .args(["bans", "licenses", "sources"])
                .env("PATH", toolchain::path()?),
        )?;
    }
    say("clippy, host");
    process::run(
        process::cargo()
            .args(["clippy", "--workspace", "--all-targets", "--quiet"])
            .args(["--", "-D", "warnings"]),
    )?;
    say("clippy, nicban without AWS");
    process::run(
        process::cargo()
            .args(["clippy", "--package", "nicban", "--no-default-features"])
            .args(["--all-targets", "--quiet", "--", "-D", "warnings"]),
    )?;
    for object in ["program", "baselines"] {
        say(&format!("clippy, for the BPF target: {object}"));
        process::run(&mut bpf(object)?)?;
    }
    Ok(())
}

/// Clippy as an object is built: for the BPF target, with its own toolchain. The feature
/// asks for the object.
fn bpf(feature: &str) -> Result<Command> {
    let name = toolchain::choose()?;
    let mut command = process::cargo_of(&name);
    let has_clippy = Command::new(command.get_program())
        .args(command.get_args())
        .args(["clippy", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_clippy {
        bail!(
            "the toolchain {name} has no clippy: `rustup component add clippy --toolchain {name}`"
        );
    }
    command
        .args([
            "clippy",
            "--package",
            "nicban-ebpf",
            "--features",
            feature,
            "--quiet",
        ])
        .args(["--target", TARGET, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(process::target().join("bpf"))
        .args(["--", "-D", "warnings"])
        .env("PATH", toolchain::path()?)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        );
    Ok(command)
}

/// The BPF target of this machine's byte order.
const TARGET: &str = if cfg!(target_endian = "big") {
    "bpfeb-unknown-none"
} else {
    "bpfel-unknown-none"
};

fn say(what: &str) {
    println!("lint: {what}");
}

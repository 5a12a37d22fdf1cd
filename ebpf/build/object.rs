//! Builds a BPF object of this package, for the build scripts of the crates that carry one.

#[path = "../../xtask/src/toolchain.rs"]
mod toolchain;

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain};

/// Set for the second run; names the toolchain.
const INNER: &str = "NICBAN_BUILD_EBPF_WITH";

/// Builds the binaries that the feature asks for, to `OUT_DIR`.
pub(crate) fn build(feature: &str) -> Result<ExitCode> {
    match env::var(INNER) {
        Ok(toolchain) => compile(feature, &toolchain),
        Err(_) => run_again(),
    }
}

/// Runs this program again in the environment that the BPF build needs.
///
/// aya-build and the cargo that it starts read it from the process, and to set
/// variables in a running process is unsafe. Set in `.cargo/config.toml`, it
/// would reach every host compiler as well.
fn run_again() -> Result<ExitCode> {
    println!("cargo:rerun-if-env-changed={}", toolchain::OVERRIDE);
    // The versions and the profile that the program is built with.
    for file in ["../Cargo.lock", "../Cargo.toml"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let toolchain = toolchain::choose()?;
    if toolchain::linker()?.is_none() {
        bail!("bpf-linker is missing: run `cargo xtask setup`");
    }
    let status = Command::new(env::current_exe().context("cannot name this program")?)
        .env(INNER, toolchain)
        // Lets a stable toolchain build `core` from its sources.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", toolchain::path()?)
        // aya-build makes a warning of each line that cargo says.
        .env("CARGO_TERM_QUIET", "true")
        .status()
        .context("cannot run this program again")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn compile(feature: &str, toolchain: &str) -> Result<ExitCode> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?;
    let ebpf = PathBuf::from(manifest)
        .parent()
        .context("the crate is not the workspace's root")?
        .join("ebpf");
    let ebpf = ebpf.to_str().context("the workspace's path is not UTF-8")?;
    aya_build::build_ebpf(
        [Package {
            name: "nicban-ebpf",
            root_dir: ebpf,
            features: &[feature],
            ..Package::default()
        }],
        Toolchain::Custom(toolchain),
    )?;
    Ok(ExitCode::SUCCESS)
}

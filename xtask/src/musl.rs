//! How a program of the workspace gets to be static.
//!
//! glibc, linked statically too, asks the processor for its features with dozens of
//! `cpuid` at each start, and in a virtual machine each of them leaves it. musl asks for
//! none. See docs/decisions/0019-static-action.md.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{process, toolchain};

/// musl's C compiler, in Debian's musl-tools.
pub(crate) const LINKER: &str = "musl-gcc";

/// The stack unwinder that std asks for, from GCC 11: from 12 on it wants a function that only
/// glibc has (`_dl_find_object`).
pub(crate) const UNWINDER: &str = if cfg!(target_arch = "aarch64") {
    "/usr/lib/gcc/aarch64-linux-gnu/11/libgcc_eh.a"
} else {
    "/usr/lib/gcc/x86_64-linux-gnu/11/libgcc_eh.a"
};

/// The target's triple.
fn triple() -> String {
    format!("{ARCH}-unknown-linux-musl")
}

/// Whether the compiler that runs this comes with a std for musl, as it does after
/// `rustup target add`. Otherwise std is built from its sources.
pub(crate) fn has_std() -> bool {
    let said = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", &triple()])
        .stderr(Stdio::null())
        .output();
    said.is_ok_and(|said| {
        let folder = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        said.status.success() && Path::new(&folder).is_dir()
    })
}

/// Builds a binary and returns where it is.
pub(crate) fn build(package: &str, binary: &str, profile: &str) -> Result<PathBuf> {
    let mut cargo = if has_std() {
        let mut cargo = process::cargo();
        cargo.arg("build");
        set(&mut cargo, "RUSTFLAGS", "-Crelocation-model=static");
        cargo
    } else {
        with_std_from_source()?
    };
    process::run(cargo.args([
        "--quiet",
        &format!("--package={package}"),
        &format!("--bin={binary}"),
        &format!("--profile={profile}"),
        &format!("--target={}", triple()),
    ]))?;
    Ok(process::target().join(triple()).join(profile).join(binary))
}

/// A `cargo build` that makes std as well, linked by Debian's musl.
fn with_std_from_source() -> Result<Command> {
    let folder = process::target().join("musl");
    let unwinder = folder.join("libunwind.a");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&unwinder, format!("INPUT({UNWINDER})\n")))
        .with_context(|| format!("cannot write {}", unwinder.display()))?;
    let mut cargo = process::cargo_of(&toolchain::choose()?);
    cargo.args(["build", "-Zbuild-std=std,panic_abort"]);
    set(&mut cargo, "LINKER", LINKER);
    // musl-gcc makes no static PIE, and the libraries that rustup would bring are not there.
    let flags = format!(
        "-Crelocation-model=static -Clink-self-contained=no -L{}",
        folder.display()
    );
    set(&mut cargo, "RUSTFLAGS", &flags);
    Ok(cargo)
}

/// Gives cargo a setting for this target alone.
fn set(cargo: &mut Command, key: &str, value: &str) {
    let target = triple().replace('-', "_").to_uppercase();
    cargo.env(format!("CARGO_TARGET_{target}_{key}"), value);
}

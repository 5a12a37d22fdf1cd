//! The Rust toolchain that builds the XDP program.
//!
//! `userspace/build.rs` includes this file as well, so that what `setup`
//! provides and what the build uses cannot drift apart: std and anyhow only.

use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Names a toolchain to use whatever else is there.
pub(crate) const OVERRIDE: &str = "NICBAN_EBPF_TOOLCHAIN";

/// The name under which `setup` links Debian's toolchain.
pub(crate) const LINKED: &str = "nicban-ebpf";

/// A rustup toolchain that holds the sources of `core`.
///
/// The BPF target has no prebuilt `core`, so a toolchain without the sources
/// cannot build the program, nightly or not. In order: [`OVERRIDE`], `nightly`,
/// [`LINKED`]; without rustup, the compiler that is on `PATH`.
pub(crate) fn choose() -> Result<String> {
    if let Some(name) = env::var_os(OVERRIDE).filter(|name| !name.is_empty()) {
        let name = name
            .into_string()
            .ok()
            .with_context(|| format!("{OVERRIDE} is not UTF-8"))?;
        if !has_core(&name) {
            bail!("{OVERRIDE} names the toolchain {name}, which is missing or has no rust-src");
        }
        return Ok(name);
    }
    for name in ["nightly", LINKED] {
        if has_core(name) {
            return Ok(name.to_owned());
        }
    }
    bail!(
        "no toolchain here can build the XDP program: run `cargo xtask setup` \
         (or `rustup toolchain install nightly --component rust-src`)"
    );
}

/// Whether the toolchain is there with the sources of `core`.
pub(crate) fn has_core(name: &str) -> bool {
    let output = rustc(name)
        .args(["--print", "sysroot"])
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else { return false };
    if !output.status.success() {
        return false;
    }
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    sysroot.join("lib/rustlib/src/rust/library/core").is_dir()
}

/// The toolchain's `rustc`; without rustup, the one on `PATH`.
pub(crate) fn rustc(name: &str) -> Command {
    if has_rustup() {
        let mut command = Command::new("rustup");
        command
            .args(["run", name, "rustc"])
            .env("RUSTUP_AUTO_INSTALL", "0");
        command
    } else {
        Command::new("rustc")
    }
}

/// Whether toolchains are rustup's.
pub(crate) fn has_rustup() -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join("rustup").is_file()))
}

/// Where `setup` installs programs that no package brings.
pub(crate) fn tools() -> Option<PathBuf> {
    Some(cache()?.join("tools"))
}

/// What nicban's builds and tests keep beyond one clone.
pub(crate) fn cache() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("nicban"))
}

/// `PATH` with the folders in which `setup` puts, or finds, `bpf-linker`.
///
/// rustc calls the linker by its name alone.
pub(crate) fn path() -> Result<OsString> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let inherited = env::var_os("PATH").unwrap_or_default();
    let folders = tools()
        .into_iter()
        .map(|root| root.join("bin"))
        .chain(env::split_paths(&inherited))
        .chain(cargo_home.into_iter().map(|home| home.join("bin")));
    env::join_paths(folders).context("PATH holds a folder whose name has a colon")
}

/// Where the build finds `bpf-linker`.
pub(crate) fn linker() -> Result<Option<PathBuf>> {
    Ok(env::split_paths(&path()?)
        .map(|folder| folder.join("bpf-linker"))
        .find(|file| file.is_file()))
}

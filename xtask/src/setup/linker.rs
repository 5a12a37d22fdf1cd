//! bpf-linker, which makes one BPF object of LLVM bitcode.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{process, toolchain};

/// The version that the program is built and tested with.
pub(super) const VERSION: &str = "0.13.0";

/// The majors of LLVM that this version can be built with.
const LLVMS: std::ops::RangeInclusive<u32> = 21..=23;

/// Whether the build would find the right version.
pub(super) fn present() -> Result<bool> {
    let Some(file) = toolchain::linker()? else {
        return Ok(false);
    };
    // One whose LLVM library is gone does not start, and counts as missing.
    let said = process::output(Command::new(file).arg("--version"));
    Ok(said.is_ok_and(|said| said.trim() == format!("bpf-linker {VERSION}")))
}

/// The packages that it is compiled with and which are missing.
pub(super) fn packages(llvm: u32) -> Result<Vec<&'static str>> {
    if !LLVMS.contains(&llvm) {
        bail!(
            "the toolchain's compiler is built on LLVM {llvm}, and bpf-linker {VERSION} \
             reads {} to {}: name another one in {}",
            LLVMS.start(),
            LLVMS.end(),
            toolchain::OVERRIDE
        );
    }
    if prefix(llvm).join("bin/llvm-config").is_file() {
        return Ok(Vec::new());
    }
    Ok(match llvm {
        21 => vec!["llvm-21-dev", "libpolly-21-dev"],
        22 => vec!["llvm-22-dev", "libpolly-22-dev"],
        _ => vec!["llvm-23-dev", "libpolly-23-dev"],
    })
}

/// Compiles it into nicban's own folder, so that no other version is replaced.
pub(super) fn install(llvm: u32) -> Result<()> {
    let root = toolchain::tools().context("neither HOME nor XDG_CACHE_HOME is set")?;
    let prefix = prefix(llvm);
    process::run(
        process::cargo()
            .args([
                "install",
                "bpf-linker",
                "--version",
                VERSION,
                "--locked",
                "--force",
            ])
            .args([
                "--no-default-features",
                "--features",
                &format!("llvm-{llvm}"),
            ])
            .arg("--root")
            .arg(&root)
            // Its crates are not the workspace's: a folder that goes away again.
            .env_remove("CARGO_TARGET_DIR")
            // LLVM does the work; optimising what calls it costs minutes.
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            // Both, or an older llvm-config on PATH wins.
            .env("LLVM_PREFIX", &prefix)
            .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix),
    )
}

/// Where Debian keeps this LLVM.
fn prefix(llvm: u32) -> PathBuf {
    Path::new("/usr/lib").join(format!("llvm-{llvm}"))
}

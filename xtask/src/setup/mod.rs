//! What this machine lacks for building, testing and the demo.
//!
//! [`plan::missing`] only looks; here its steps are carried out, one after the
//! other, each followed by a fresh look: a step may uncover the next one (which
//! LLVM the linker needs is known once the compiler is there), and when all is
//! in place there is nothing to do.

mod apt;
mod crates;
mod fail2ban;
mod linker;
mod moto;
mod need;
mod plan;
mod qemu;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::{process, toolchain};
pub(crate) use plan::Scope;
use plan::Step;

/// Provides what is missing, and says what it does.
pub(crate) fn ensure(scope: Scope) -> Result<()> {
    let mut done: Vec<Step> = Vec::new();
    loop {
        let steps = plan::missing(scope)?;
        let Some(step) = steps.into_iter().next() else {
            return Ok(());
        };
        if done.contains(&step) {
            bail!("setup did this, and it is still missing: {step}");
        }
        println!("setup: {step}");
        carry_out(&step)?;
        done.push(step);
    }
}

/// Says what is missing; success only when nothing is.
pub(crate) fn check(scope: Scope) -> Result<ExitCode> {
    let steps = plan::missing(scope)?;
    for step in &steps {
        println!("missing: {step}");
    }
    if steps.is_empty() {
        println!("setup: everything is here");
        return Ok(ExitCode::SUCCESS);
    }
    println!("`cargo xtask setup` provides it");
    Ok(ExitCode::FAILURE)
}

/// Downloads a Debian package into a folder, and returns its file.
pub(crate) fn download(package: &str, folder: &Path) -> Result<PathBuf> {
    apt::download(package, folder)
}

/// Unpacks a Debian package into a folder.
pub(crate) fn extract(package: &Path, folder: &Path) -> Result<()> {
    apt::extract(package, folder)
}

/// The words that run qemu for 64-bit PCs, the program first or behind what it needs.
pub(crate) fn qemu() -> Vec<OsString> {
    qemu::words()
}

/// Fails unless this process is root's; `why` is a sentence without its end.
pub(crate) fn need_root(why: &str) -> Result<()> {
    need::root(why)
}

fn carry_out(step: &Step) -> Result<()> {
    match step {
        Step::Packages(packages) => apt::install(packages),
        Step::LinkToolchain => process::run(Command::new("rustup").args([
            "toolchain",
            "link",
            toolchain::LINKED,
            "/usr",
        ])),
        Step::Linker { llvm } => {
            linker::install(llvm.context("a step before this one provides the toolchain")?)
        }
        Step::Tool(tool) => tool.install(),
        Step::Moto => moto::install(),
        Step::Fail2ban => fail2ban::unpack(),
        Step::Qemu => qemu::unpack(),
        Step::BpfFs => need::root("it has to mount a file system").and_then(|()| {
            process::run(Command::new("mount").args(["-t", "bpf", "bpf", plan::BPFFS]))
        }),
    }
}

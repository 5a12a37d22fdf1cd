//! Builds what is measured as it is released, then becomes the bench.

use std::{
    convert::Infallible, ffi::OsString, os::unix::process::CommandExt as _, process::Command,
};

use anyhow::{Context as _, Result};

use crate::{action, process, setup};

/// Replaces this process by the bench, so that signals and the exit status are the bench's own.
pub(crate) fn run(arguments: &[OsString]) -> Result<Infallible> {
    setup::ensure(setup::Scope::Bench)?;
    setup::need_root("the bench makes network namespaces and attaches XDP programs")?;
    println!("bench: building (the first time takes some minutes)");
    // Without the EC2 client, of which nothing is measured.
    for (package, binary, profile) in [
        ("nicban", "nicban", "release"),
        ("nicban-tests", "nicban-bench", "simulate"),
    ] {
        process::run(
            process::cargo()
                .args(["build", "--quiet", "--no-default-features"])
                .args(["--package", package, "--bin", binary])
                .args(["--profile", profile]),
        )?;
    }
    let built = action::build()?;
    let target = process::target();
    let error = Command::new(target.join("simulate/nicban-bench"))
        .arg("--nicban")
        .arg(target.join("release/nicban"))
        .arg("--action")
        .arg(built)
        .args(arguments)
        .current_dir(process::root())
        .exec();
    Err(error).context("cannot run nicban-bench")
}

//! Runs the simulator of the slot market, optimised.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{process, setup};

/// Builds the simulator and runs it; its exit status is this task's.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    setup::ensure(setup::Scope::Build)?;
    println!("simulate: building (the first time takes some minutes)");
    // Without the EC2 client, which it replaces by a model.
    let status = process::cargo()
        .args([
            "run",
            "--quiet",
            "--profile=simulate",
            "--package=nicban-tests",
            "--no-default-features",
            "--bin=nicban-simulate",
            "--",
        ])
        .args(arguments)
        .status()
        .context("cannot run cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

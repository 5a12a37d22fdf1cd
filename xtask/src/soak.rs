//! Builds nicban's programs, then becomes the soak.

use std::{
    convert::Infallible, ffi::OsString, os::unix::process::CommandExt as _, process::Command,
};

use anyhow::{Context as _, Result};

use crate::{demo, process, setup};

/// Replaces this process by the soak, so that signals and the exit status are the soak's own.
pub(crate) fn run(arguments: &[OsString]) -> Result<Infallible> {
    demo::build(setup::Scope::Demo)?;
    setup::need_root("the soak makes network namespaces and attaches XDP programs")?;
    let error = Command::new(demo::program("nicban-soak"))
        .arg("--nicban")
        .arg(demo::program("nicban"))
        .args(arguments)
        .current_dir(process::root())
        .exec();
    Err(error).context("cannot run nicban-soak")
}

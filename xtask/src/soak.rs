//! Builds nicban's programs, then becomes the soak.

use std::{convert::Infallible, ffi::OsString, process::Command};

use anyhow::Result;

use crate::{demo, process, setup};

/// Replaces this process by the soak.
pub(crate) fn run(arguments: &[OsString]) -> Result<Infallible> {
    demo::build(setup::Scope::Demo)?;
    setup::need_root("the soak makes network namespaces and attaches XDP programs")?;
    let mut soak = Command::new(demo::program("nicban-soak"));
    soak.arg("--nicban")
        .arg(demo::program("nicban"))
        .args(arguments);
    process::replace(soak)
}

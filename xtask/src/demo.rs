//! Builds nicban's programs, then becomes the demo.

use std::{convert::Infallible, ffi::OsString, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{process, setup};

/// Replaces this process by the demo.
pub(crate) fn run(arguments: &[OsString]) -> Result<Infallible> {
    build(setup::Scope::Demo)?;
    setup::need_root("the demo makes network namespaces and attaches XDP programs")?;
    let mut demo = Command::new(program("nicban-demo"));
    demo.arg("--nicban")
        .arg(program("nicban"))
        .arg("--action")
        .arg(program("nicban-action"))
        .args(arguments);
    process::replace(demo)
}

/// Provides what the scope needs, then builds the daemon, the action and the demo.
pub(crate) fn build(scope: setup::Scope) -> Result<()> {
    setup::ensure(scope)?;
    println!("build: the first time takes minutes, most of them for the EC2 client");
    // There are no examples; to ask for them makes cargo choose the crates'
    // features as it does for the tests, so that neither is built twice.
    process::run(process::cargo().args([
        "build",
        "--package=nicban",
        "--package=nicban-fail2ban",
        "--package=nicban-tests",
        "--bins",
        "--examples",
    ]))
}

/// Where one of them is.
pub(crate) fn program(name: &str) -> PathBuf {
    process::target().join("debug").join(name)
}

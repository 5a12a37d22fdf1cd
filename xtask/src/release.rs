//! Builds what is installed.

use anyhow::Result;

use crate::{action, process, setup};

/// Builds the daemon and the action, and says where they are.
pub(crate) fn build() -> Result<()> {
    setup::ensure(setup::Scope::Build)?;
    println!("build: the first time takes minutes, most of them for the EC2 client");
    process::run(process::cargo().args([
        "build",
        "--release",
        "--package=nicban",
        "--bin=nicban",
    ]))?;
    let action = action::build()?;
    println!("{}", process::target().join("release/nicban").display());
    println!("{}", action.display());
    Ok(())
}

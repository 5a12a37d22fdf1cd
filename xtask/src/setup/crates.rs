//! Subcommands of cargo's that no Debian package brings.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{process, toolchain};

/// A subcommand, in the version that it is used in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    /// The crate's name, and the program's.
    pub(super) name: &'static str,
    /// Its version.
    pub(super) version: &'static str,
}

/// Builds what libFuzzer drives.
pub(super) const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

/// Looks at the licences and the sources of what nicban is built from.
pub(super) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

impl Tool {
    /// Whether the right version is where [`install`](Self::install) puts it.
    pub(super) fn present(self) -> bool {
        let Some(file) = self.file() else {
            return false;
        };
        let said = process::output(Command::new(file).arg("--version"));
        said.is_ok_and(|said| said.trim() == format!("{} {}", self.name, self.version))
    }

    /// Compiles it into nicban's own folder, so that no other version is replaced.
    pub(super) fn install(self) -> Result<()> {
        let root = toolchain::tools().context("neither HOME nor XDG_CACHE_HOME is set")?;
        process::run(
            process::cargo()
                .args(["install", self.name, "--version", self.version])
                .args(["--locked", "--force", "--root"])
                .arg(&root)
                // Its crates are not the workspace's: a folder that goes away again.
                .env_remove("CARGO_TARGET_DIR")
                // It runs for seconds, and to optimise it would take minutes.
                .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
        )
    }

    fn file(self) -> Option<PathBuf> {
        Some(toolchain::tools()?.join("bin").join(self.name))
    }
}

//! Which fail2ban is run: the machine's own, or another one that is unpacked beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::find_program;

/// Names a folder in which another fail2ban is unpacked, for all tests with a fail2ban.
const ROOT: &str = "NICBAN_FAIL2BAN_ROOT";

/// An installed or unpacked fail2ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// The folder that stands for `/`, if it is not that.
    root: Option<PathBuf>,
}

impl Edition {
    /// The machine's own.
    pub fn installed() -> Self {
        Self { root: None }
    }

    /// The one that `NICBAN_FAIL2BAN_ROOT` names, else the machine's own.
    pub fn under_test() -> Self {
        let root = std::env::var_os(ROOT).filter(|root| !root.is_empty());
        Self {
            root: root.map(PathBuf::from),
        }
    }

    /// Debian 13's, from where `cargo xtask setup` unpacks it.
    ///
    /// # Errors
    /// It is not there; the error says how to get it.
    pub fn of_debian_13() -> Result<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))
            .context("neither HOME nor XDG_CACHE_HOME is set")?;
        let root = cache.join("nicban/fail2ban-debian-13/root");
        ensure!(
            root.join("usr/bin/fail2ban-server").is_file(),
            "Debian 13's fail2ban is not in {}; `cargo xtask setup` puts it there",
            root.display()
        );
        Ok(Self { root: Some(root) })
    }

    /// Its configuration, as the distribution ships it.
    pub(super) fn stock(&self) -> PathBuf {
        self.root().join("etc/fail2ban")
    }

    /// Where one of its programs is.
    ///
    /// # Errors
    /// It is not installed.
    pub(super) fn program(&self, name: &str) -> Result<PathBuf> {
        match &self.root {
            None => find_program(name),
            Some(root) => Ok(root.join("usr/bin").join(name)),
        }
    }

    /// Makes the command find its modules before the machine's.
    pub(super) fn modules<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match &self.root {
            None => command,
            Some(root) => command.env("PYTHONPATH", root.join("usr/lib/python3/dist-packages")),
        }
    }

    fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new("/"))
    }
}

//! moto, an EC2 double that others wrote.

use std::{
    fs::{self, File},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::need;
use crate::{process, toolchain};

/// The version whose differences from EC2 the tests know.
pub(super) const VERSION: &str = "5.2.5";

/// Holds the installed version, and is written once all of it is in place.
///
/// The tests look at it as well: they install moto themselves when they are run
/// without this set-up.
const STAMP: &str = "nicban-release";

/// Whether the right version is installed.
pub(super) fn present() -> bool {
    toolchain::cache().is_some_and(|cache| {
        let folder = cache.join("moto");
        fs::read_to_string(folder.join(STAMP)).is_ok_and(|version| version == VERSION)
            && folder.join("bin/moto_server").is_file()
            && need::succeeds(folder.join("bin/python"), &["-c", ""])
    })
}

/// Whether the machine's Python can make a virtual environment with pip.
pub(super) fn can_make_venv() -> bool {
    need::succeeds("python3", &["-c", "import ensurepip, venv"])
}

/// Installs it into a virtual environment of its own.
pub(super) fn install() -> Result<()> {
    let cache = toolchain::cache().context("neither HOME nor XDG_CACHE_HOME is set")?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    // A test that is running may be at it.
    let lock = File::create(cache.join("moto.lock")).context("cannot make moto's lock")?;
    lock.lock().context("cannot take moto's lock")?;
    let folder = cache.join("moto");
    process::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    process::run(
        Command::new(folder.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .arg(format!("moto[ec2,server]=={VERSION}")),
    )?;
    let stamp = folder.join(STAMP);
    fs::write(&stamp, VERSION).with_context(|| format!("cannot write {}", stamp.display()))
}

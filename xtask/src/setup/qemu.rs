//! Debian's qemu, unpacked where it cannot be installed.
//!
//! A machine may have a part of another release's qemu, such as qemu-utils from the
//! backports, which no part of this release's may stand beside. What is there is the
//! machine's own, and stays.

use std::{ffi::OsString, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use super::{apt, need};
use crate::{process, toolchain};

/// The emulator of 64-bit PCs.
const PROGRAM: &str = "qemu-system-x86_64";

/// The package that brings it.
pub(super) const PACKAGE: &str = "qemu-system-x86";

/// Where its packages have the firmware that it loads.
const FIRMWARE: &[&str] = &["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// Whether there is one to run.
pub(super) fn present() -> bool {
    need::program(PROGRAM) || unpacked().is_some()
}

/// Whether apt would have to remove something for it.
pub(super) fn is_in_conflict() -> Result<bool> {
    Ok(need::program("apt-get") && plan()?.lines().any(|line| line.starts_with("Remv ")))
}

/// Downloads and unpacks it, with all that it needs and the machine has not installed.
pub(super) fn unpack() -> Result<()> {
    let plan = plan()?;
    let packages: Vec<&str> = installed_by(&plan).collect();
    if packages.is_empty() {
        bail!("apt-get does not say what {PACKAGE} needs:\n{plan}");
    }
    let folder = folder().context("neither HOME nor XDG_CACHE_HOME is set")?;
    let half = folder.join("half");
    for made in [&folder, &half] {
        fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
    }
    for package in packages {
        let file = apt::download(package, &folder)?;
        apt::extract(&file, &half)?;
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    // Renamed when all of it is there, so that a half never counts as the whole.
    let root = folder.join("root");
    fs::rename(&half, &root).with_context(|| format!("cannot make {}", root.display()))
}

/// The program with what it needs to run, as the words of a command.
pub(crate) fn words() -> Vec<OsString> {
    let Some(root) = unpacked().filter(|_| !need::program(PROGRAM)) else {
        return vec![PROGRAM.into()];
    };
    let mut libraries = OsString::from("LD_LIBRARY_PATH=");
    libraries.push(root.join("usr/lib/x86_64-linux-gnu"));
    libraries.push(":");
    libraries.push(root.join("lib/x86_64-linux-gnu"));
    let mut words = vec![
        "env".into(),
        libraries,
        root.join("usr/bin").join(PROGRAM).into(),
    ];
    for firmware in FIRMWARE {
        words.extend(["-L".into(), root.join(firmware).into()]);
    }
    words
}

fn unpacked() -> Option<PathBuf> {
    let root = folder()?.join("root");
    root.join("usr/bin").join(PROGRAM).is_file().then_some(root)
}

fn folder() -> Option<PathBuf> {
    Some(toolchain::cache()?.join("qemu"))
}

/// What apt would do to install it, a line for each package.
fn plan() -> Result<String> {
    let mut simulate = Command::new("apt-get");
    simulate.args(["--simulate", "--no-install-recommends", "install", PACKAGE]);
    if let Ok(plan) = process::output(&mut simulate) {
        return Ok(plan);
    }
    // Without lists apt knows of no packages.
    process::run(Command::new("apt-get").args(["--quiet", "update"]))?;
    process::output(&mut simulate)
}

/// The packages that a plan of apt's installs.
fn installed_by(plan: &str) -> impl Iterator<Item = &str> {
    plan.lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
}

#[cfg(test)]
mod tests {
    use super::installed_by;

    #[test]
    fn what_a_plan_installs_is_read_and_what_it_removes_is_not() {
        let plan = "NOTE: This is only a simulation!\n\
            Remv qemu-utils [1:10.0.2]\n\
            Inst libfdt1 (1.6.1-4 Debian:12.15/oldstable [amd64])\n\
            Inst qemu-system-x86 [1:7.1] (1:7.2 Debian:12.15/oldstable [amd64])\n\
            Conf libfdt1 (1.6.1-4 Debian:12.15/oldstable [amd64])\n";
        let found: Vec<_> = installed_by(plan).collect();
        assert_eq!(found, ["libfdt1", "qemu-system-x86"]);
    }
}

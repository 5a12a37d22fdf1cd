//! Debian's packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::need;
use crate::process;

/// Packages that bring a service, which the postinst would start and enable.
const SERVICES: &[(&str, &str)] = &[
    ("fail2ban", "fail2ban.service"),
    ("openssh-server", "ssh.service"),
];

/// Runs its arguments while no package may start a service.
///
/// A shell, because its trap also holds when the terminal interrupts both.
/// A policy that is there already is the machine's own and is left alone.
const WITHOUT_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
if ! [ -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
"$@"
"#;

/// Installs the packages; starts none of their services, now or at the next boot.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !need::program("apt-get") {
        bail!("no apt-get here: install what brings on Debian the packages {list}");
    }
    need::root(&format!(
        "runs `apt-get install --no-install-recommends {list}`"
    ))?;

    // A third party's broken list must not stand in the way of Debian's.
    if let Err(error) = process::run(apt_get().arg("update")) {
        eprintln!("warning: {error:#}");
    }
    let install = apt_get();
    let mut command = Command::new("sh");
    command
        .args(["-c", WITHOUT_SERVICES, "sh"])
        .arg(install.get_program())
        .args(install.get_args())
        // `--no-remove`: Debian's compilers replace one another.
        .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    let status = command.status()?;
    if !status.success() {
        bail!("`apt-get install {list}` failed: {status}");
    }
    keep_off(packages)
}

/// Downloads a package into a folder, and installs nothing.
pub(super) fn download(package: &str, folder: &Path) -> Result<PathBuf> {
    process::run(
        apt_get()
            // apt's own user has to get at no folder of the caller's.
            .args(["-o", "APT::Sandbox::User=root", "download", package])
            .current_dir(folder),
    )?;
    downloaded(folder, &format!("{package}_"))?
        .with_context(|| format!("apt-get downloaded no {package}"))
}

/// The package in a folder whose file's name begins so.
pub(super) fn downloaded(folder: &Path, prefix: &str) -> Result<Option<PathBuf>> {
    let mut packages = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "deb"));
    Ok(packages.find(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    }))
}

/// Unpacks a package into a folder.
pub(super) fn extract(package: &Path, folder: &Path) -> Result<()> {
    process::run(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(package)
            .arg(folder),
    )
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .args([
            "--quiet",
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Dpkg::Use-Pty=0",
        ])
        .args(["-o", "Dpkg::Options::=--force-confold"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command
}

/// Disables the services that these packages brought.
fn keep_off(packages: &[&str]) -> Result<()> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    for (_, unit) in SERVICES
        .iter()
        .filter(|(package, _)| packages.contains(package))
    {
        println!("setup: {unit} stays off; tests start their own");
        process::run(Command::new("systemctl").args(["disable", "--quiet", unit]))?;
    }
    Ok(())
}

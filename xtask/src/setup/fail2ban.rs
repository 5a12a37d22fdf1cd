//! Debian 13's fail2ban, unpacked beside the machine's own: the tests run both.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{apt, need};
use crate::{process, toolchain};

/// The package's versions that the tests take.
pub(super) const SERIES: &str = "1.1";

/// Whether it is unpacked.
///
/// The tests look for the same file.
pub(super) fn present() -> bool {
    folder().is_some_and(|folder| folder.join("root/usr/bin/fail2ban-server").is_file())
}

/// Downloads and unpacks it. apt gets lists of its own: those of the machine stay
/// as they are, and nothing of Debian 13 is ever installed.
pub(super) fn unpack() -> Result<()> {
    if !need::program("apt-get") {
        bail!("no apt-get here: it is Debian's package fail2ban {SERIES} that the tests run");
    }
    let folder = folder().context("neither HOME nor XDG_CACHE_HOME is set")?;
    let lists = folder.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        make(&lists.join(part))?;
    }
    let source = lists.join("sources.list");
    fs::write(&source, debian_13(&archive()?))
        .with_context(|| format!("cannot write {}", source.display()))?;
    process::run(apt_get(&lists).arg("update"))?;
    // apt puts it into the folder that it is run in.
    process::run(
        apt_get(&lists)
            .args(["download", "fail2ban"])
            .current_dir(&folder),
    )?;
    let package = apt::downloaded(&folder, &format!("fail2ban_{SERIES}."))?
        .with_context(|| format!("Debian 13 has another fail2ban than {SERIES}"))?;
    // Renamed when all of it is there, so that a half never counts as the whole.
    let half = folder.join("half");
    apt::extract(&package, &half)?;
    let root = folder.join("root");
    fs::rename(&half, &root).with_context(|| format!("cannot make {}", root.display()))?;
    fs::remove_dir_all(&lists).with_context(|| format!("cannot remove {}", lists.display()))
}

/// What apt may load: the one release, signed by the keys that Debian 12 knows as well.
fn debian_13(archive: &str) -> String {
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    format!("deb [signed-by={keys}] {archive} trixie main\n")
}

/// The archive that the machine's own apt takes Debian from.
fn archive() -> Result<String> {
    if let Some(archive) = known_archive()? {
        return Ok(archive);
    }
    // Without lists apt does not know what is whose.
    process::run(Command::new("apt-get").args(["--quiet", "update"]))?;
    known_archive()?.context("apt takes no packages from an archive of Debian's")
}

fn known_archive() -> Result<Option<String>> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(SITE)"])
        .args(["Created-By: Packages", "Origin: Debian", "Label: Debian"])
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-get")?;
    let sites = String::from_utf8_lossy(&output.stdout);
    Ok(sites.lines().next().map(str::to_owned))
}

fn folder() -> Option<PathBuf> {
    Some(toolchain::cache()?.join("fail2ban-debian-13"))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn apt_get(lists: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let settings = [
        ("Dir::State::lists", lists.join("lists")),
        ("Dir::Cache", lists.join("cache")),
        ("Dir::Etc::sourcelist", lists.join("sources.list")),
        ("Dir::Etc::sourceparts", PathBuf::from("-")),
        ("Acquire::Languages", PathBuf::from("none")),
        // Else apt's own user has to get at the folder, which is the caller's.
        ("APT::Sandbox::User", PathBuf::from("root")),
    ];
    for (name, value) in settings {
        command.args(["-o", &format!("{name}={}", value.display())]);
    }
    command.arg("--quiet").stdin(Stdio::null());
    command
}

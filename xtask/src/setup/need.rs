//! What is on this machine already.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Whether a program is on `PATH` or in a folder that only root's `PATH` holds.
pub(crate) fn program(name: &str) -> bool {
    find(name).is_some()
}

/// Where the program is.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether a command can be run and succeeds.
pub(crate) fn succeeds(program: impl AsRef<Path>, arguments: &[&str]) -> bool {
    Command::new(program.as_ref())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether a file system of this type is mounted at the place.
pub(crate) fn mounted(kind: &str, place: &str) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    Ok(mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(place) && fields.next() == Some(kind)
    }))
}

/// Fails unless this process is root's.
pub(crate) fn root(why: &str) -> Result<()> {
    let user = fs::metadata("/proc/self")
        .context("cannot read /proc/self")?
        .uid();
    if user != 0 {
        bail!("run this as root: {why}");
    }
    Ok(())
}

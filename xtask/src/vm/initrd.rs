//! The file system that a guest boots with: a shell, the modules for the next one, and the way
//! there.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::kernel::Kernel;
use crate::process;

/// A static shell with the commands that the way there takes.
const BUSYBOX: &str = "/usr/bin/busybox";

/// What the machine's files are reached through.
const MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// Mounts this machine's files, read-only, and a layer in memory above them; goes on there.
const INIT: &str = r"#!/bin/sh
for command in mount insmod mkdir switch_root poweroff; do
    /bin/busybox ln -s busybox /bin/$command
done
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module || poweroff -f; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 root /lower || poweroff -f
mount -t tmpfs upper /upper
mkdir /upper/upper /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work root /root || poweroff -f
mkdir -p /root/proc /root/sys /root/dev
for folder in proc sys dev; do mount --move /$folder /root/$folder; done
exec switch_root /root /bin/bash @SCRIPT@
";

/// Writes it to `file`; `script` is what the guest goes on with, a path of this machine.
pub(super) fn write(kernel: &Kernel, script: &Path, file: &Path) -> Result<()> {
    let folder = file.with_extension("d");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    for name in [
        "bin", "modules", "proc", "sys", "dev", "lower", "upper", "root",
    ] {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let init = INIT.replace("@SCRIPT@", &script.display().to_string());
    let place = folder.join("init");
    fs::copy(BUSYBOX, folder.join("bin/busybox"))
        .and_then(|_| symlink("busybox", folder.join("bin/sh")))
        .and_then(|()| fs::write(&place, init))
        .and_then(|()| fs::set_permissions(&place, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot fill {}", folder.display()))?;
    for (number, module) in modules(kernel)?.iter().enumerate() {
        copy_module(module, &folder.join("modules"), number)?;
    }
    pack(&folder, file)
}

/// The modules' files, each behind those that it needs.
fn modules(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let said = process::output(
        Command::new("modprobe")
            .arg("--dirname")
            .arg(kernel.root())
            .args(["--set-version", &kernel.release])
            .args(["--show-depends", "--all"])
            .args(MODULES),
    )?;
    Ok(insmods(&said))
}

/// Reads what `modprobe --show-depends` says: lines of `insmod FILE`, some more than once, and
/// `builtin NAME`.
fn insmods(said: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for file in said.lines().filter_map(|line| line.strip_prefix("insmod ")) {
        let file = PathBuf::from(file.trim());
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// Copies a module, so that a list of the folder is in the right order; busybox's insmod takes
/// none that are compressed.
fn copy_module(module: &Path, folder: &Path, number: usize) -> Result<()> {
    let place = folder.join(format!("{number:02}.ko"));
    let is_packed = module.extension().is_some_and(|kind| kind == "xz");
    if !is_packed {
        fs::copy(module, &place).with_context(|| format!("cannot copy {}", module.display()))?;
        return Ok(());
    }
    let out =
        fs::File::create(&place).with_context(|| format!("cannot write {}", place.display()))?;
    process::run(
        Command::new("xz")
            .args(["--decompress", "--stdout"])
            .arg(module)
            .stdout(out),
    )
}

/// Packs a folder as the kernel reads it (Documentation/driver-api/early-userspace).
fn pack(folder: &Path, file: &Path) -> Result<()> {
    let out = fs::File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    let mut find = Command::new("find")
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run find")?;
    let names = find.stdout.take().context("find's output is piped")?;
    process::run(
        Command::new("cpio")
            .args(["--create", "--format=newc", "--quiet"])
            .current_dir(folder)
            .stdin(names)
            .stdout(out),
    )?;
    let status = find.wait().context("cannot wait for find")?;
    ensure!(status.success(), "find failed: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_once_and_behind_what_they_need() {
        let said = "insmod /m/virtio.ko \ninsmod /m/9pnet.ko \nbuiltin virtio_pci\n\
                    insmod /m/virtio.ko \ninsmod /m/9p.ko.xz \n";
        let files = ["/m/virtio.ko", "/m/9pnet.ko", "/m/9p.ko.xz"].map(PathBuf::from);
        assert_eq!(insmods(said), files);
    }
}

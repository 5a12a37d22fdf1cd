//! Bans outlast a power cut: they are in force before the interface passes a packet.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    binaries::Programs,
    guest::{Ended, Guest},
    kernel::Kernel,
};
use crate::process;

/// The filter that asks for it alone.
pub(super) const NAME: &str = "reboot";

/// The disk that outlasts the guest, in bytes.
const DISK: u64 = 256 << 20;

/// The guest's power goes while it writes nothing down: no sync, no unmount.
const CUT: &str = "echo b >/proc/sysrq-trigger\nsleep 60\n";

/// Bans in one guest, cuts its power, and looks in the next; what failed.
pub(super) fn run(kernel: &Kernel, programs: &Programs, limit: Duration) -> Result<Vec<String>> {
    let guest = Guest::new(kernel, "reboot", limit)?;
    let disk = super::folder(kernel, "reboot").join("disk");
    fs::File::create(&disk)
        .and_then(|file| file.set_len(DISK))
        .with_context(|| format!("cannot make {}", disk.display()))?;
    process::run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk))?;
    let program = programs.get("nicban-reboot")?;
    let nicban = programs.get("nicban")?;
    let before = guest.run(
        &format!("{}\n{CUT}", script(program, nicban, "ban")),
        &[&disk],
    )?;
    // A guest whose power was cut has no status; that it came so far is on the disk.
    if let Ended::With(status) = before {
        return Ok(vec![format!("reboot: the ban before it failed ({status})")]);
    }
    Ok(
        match guest.run(&script(program, nicban, "look"), &[&disk])? {
            Ended::With(0) => Vec::new(),
            Ended::With(status) => vec![format!("reboot: a ban did not outlast it ({status})")],
            Ended::Without(why) => vec![format!("reboot: {why}")],
        },
    )
}

fn script(program: &Path, nicban: &Path, step: &str) -> String {
    format!(
        "modprobe virtio_blk && modprobe ext4 && mkdir -p /disk && mount /dev/vda /disk || exit 9\n\
         '{}' --nicban '{}' --state /disk/state {step} || exit 1",
        program.display(),
        nicban.display()
    )
}

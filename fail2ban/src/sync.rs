//! Starting `nicban sync`, which outlives this process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::args::Sync;

/// For how long it looks whether fail2ban restores more bans.
const SETTLE: &str = "--settle=60s";

/// Starts it for a jail, and does not wait for it.
///
/// fail2ban waits until its command and all that holds its pipes have ended, and kills the
/// command's process group where that takes too long: so neither is shared.
pub(crate) fn start(sync: &Sync, socket: &Path, jail: &str) -> io::Result<()> {
    let mut command = Command::new(&sync.program);
    command
        .arg("sync")
        // In one word with its option, so that no value is taken for one.
        .arg(option("--socket=", socket.as_os_str()))
        .arg(option("--jail=", OsStr::new(jail)))
        .arg(SETTLE);
    if let Some(client) = &sync.client {
        command.arg(option("--client=", client));
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(drop)
}

fn option(name: &str, value: &OsStr) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

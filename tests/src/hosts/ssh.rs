//! What every ssh of the tests has in common.

use std::process::Command;

use super::keys::Keys;

/// A stranger's: nothing of the machine's own configuration, no memory of hosts, no
/// word but errors.
const STRANGER: [&str; 8] = [
    "-F",
    "none",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "LogLevel=ERROR",
];

/// Options of an ssh that may ask for a password.
pub(super) fn by_password(command: &mut Command) -> &mut Command {
    command.args(STRANGER).args([
        "-o",
        "BatchMode=no",
        "-o",
        "PreferredAuthentications=password",
        "-o",
        "NumberOfPasswordPrompts=1",
    ])
}

/// Options of an ssh that logs in by key or not at all.
pub(super) fn by_key<'a>(command: &'a mut Command, keys: &Keys) -> &'a mut Command {
    command
        .args(STRANGER)
        .args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"])
        .arg(&keys.private)
}

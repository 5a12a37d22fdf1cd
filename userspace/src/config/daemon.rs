//! `[daemon]`: the process and its socket.

use std::path::PathBuf;

use super::reader::Section;
use super::values;
use super::{Group, User};

/// The longest path of a Unix socket, in bytes: `sun_path` (unix(7)) less its final zero.
const LONGEST_SOCKET: usize = 107;

/// The longest path elsewhere, in bytes (`PATH_MAX` less its final zero).
const LONGEST_PATH: usize = 4095;

/// `[daemon]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Where it listens, unless systemd hands it a socket. Absolute.
    pub socket: PathBuf,
    /// The socket's permissions.
    pub socket_mode: SocketMode,
    /// The group that owns the socket: its members may speak.
    pub socket_group: Option<Group>,
    /// Who may speak, beside root and the daemon's own user.
    pub users: Vec<User>,
    /// Where the store is. Absolute.
    pub state_dir: PathBuf,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(nicban_protocol::DEFAULT_SOCKET),
            socket_mode: SocketMode(0o660),
            socket_group: None,
            users: Vec::new(),
            state_dir: PathBuf::from("/var/lib/nicban"),
        }
    }
}

/// Permission bits of a socket. They are the first gate; the peer's credentials
/// are the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(u32);

impl SocketMode {
    /// As chmod(2) takes them: 0 to 0o777.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Daemon {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            socket: section.get("socket", default.socket, values::path(LONGEST_SOCKET)),
            socket_mode: section.get("socket_mode", default.socket_mode, |value| {
                values::integer(0..=0o777)(value)
                    .map(SocketMode)
                    .map_err(|_| "permissions from 0o000 to 0o777, such as 0o660".to_owned())
            }),
            socket_group: section.get("socket_group", None, |value| Group::parse(value).map(Some)),
            users: section.get(
                "users",
                Vec::new(),
                values::list("user names or ids", User::parse),
            ),
            state_dir: section.get("state_dir", default.state_dir, values::path(LONGEST_PATH)),
        }
    }
}

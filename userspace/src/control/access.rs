//! Who may speak on the control socket.

use std::collections::BTreeSet;

use nix::unistd::{Gid, Uid, User};
use thiserror::Error;
use tokio::net::unix::UCred;

use crate::config::{Daemon, PrincipalError};

/// The peers that are served, by the credentials that the kernel vouches for
/// (`SO_PEERCRED`, unix(7)). The socket's file mode has let them in already.
#[derive(Debug, Clone)]
pub struct Access {
    users: BTreeSet<u32>,
    group: Option<Gid>,
}

/// Why the peers can't be told.
#[derive(Debug, Error)]
#[error("cannot tell who may use the control socket")]
pub struct AccessError(#[from] PrincipalError);

impl Access {
    /// Root, the daemon's own user, and those that the configuration names.
    pub fn of(config: &Daemon) -> Result<Self, AccessError> {
        let mut users = BTreeSet::from([0, Uid::effective().as_raw()]);
        for user in &config.users {
            users.insert(user.resolve()?.as_raw());
        }
        let group = config
            .socket_group
            .as_ref()
            .map(crate::config::Group::resolve)
            .transpose()?;
        Ok(Self { users, group })
    }

    /// Whether a peer is served.
    pub fn admits(&self, peer: &UCred) -> bool {
        self.users.contains(&peer.uid())
            || self.group.is_some_and(|group| {
                peer.gid() == group.as_raw() || is_member(Uid::from_raw(peer.uid()), group)
            })
    }
}

/// The kernel tells a peer's primary group only; the others are in the group database.
fn is_member(user: Uid, group: Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(user) else {
        return false;
    };
    let Ok(name) = std::ffi::CString::new(user.name) else {
        return false;
    };
    nix::unistd::getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&group))
}

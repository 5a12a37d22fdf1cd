//! Root acts as the owner of a folder.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use thiserror::Error;

/// Root could not take on the folder's owner.
#[derive(Debug, Error)]
pub enum OwnerError {
    /// The folder can't be looked at.
    #[error("cannot tell whose {path} is")]
    Unknown {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refuses.
    #[error("cannot go on as user {user}, whose {path} is")]
    Refused {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        user: Uid,
        /// Why.
        source: nix::Error,
    },
}

/// Gives up root, for good, for the user and group that own a folder. Nothing happens
/// where this is not root, where the folder is root's, and where there is none.
///
/// What root wrote there, the daemon could not write any more. And whoever has taken
/// over the daemon may have put links in the place of its files, which root would
/// follow to anywhere.
pub fn become_owner_of(folder: &Path) -> Result<(), OwnerError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let found = match fs::metadata(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(OwnerError::Unknown {
                path: folder.to_owned(),
                source,
            });
        }
    };
    let (user, group) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    if user.is_root() {
        return Ok(());
    }
    // The user last: it may not change the groups.
    setgroups(&[])
        .and_then(|()| setresgid(group, group, group))
        .and_then(|()| setresuid(user, user, user))
        .map_err(|source| OwnerError::Refused {
            path: folder.to_owned(),
            user,
            source,
        })
}

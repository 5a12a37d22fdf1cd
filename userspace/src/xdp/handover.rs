//! The folder of the pins, given to the user that the daemon runs as.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, lchown},
    path::Path,
};

use nix::unistd::{Gid, Uid};

use super::XdpError;

/// For the owner alone: whoever reads a pin holds the map.
const MODE: u32 = 0o700;

/// Makes the folder where it is missing, and gives it to a user with every pin in it:
/// those of an earlier daemon, which may have run as root, are there to be adopted.
///
/// It takes root, as systemd mounts the BPF file system for root alone. The daemon
/// must not run meanwhile.
pub fn hand_over(pin_dir: &Path, user: Uid, group: Gid) -> Result<(), XdpError> {
    match DirBuilder::new().mode(MODE).create(pin_dir) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(XdpError::PinDir {
                path: pin_dir.to_owned(),
                source,
            });
        }
        _ => {}
    }
    // The folder itself last: once its owner can reach the pins, all are its own.
    let entries =
        fs::read_dir(pin_dir).map_err(|source| XdpError::file("list", pin_dir, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| XdpError::file("list", pin_dir, source))?;
        give(&entry.path(), user, group)?;
    }
    fs::set_permissions(pin_dir, Permissions::from_mode(MODE))
        .map_err(|source| XdpError::file("set the mode of", pin_dir, source))?;
    give(pin_dir, user, group)
}

/// The BPF file system has symbolic links, and one is not to lead elsewhere.
fn give(path: &Path, user: Uid, group: Gid) -> Result<(), XdpError> {
    lchown(path, Some(user.as_raw()), Some(group.as_raw()))
        .map_err(|source| XdpError::file("change the owner of", path, source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn the_folder_and_what_is_in_it_change_hands_and_nothing_that_is_linked() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("pins");
        let (user, group) = (Uid::effective(), Gid::effective());
        hand_over(&folder, user, group).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, MODE);
        if !user.is_root() {
            return;
        }
        let theirs = outside.path().join("theirs");
        for file in [&theirs, &folder.join("bans_v4")] {
            fs::write(file, "").unwrap();
        }
        symlink(&theirs, folder.join("link_eth0")).unwrap();
        hand_over(&folder, Uid::from_raw(12), Gid::from_raw(34)).unwrap();
        let owner = |path: &Path| {
            let found = fs::symlink_metadata(path).unwrap();
            (found.uid(), found.gid())
        };
        assert_eq!(owner(&theirs), (0, 0));
        for path in [&folder, &folder.join("bans_v4"), &folder.join("link_eth0")] {
            assert_eq!(owner(path), (12, 34), "{}", path.display());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_names_the_file_system() {
        let nowhere = Path::new("/nonexistent/pins");
        let error = hand_over(nowhere, Uid::effective(), Gid::effective()).unwrap_err();
        assert!(error.to_string().contains("is the BPF file system mounted"));
    }
}

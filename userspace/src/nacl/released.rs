//! That the operator has released the NACLs, remembered across restarts.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A file beside the store, so that `nicban nacl release` can write it with
/// nothing else running. While it exists, nicban puts nothing into a NACL.
#[derive(Debug, Clone)]
pub struct Released(PathBuf);

impl Released {
    /// The mark in a state folder.
    pub fn in_folder(state_dir: &Path) -> Self {
        Self(state_dir.join("released"))
    }

    /// Whether it is set. One that can't be looked for is taken for set: to put
    /// nothing in can be mended at any time.
    pub fn is_set(&self) -> bool {
        self.0.try_exists().unwrap_or(true)
    }

    /// Sets it.
    pub fn set(&self) -> io::Result<()> {
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.0, "`nicban nacl resume` removes this file.\n")
    }

    /// Takes it back; `false` where it was not set.
    pub fn clear(&self) -> io::Result<bool> {
        match fs::remove_file(&self.0) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Released;

    #[test]
    fn it_is_set_until_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let mark = Released::in_folder(&folder.path().join("not/there/yet"));
        assert!(!mark.is_set());
        assert!(!mark.clear().unwrap());
        mark.set().unwrap();
        assert!(mark.is_set());
        assert!(mark.clear().unwrap());
        assert!(!mark.is_set());
    }
}

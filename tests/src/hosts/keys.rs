//! SSH keys that live as long as their folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process;

/// An Ed25519 key pair without a passphrase.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The private key's file.
    pub private: PathBuf,
    /// The public key's file.
    pub public: PathBuf,
}

impl Keys {
    /// A new pair in `folder`.
    ///
    /// # Errors
    /// ssh-keygen fails.
    pub fn generate(folder: &Path, name: &str) -> Result<Self> {
        let private = folder.join(name);
        process::run(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(&private),
        )?;
        Ok(Self {
            public: private.with_extension("pub"),
            private,
        })
    }
}

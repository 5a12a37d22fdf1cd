//! Where the programs under test are, and whether they are of today.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

/// A program of another crate of this workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The daemon and the operator's commands.
    Nicban,
    /// What fail2ban starts.
    Action,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Nicban => "nicban",
            Self::Action => "nicban-action",
        }
    }
}

const BUILD: &str = "build it first: cargo build -p nicban -p nicban-fail2ban --bins";

/// The program beside the running test.
///
/// # Errors
/// It is missing, or older than one of the files that it is made of; the error
/// says what to build.
pub fn program(program: Program) -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program's own path")?;
    // A test lies in target/PROFILE/deps, the programs in target/PROFILE.
    let folder = own
        .ancestors()
        .skip(1)
        .find(|folder| folder.file_name().is_some_and(|name| name != "deps"))
        .context("this program lies in no folder")?;
    let path = folder.join(program.name());
    if !path.is_file() {
        bail!("{} is missing; {BUILD}", path.display());
    }
    let built = modified(&path)?;
    for source in sources(&path.with_extension("d"))? {
        if source.is_file() && modified(&source)? > built {
            bail!(
                "{} is older than {}; {BUILD}",
                path.display(),
                source.display()
            );
        }
    }
    Ok(path)
}

/// The files that cargo's list for make names as the parts of a program.
fn sources(list: &Path) -> Result<Vec<PathBuf>> {
    let text = fs::read_to_string(list)
        .with_context(|| format!("cannot read {}; {BUILD}", list.display()))?;
    let parts = text.split_once(':').map_or("", |(_, parts)| parts);
    // A blank in a path is written with a backslash before it.
    let parts = parts.replace("\\ ", "\0");
    Ok(parts
        .split_whitespace()
        .map(|part| PathBuf::from(part.replace('\0', " ")))
        .collect())
}

fn modified(path: &Path) -> Result<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .with_context(|| format!("look at {}", path.display()))
}

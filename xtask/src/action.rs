//! What nicban-action must stay: small, because fail2ban starts it for each ban.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{musl, process};

/// Bytes that the released action may have at most.
const LIMIT: u64 = 2 * 1024 * 1024;

/// Crates, by the start of their names, that would each break the promise alone.
const HEAVY: &[&str] = &["tokio", "aya", "aws"];

/// Builds the action as it is released, and checks its size and what it stands on.
pub(crate) fn check() -> Result<()> {
    let tree = process::output(process::cargo().args([
        "tree",
        "--package=nicban-fail2ban",
        "--edges=normal",
        "--prefix=none",
    ]))?;
    let heavy: Vec<&str> = tree
        .lines()
        .filter(|line| HEAVY.iter().any(|name| line.starts_with(name)))
        .collect();
    if !heavy.is_empty() {
        bail!("nicban-action stands on {}", heavy.join(", "));
    }
    let file = build()?;
    let bytes = fs::metadata(&file)
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    if bytes >= LIMIT {
        bail!("nicban-action has {bytes} bytes, and {LIMIT} are too many");
    }
    println!(
        "test: nicban-action has {} KiB and none of {}",
        bytes / 1024,
        HEAVY.join(", ")
    );
    Ok(())
}

/// Builds the action as it is released, static and for the least to map at its start; where it is.
pub(crate) fn build() -> Result<PathBuf> {
    const PROFILE: &str = "action";
    let built = musl::build("nicban-fail2ban", "nicban-action", PROFILE)?;
    let folder = process::target().join(PROFILE);
    let place = folder.join("nicban-action");
    // Renamed when all of it is there: one that runs keeps its own.
    let copy = folder.join("nicban-action.new");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy(&built, &copy))
        .and_then(|_| fs::rename(&copy, &place))
        .with_context(|| format!("cannot write {}", place.display()))?;
    Ok(place)
}

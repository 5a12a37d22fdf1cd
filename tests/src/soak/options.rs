//! What the soak is told.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// Bans, unbans, floods, restarts and AWS faults at random, against a model of what must be in
/// force. Ends at the first thing that is not as it should be.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "cargo xtask soak", bin_name = "cargo xtask soak")]
pub struct Options {
    /// How long it goes on
    #[arg(long, value_name = "NUMBER", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub minutes: u32,
    /// What is drawn follows from this number; one from the clock if left out
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// The nicban binary
    #[arg(long, value_name = "PATH", default_value = "target/debug/nicban")]
    pub nicban: PathBuf,
    /// The nicban-standin binary; the one beside this program if left out
    #[arg(long, value_name = "PATH")]
    pub standin: Option<PathBuf>,
}

impl Options {
    pub(super) fn standin(&self) -> Result<PathBuf> {
        if let Some(path) = &self.standin {
            return Ok(path.clone());
        }
        let own = std::env::current_exe().context("this program's own path")?;
        Ok(own.with_file_name("nicban-standin"))
    }
}

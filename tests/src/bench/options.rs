//! What can be asked of the bench.

use std::path::PathBuf;

use clap::Parser;

/// Measures nicban beside what else can drop a banned source's packets.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
pub struct Options {
    /// Small sizes and few repetitions: shows that everything works, and figures that
    /// say little; docs/benchmarks.md stays as it is
    #[arg(long)]
    pub quick: bool,
    /// Only these rows, or the rows of this family; may be given several times
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// How often everything is measured
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub rounds: Option<u32>,
    /// Where bench.json goes
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    pub out: PathBuf,
    /// Where benchmarks.md goes with its plots, when everything has been measured in full
    #[arg(long, value_name = "FOLDER", default_value = "docs")]
    pub docs: PathBuf,
    /// The `nicban` binary, built for release
    #[arg(long, value_name = "FILE", default_value = "target/release/nicban")]
    pub nicban: PathBuf,
    /// The `nicban-action` binary, built for release
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/action/nicban-action"
    )]
    pub action: PathBuf,
}

impl Options {
    /// How often everything is measured.
    pub(super) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 })
    }
}

//! What can be asked of the simulator.

use std::path::PathBuf;

use clap::Parser;

/// Seconds of a whole run: six hours.
const WHOLE: u32 = 6 * 3_600;

/// Seconds of a quick one: an hour and a half, which sees some terms end.
const QUICK: u32 = 5_400;

/// Runs nicban's ranking and planner against attacks, beside other policies.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
pub struct Options {
    /// Simulate an hour and a half instead of six hours
    #[arg(long)]
    pub quick: bool,
    /// The seed of every trace; recorded ones have none, and are the same with each
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Only this trace; may be given several times
    #[arg(long = "trace", value_name = "NAME")]
    pub traces: Vec<String>,
    /// Where `simulate.json` and `simulate.svg` go
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    pub out: PathBuf,
    /// Fail where a half of the goal is missed that could be met, and not only
    /// where a figure got worse
    #[arg(long)]
    pub strict: bool,
    /// Nicban's settings, as a configuration file; without it the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Options {
    /// Seconds to simulate; a recorded trace may be over before.
    pub(super) const fn length(&self) -> u32 {
        if self.quick { QUICK } else { WHOLE }
    }
}

//! What the demo is told.

use std::path::PathBuf;

/// Plays an attack on a bastion in network namespaces, and shows where each
/// attacker's packets end. The last line is a JSON object with what was measured.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "nicban-demo", version)]
pub struct Options {
    /// The nicban binary.
    #[arg(long, value_name = "PATH")]
    pub nicban: PathBuf,
    /// The nicban-action binary.
    #[arg(long, value_name = "PATH")]
    pub action: PathBuf,
    /// The nicban-standin binary; the one beside this program if left out.
    #[arg(long, value_name = "PATH")]
    pub standin: Option<PathBuf>,
    /// The folder with nicban's action.d and jail.d for fail2ban.
    #[arg(long, value_name = "DIR", default_value = "fail2ban")]
    pub fail2ban_dir: PathBuf,
    /// Before the end, wait for Enter with everything still at work, for a look inside.
    #[arg(long)]
    pub keep: bool,
    /// Print nothing but the JSON object.
    #[arg(long)]
    pub json_only: bool,
}

//! `nicban hand-over`: what nicban-pins.service runs before the daemon.

use std::path::PathBuf;

use anyhow::Context as _;
use nix::unistd::User;

use crate::exit::{Exit, Failure};
use crate::xdp;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The user that the daemon runs as; its group is the user's own
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The folder of the pins, on a BPF file system
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// It reads no configuration: what root does here, its unit alone decides.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let name = &args.user;
    let user = User::from_name(name)
        .with_context(|| format!("cannot look up the user {name:?}"))?
        .ok_or_else(|| {
            let said = format!("there is no user {name:?}; packaging/install.sh makes it");
            Failure::new(Exit::Failed, said)
        })?;
    xdp::hand_over(&args.folder, user.uid, user.gid)
        .with_context(|| format!("cannot hand the pins over to {name:?}"))?;
    Ok(())
}

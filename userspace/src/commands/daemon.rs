//! `nicban daemon`.

use anyhow::Context;

use super::{Globals, output};
use crate::config::{Config, DEFAULT_FILE};
use crate::exit::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Read the configuration, say whether it is right, and do nothing else
    #[arg(long)]
    check: bool,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<(), Failure> {
    let mut config = Config::load(globals.config.as_deref())?;
    if let Some(socket) = &globals.socket {
        config.daemon.socket.clone_from(socket);
    }
    if args.check {
        let file = globals.config.as_deref().unwrap_or(DEFAULT_FILE.as_ref());
        let verdict = if file.exists() {
            "right"
        } else {
            "absent, so the defaults are used"
        };
        return output::text(&format!("{}: {verdict}\n", file.display()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the daemon's threads")?;
    runtime.block_on(serve(config))?;
    Ok(())
}

/// The seam to the daemon, which returns after a clean stop.
#[expect(clippy::unused_async, reason = "the daemon awaits its clients")]
async fn serve(_config: Config) -> anyhow::Result<()> {
    anyhow::bail!("this nicban was built without the daemon")
}

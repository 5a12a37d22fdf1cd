//! `nicban daemon`.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use super::{Globals, output};
use crate::config::{Config, DEFAULT_FILE};
use crate::exit::Failure;
use crate::{control, daemon, logging};

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
        .worker_threads(WORKERS)
        .on_thread_start(shed)
        .enable_all()
        .build()
        .context("cannot start the daemon's threads")?;
    runtime.block_on(serve(config))?;
    Ok(())
}

/// The runtime's own threads never need what this one loads the program with.
fn shed() {
    if let Err(error) = daemon::shed::perfmon() {
        warn!("{error:#}");
    }
}

/// The sockets and AWS need little; the packets need the processors.
const WORKERS: usize = 2;

async fn serve(config: Config) -> anyhow::Result<()> {
    logging::init(&config.log)?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let listener = control::listen(&config.daemon)?;
    daemon::run(config, listener, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
}

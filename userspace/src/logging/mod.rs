//! Where the daemon's words go.

mod journal;
mod text;

use std::{env, io, io::IsTerminal as _, os::fd::AsFd};

use anyhow::Context as _;
use nix::sys::stat::fstat;
use tracing::warn;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{self, LogLevel, LogTarget};
use journal::Journal;
use text::OneLine;

/// The variable that goes before the configured level.
const OVERRIDE: &str = "NICBAN_LOG";

/// Sends what is logged to where the configuration says, for the rest of the
/// process's life. `NICBAN_LOG` goes before the configured level; it is written
/// as `tracing-subscriber` reads filters, such as `debug` or `nicban::nacl=trace,info`.
///
/// Fails when `NICBAN_LOG` is no filter, when journald was asked for by name and
/// does not answer, or when it was called before.
pub fn init(config: &config::Log) -> anyhow::Result<()> {
    let filter = match env::var(OVERRIDE) {
        Ok(text) if !text.is_empty() => EnvFilter::builder()
            .parse(&text)
            .with_context(|| format!("{OVERRIDE}={text:?} is no filter; try {OVERRIDE}=debug"))?,
        Err(env::VarError::NotUnicode(_)) => anyhow::bail!("{OVERRIDE} is not UTF-8"),
        Ok(_) | Err(env::VarError::NotPresent) => EnvFilter::new(directives(config.level)),
    };
    let mut unanswered = None;
    let layer = match config.target {
        LogTarget::Journald => Journal::open()
            .context("cannot log to journald, which [log] target names")?
            .boxed(),
        LogTarget::Auto
            if is_journal(&io::stderr(), env::var("JOURNAL_STREAM").ok().as_deref()) =>
        {
            Journal::open().map_or_else(
                |error| {
                    unanswered = Some(error);
                    to_stderr()
                },
                Layer::boxed,
            )
        }
        LogTarget::Auto | LogTarget::Stderr => to_stderr(),
    };
    Registry::default()
        .with(layer)
        .with(filter)
        .try_init()
        .context("something else has set up the log already")?;
    if let Some(error) = unanswered {
        warn!(%error, "journald does not answer, so the log goes to stderr");
    }
    Ok(())
}

/// A filter for a level. At those that are for finding faults, the libraries
/// below nicban say no more than before: they would drown it.
fn directives(level: LogLevel) -> String {
    match level {
        LogLevel::Error | LogLevel::Warn | LogLevel::Info => level.to_string(),
        LogLevel::Debug | LogLevel::Trace => format!("{},nicban={level}", LogLevel::Info),
    }
}

fn to_stderr() -> Box<dyn Layer<Registry> + Send + Sync> {
    // https://no-color.org
    let plain = env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    lines(io::stderr, !plain && io::stderr().is_terminal())
}

fn lines(
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
    colours: bool,
) -> Box<dyn Layer<Registry> + Send + Sync> {
    tracing_subscriber::fmt::layer()
        .compact()
        .fmt_fields(OneLine)
        .with_ansi(colours)
        .with_writer(writer)
        // Told to stderr, which is what failed.
        .log_internal_errors(false)
        .boxed()
}

/// Whether systemd has connected a stream to the journal: then `JOURNAL_STREAM`
/// holds its device and inode (`systemd.exec(5)`). A stream that was redirected
/// since is another one.
fn is_journal(stream: &impl AsFd, journal_stream: Option<&str>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|named| named.split_once(':')) else {
        return false;
    };
    fstat(stream)
        .is_ok_and(|stat| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
}

#[cfg(test)]
mod tests;

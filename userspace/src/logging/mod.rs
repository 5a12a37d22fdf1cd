//! Where the daemon's words go.

mod journal;
mod text;

use std::{env, io, io::IsTerminal as _, os::fd::AsFd};

use anyhow::Context as _;
use nix::sys::stat::fstat;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{self, LogLevel, LogTarget};
use journal::Prioritised;
use text::OneLine;

/// The variable that goes before the configured level.
const OVERRIDE: &str = "NICBAN_LOG";

/// Sends what is logged to where the configuration says, for the rest of the
/// process's life. `NICBAN_LOG` goes before the configured level; it is written
/// as `tracing-subscriber` reads filters, such as `debug` or `nicban::nacl=trace,info`.
///
/// It is stderr in any case: journald reads that of a service, and takes the
/// priorities from the lines where they are written for it.
///
/// Fails when `NICBAN_LOG` is no filter, or when it was called before.
pub fn init(config: &config::Log) -> anyhow::Result<()> {
    let filter = match env::var(OVERRIDE) {
        Ok(text) if !text.is_empty() => EnvFilter::builder()
            .parse(&text)
            .with_context(|| format!("{OVERRIDE}={text:?} is no filter; try {OVERRIDE}=debug"))?,
        Err(env::VarError::NotUnicode(_)) => anyhow::bail!("{OVERRIDE} is not UTF-8"),
        Ok(_) | Err(env::VarError::NotPresent) => EnvFilter::new(directives(config.level)),
    };
    let to_journal = match config.target {
        LogTarget::Journald => true,
        LogTarget::Auto => is_journal(&io::stderr(), env::var("JOURNAL_STREAM").ok().as_deref()),
        LogTarget::Stderr => false,
    };
    let layer = if to_journal {
        lines(io::stderr, false).event_format(Prioritised).boxed()
    } else {
        lines(io::stderr, colours()).compact().boxed()
    };
    Registry::default()
        .with(layer)
        .with(filter)
        .try_init()
        .context("something else has set up the log already")
}

/// Tells stderr what a command failed of: for people as it is, for the journal in
/// one line with a priority. It needs no [`init`].
pub fn complain(error: &anyhow::Error) {
    let text = format!("nicban: {error:#}");
    if is_journal(&io::stderr(), env::var("JOURNAL_STREAM").ok().as_deref()) {
        eprintln!("{}", journal::last_words(&text));
    } else {
        eprintln!("{text}");
    }
}

/// A filter for a level. At those that are for finding faults, the libraries
/// below nicban say no more than before: they would drown it.
fn directives(level: LogLevel) -> String {
    match level {
        LogLevel::Error | LogLevel::Warn | LogLevel::Info => level.to_string(),
        LogLevel::Debug | LogLevel::Trace => format!("{},nicban={level}", LogLevel::Info),
    }
}

fn colours() -> bool {
    // https://no-color.org
    let plain = env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    !plain && io::stderr().is_terminal()
}

fn lines<W>(writer: W, colours: bool) -> fmt::Layer<Registry, OneLine, fmt::format::Format, W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    fmt::layer()
        .fmt_fields(OneLine)
        .with_ansi(colours)
        .with_writer(writer)
        // Told to stderr, which is what failed.
        .log_internal_errors(false)
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

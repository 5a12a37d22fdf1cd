//! What every command writes to stdout.

use std::io::{self, ErrorKind, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::Serialize;

use crate::exit::Failure;

/// Writes text; a reader who has seen enough (`| head`) is no failure.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    written(io::stdout().lock().write_all(text.as_bytes()))
}

/// Writes one JSON document, and a newline.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut document = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    document.push('\n');
    text(&document)
}

/// The verdict on writing to stdout.
pub(super) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result.context("cannot write to stdout")?),
    }
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}

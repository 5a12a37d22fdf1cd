//! What every command writes to stdout.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;
use serde::Serialize;

use crate::clock::Now;
use crate::exit::Failure;

/// Writes text.
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
pub(super) fn written<T>(result: io::Result<T>) -> Result<T, Failure> {
    Ok(result.context("cannot write to stdout")?)
}

/// A reader who has seen enough (`| head`) is no failure.
pub(super) fn reader_may_leave(result: Result<(), Failure>) -> Result<(), Failure> {
    result.or_else(|failure| {
        let left = failure
            .error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe);
        if left { Ok(()) } else { Err(failure) }
    })
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> i64 {
    Now::read().map_or(0, |now| now.seconds())
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::{reader_may_leave, written};

    #[test]
    fn only_a_reader_that_left_is_forgiven() {
        let outcome = |kind| reader_may_leave(written(Err(Error::from(kind))));
        assert!(outcome(ErrorKind::BrokenPipe).is_ok());
        assert!(outcome(ErrorKind::StorageFull).is_err());
    }
}

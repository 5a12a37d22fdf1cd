//! Lines for journald: it reads the priority from the front of each, and adds
//! the time itself.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::{
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};

/// Writes `<6>target: message field=value`, with the priority as in `sd-daemon(3)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prioritised;

impl<S, N> FormatEvent<S, N> for Prioritised
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Records of the `log` crate carry their own target as a field.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or(event.metadata());
        let priority = priority(*metadata.level());
        write!(writer, "<{priority}>{}: ", metadata.target())?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// A line for what the program ends of: `<3>text`, whatever lines the text has.
pub(super) fn last_words(text: &str) -> String {
    let mut line = format!("<{}>", priority(Level::ERROR));
    for letter in text.chars() {
        match letter {
            ' '..='~' => line.push(letter),
            _ => line.extend(letter.escape_debug()),
        }
    }
    line
}

/// As syslog(3) numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn last_words_are_one_line_of_priority_3() {
        assert_eq!(
            last_words("cannot load:\n13: (7b) r6\n\u{1b}[1m „so“"),
            r"<3>cannot load:\n13: (7b) r6\n\u{1b}[1m „so“"
        );
    }
}

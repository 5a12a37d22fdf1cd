//! Events as text that no value can forge.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::{FormatFields, format::Writer};

/// The name under which an event's message is recorded.
pub(super) const MESSAGE: &str = "message";

/// What the bridge from `log` adds to each record; `tracing` shows the target by itself.
const BRIDGE: &str = "log.";

/// The most characters of a value that are written.
const MAX_VALUE: usize = 4096;

/// Writes the message as it is and each field as `name=value`, in quotes where
/// the value could be taken for more than one. What would end a line, move a
/// cursor or turn the direction of writing is escaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct OneLine;

impl<'w> FormatFields<'w> for OneLine {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line {
            writer,
            begun: false,
            result: Ok(()),
        };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    begun: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, name: &str, value: &str) -> fmt::Result {
        if name.starts_with(BRIDGE) {
            return Ok(());
        }
        if self.begun {
            self.writer.write_char(' ')?;
        }
        self.begun = true;
        if name == MESSAGE {
            return self.escape(value, |_| false);
        }
        write!(self.writer, "{name}=")?;
        let quoted = ['"', '\\'];
        let bare = |letter: char| letter.is_ascii_graphic() && letter != '=';
        if !value.is_empty()
            && value
                .chars()
                .all(|letter| bare(letter) && !quoted.contains(&letter))
        {
            return self.escape(value, |_| false);
        }
        self.writer.write_char('"')?;
        self.escape(value, |letter| quoted.contains(&letter))?;
        self.writer.write_char('"')
    }

    fn escape(&mut self, text: &str, also: impl Fn(char) -> bool) -> fmt::Result {
        for (count, letter) in text.chars().enumerate() {
            if count == MAX_VALUE {
                return self.writer.write_char('…');
            }
            match letter {
                ' '..='~' if !also(letter) => self.writer.write_char(letter)?,
                _ => write!(self.writer, "{}", letter.escape_debug())?,
            }
        }
        Ok(())
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.put(field.name(), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::logged;
    use proptest::prelude::*;
    use tracing::info;

    /// What is logged, less the time, level and target before it.
    fn line(log: impl FnOnce()) -> String {
        let logged = logged(log);
        let (_, text) = logged.split_once("tests: ").unwrap();
        text.to_owned()
    }

    #[test]
    fn an_everyday_line_reads_well() {
        let address = "192.0.2.0/24";
        let error = "cannot reach it";
        assert_eq!(
            line(|| info!(bans = 3, %address, interface = "eth0", %error, "attached")),
            "attached bans=3 address=192.0.2.0/24 interface=eth0 error=\"cannot reach it\"\n"
        );
    }

    #[test]
    fn no_value_ends_a_line() {
        let holder =
            "sshd\n2026-01-01T00:00:00Z  INFO nicban: all is well\r\u{1b}[2J\u{2028}\u{202e}";
        let expected =
            "sshd\\n2026-01-01T00:00:00Z  INFO nicban: all is well\\r\\u{1b}[2J\\u{2028}\\u{202e}";
        assert_eq!(line(|| info!("{holder}")), format!("{expected}\n"));
        for shown in [line(|| info!(%holder, "x")), line(|| info!(holder, "x"))] {
            assert_eq!(shown, format!("x holder=\"{expected}\"\n"));
        }
        assert_eq!(line(|| info!(?holder, "x")).lines().count(), 1);
    }

    #[test]
    fn no_value_passes_for_another_field() {
        let holder = "a\" mode=\"enforce";
        let shown = line(|| info!(%holder, "x"));
        assert_eq!(shown, "x holder=\"a\\\" mode=\\\"enforce\"\n");
        let holder = "\"a\" mode=\"enforce\"";
        let shown = line(|| info!(%holder, "x"));
        assert_eq!(shown, "x holder=\"\\\"a\\\" mode=\\\"enforce\\\"\"\n");
        let holder = "";
        assert_eq!(line(|| info!(%holder, "x")), "x holder=\"\"\n");
    }

    #[test]
    fn length_is_bounded() {
        let long = "x".repeat(super::MAX_VALUE + 1);
        let shown = line(|| info!(%long, "x"));
        assert_eq!(
            shown.chars().count(),
            "x long=…\n".chars().count() + super::MAX_VALUE
        );
    }

    proptest! {
        #[test]
        fn one_event_is_one_line(message in "[\\s\\S]{0,100}", value in "[\\s\\S]{0,100}") {
            let shown = logged(|| info!(%value, text = value, debug = ?value, "{message}"));
            prop_assert_eq!(shown.matches(char::is_control).count(), 1);
            prop_assert!(shown.ends_with('\n'));
        }
    }
}

//! Hostile text, made fit for one line of a log.

/// The most characters of one value that an error repeats.
const MAX_VALUE: usize = 100;

/// The most characters of one line of a log.
const MAX_LINE: usize = 1000;

/// A value within an error.
pub(crate) fn value(text: &str) -> String {
    fit(text, MAX_VALUE)
}

/// A whole line.
pub(crate) fn line(text: &str) -> String {
    fit(text, MAX_LINE)
}

/// The text with everything escaped that could end a line, move a cursor or turn the direction
/// of writing, cut where it gets too long to read.
fn fit(text: &str, limit: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(limit));
    for (count, letter) in text.chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        match letter {
            ' '..='~' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_stays() {
        assert_eq!(value("sshd 'x' \"y\" \\ ä"), "sshd 'x' \"y\" \\ ä");
    }

    #[test]
    fn nothing_forges_a_line() {
        let forged = "a\nNOTICE [sshd] Unban 192.0.2.1";
        assert_eq!(value(forged), "a\\nNOTICE [sshd] Unban 192.0.2.1");
        let moved = "\u{1b}[2J\r\u{2028}\u{202e}\0";
        assert_eq!(value(moved), "\\u{1b}[2J\\r\\u{2028}\\u{202e}\\0");
    }

    #[test]
    fn length_is_bounded() {
        assert_eq!(value(&"ä".repeat(MAX_VALUE)), "ä".repeat(MAX_VALUE));
        assert_eq!(
            value(&"ä".repeat(MAX_VALUE + 1)),
            "ä".repeat(MAX_VALUE) + "…"
        );
        assert_eq!(line(&"x".repeat(2 * MAX_LINE)), "x".repeat(MAX_LINE) + "…");
    }

    proptest! {
        #[test]
        fn one_line_of_anything_once_and_for_all(text in "[\\s\\S]{0,400}") {
            let shown = line(&text);
            prop_assert!(!shown.chars().any(char::is_control));
            if shown.chars().count() <= MAX_LINE {
                prop_assert_eq!(line(&shown), shown);
            }
        }
    }
}

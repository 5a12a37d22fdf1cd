//! An address or a network a line, as public blocklists have them.

use super::error::{Bad, echo, lines};
use super::{Parsed, read_element};

/// Reads the first column of each line. Columns are parted by commas, semicolons or blanks;
/// `#` and `;` begin a comment.
pub(super) fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for (place, line) in lines(text) {
        let line = line.split(['#', ';']).next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let first = first_column(line);
        if let Err(why) = read_element(first, None, place, &mut parsed.listed) {
            let why = if why.contains("range") {
                why
            } else {
                format!("{why}, or a range such as 192.0.2.1-192.0.2.9")
            };
            let why = if first == line {
                why
            } else {
                format!("{why} (in {})", echo(line))
            };
            parsed.bad.push(Bad { place, why });
        }
    }
    parsed
}

fn first_column(line: &str) -> &str {
    let column = match line.split_once(',') {
        Some((column, _)) => column.trim(),
        None => line,
    };
    // "a - b" is a range, not two columns.
    let mut words = column.split_whitespace();
    let column = match (words.next(), words.next()) {
        (Some(_), Some("-")) | (None, _) => column,
        (Some(word), _) => word,
    };
    column.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Place;

    fn read(text: &str) -> Vec<String> {
        let parsed = parse(text);
        assert_eq!(parsed.bad, []);
        let shown = parsed.listed.iter();
        shown.map(|listed| listed.network().to_string()).collect()
    }

    #[test]
    fn what_public_lists_look_like_is_read() {
        let text = "\
# a comment
; another
192.0.2.1
  192.0.2.2  \r
192.0.2.3 # who it is
192.0.2.4;SBL123
192.0.2.5\t17\t2026-01-01
192.0.2.6,US,17
\"192.0.2.7\",\"US\"
198.51.100.9/24 ; SBL456
2001:db8::1

2001:db8:1::/48 # net
203.0.113.0-203.0.113.3
203.0.113.8 - 203.0.113.8
";
        assert_eq!(
            read(text),
            [
                "192.0.2.1/32",
                "192.0.2.2/32",
                "192.0.2.3/32",
                "192.0.2.4/32",
                "192.0.2.5/32",
                "192.0.2.6/32",
                "192.0.2.7/32",
                "198.51.100.0/24",
                "2001:db8::1/128",
                "2001:db8:1::/48",
                "203.0.113.0/30",
                "203.0.113.8/32",
            ]
        );
        assert_eq!(parse("2001:db8::1").listed[0].prefix, None);
        assert_eq!(parse("2001:db8::1/128").listed[0].prefix, Some(128));
    }

    #[test]
    fn each_bad_line_is_named_with_what_is_allowed() {
        let text = "192.0.2.1\nexample.org\n192.0.2.1/33\nip,date\n192.0.2.9-192.0.2.1\n-h\n";
        let parsed = parse(text);
        assert_eq!(parsed.listed.len(), 1);
        let places: Vec<_> = parsed.bad.iter().map(|bad| bad.place).collect();
        assert_eq!(places, [2, 3, 4, 5, 6].map(Place::Line));
        for bad in &parsed.bad {
            assert!(bad.why.contains("allowed"), "{bad:?}");
        }
        assert!(parsed.bad[0].why.contains("\"example.org\""), "{parsed:?}");
    }

    #[test]
    fn hostile_text_does_not_reach_the_terminal() {
        let parsed = parse("\u{1b}[2J\n");
        assert!(!parsed.bad[0].why.contains('\u{1b}'), "{parsed:?}");
    }
}

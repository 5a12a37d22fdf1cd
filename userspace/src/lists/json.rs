//! What `nicban export --format json` writes: an object a line.

use serde::Deserialize;

use super::error::{Bad, echo, lines, words};
use super::{Parsed, read_element};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    #[serde(borrow)]
    address: &'a str,
    #[serde(default)]
    until: Option<i64>,
}

pub(super) fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for (place, line) in lines(text) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let read = serde_json::from_str::<Row<'_>>(line).map_err(|error| {
            format!(
                "{} is no ban ({}): allowed is an object such as {{\"address\":\"192.0.2.1\",\"until\":1767225600}}",
                echo(line),
                words(&error)
            )
        });
        let read =
            read.and_then(|row| read_element(row.address, row.until, place, &mut parsed.listed));
        if let Err(why) = read {
            parsed.bad.push(Bad { place, why });
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Place;

    #[test]
    fn ends_are_kept_and_bad_lines_named() {
        let text = "{\"address\":\"192.0.2.1\",\"until\":7}\n\n{\"address\":\"2001:db8::/48\"}\n{\"address\":1}\n{\"addr\":\"192.0.2.1\"}\n{\"address\":\"x\"}\n";
        let parsed = parse(text);
        let ends: Vec<_> = parsed.listed.iter().map(|listed| listed.until).collect();
        assert_eq!(ends, [Some(7), None]);
        let places: Vec<_> = parsed.bad.iter().map(|bad| bad.place).collect();
        assert_eq!(places, [4, 5, 6].map(Place::Line));
        assert!(parsed.bad.iter().all(|bad| bad.why.contains("allowed")));
    }

    #[test]
    fn an_unknown_field_can_not_forge_a_line() {
        let parsed = parse("{\"address\":\"192.0.2.1\",\"un\u{7f}\u{85}\":1}");
        let why = &parsed.bad[0].why;
        assert!(why.contains("unknown field"), "{why}");
        assert!(!why.chars().any(char::is_control), "{why:?}");
    }
}

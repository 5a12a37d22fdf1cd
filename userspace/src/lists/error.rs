//! What is wrong with a list, and where.

use std::fmt;

/// Where something stands in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line, counted from 1.
    Line(u32),
    /// An element of a JSON document, over all its sets, counted from 1.
    Element(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "{line}"),
            Self::Element(element) => write!(f, "element {element}"),
        }
    }
}

/// Something that is no network where one must stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Where.
    pub place: Place,
    /// What was given, and what is allowed; one line.
    pub why: String,
}

/// Bytes of what was given that a message repeats.
const ECHO: usize = 64;

/// What was given, fit to stand in a message.
pub(super) fn echo(text: &str) -> String {
    format!("{:?}", text.chars().take(ECHO).collect::<String>())
}

/// Characters of a parser's own words that a message repeats.
const WORDS: usize = 256;

/// What a parser says, fit to stand in a message: it may repeat what was given as it is.
pub(super) fn words(error: &dyn fmt::Display) -> String {
    let mut words = String::new();
    for letter in error.to_string().chars().take(WORDS) {
        if letter.is_control() {
            words.extend(letter.escape_debug());
        } else {
            words.push(letter);
        }
    }
    words
}

/// The lines of a text, counted from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (Place, &str)> {
    (1..).map(Place::Line).zip(text.lines())
}

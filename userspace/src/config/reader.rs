//! Reads the sections of a TOML document key by key, each with its line.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::{Problem, closest};

/// A parsed document, its problems so far, and which keys were asked for.
///
/// A bad value does not stop the reading: the default stands in for it, and all
/// problems are told at once.
pub(super) struct Reader<'t> {
    text: &'t str,
    table: DeTable<'t>,
    sections: Vec<&'static str>,
    known: BTreeSet<String>,
    problems: Vec<Problem>,
}

/// One `[section]`.
pub(super) struct Section<'r, 't> {
    reader: &'r mut Reader<'t>,
    name: &'static str,
    keys: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    /// Parses `text`; what is not TOML is the only problem then.
    pub(super) fn new(text: &'t str) -> Result<Self, Problem> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self {
                text,
                table: table.into_inner(),
                sections: Vec::new(),
                known: BTreeSet::new(),
                problems: Vec::new(),
            }),
            Err(error) => Err(Problem {
                line: line_of(text, error.span().unwrap_or_default()),
                key: String::new(),
                message: error.message().to_owned(),
            }),
        }
    }

    /// Reads a section by `read`; one that is missing is an empty one.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> T {
        self.sections.push(name);
        let mut section = Section {
            reader: self,
            name,
            keys: Vec::new(),
        };
        let value = read(&mut section);
        section.refuse_unknown_keys();
        value
    }

    /// Ends the reading: the problems in the order of the lines, and every key
    /// that was asked for, with its section.
    pub(super) fn finish(mut self) -> (Vec<Problem>, BTreeSet<String>) {
        let mut strangers = Vec::new();
        for (name, value) in &self.table {
            let stranger = name.get_ref().as_ref();
            if !self.sections.contains(&stranger) {
                let what = if value.get_ref().is_table() {
                    format!("unknown section [{stranger}]")
                } else {
                    "every key belongs to a section".to_owned()
                };
                let message = format!("{what}; {}", one_of(stranger, &self.sections));
                strangers.push(Problem {
                    line: line_of(self.text, name.span()),
                    key: stranger.to_owned(),
                    message,
                });
            }
        }
        self.problems.append(&mut strangers);
        self.problems.sort();
        (self.problems, self.known)
    }
}

impl Section<'_, '_> {
    /// The value of `key` as `parse` understands it, else `default`. `parse`
    /// fails with what is allowed.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> T {
        self.keys.push(key);
        self.reader.known.insert(format!("{}.{key}", self.name));
        let Some(value) = self.table().and_then(|table| table.get(key)) else {
            return default;
        };
        match parse(value.get_ref()) {
            Ok(value) => value,
            Err(allowed) => {
                let span = value.span();
                let text = self.reader.text;
                let written = text.get(span.clone()).unwrap_or_default();
                // A list over many lines would bury the message.
                let written = written.lines().next().unwrap_or_default();
                let message = format!("{written} is not allowed: {allowed}");
                self.complain(key, span, message);
                default
            }
        }
    }

    /// Notes that `key` does not go with `other`: at the line of the one that is set.
    pub(super) fn conflict(&mut self, key: &str, other: &str, message: String) {
        let set = |key| self.table().and_then(|table| table.get(key));
        let span = set(key)
            .or_else(|| set(other))
            .map_or(0..0, toml::Spanned::span);
        self.complain(key, span, message);
    }

    fn complain(&mut self, key: &str, span: Range<usize>, message: String) {
        self.reader.problems.push(Problem {
            line: line_of(self.reader.text, span),
            key: format!("{}.{key}", self.name),
            message,
        });
    }

    fn table(&self) -> Option<&DeTable<'_>> {
        self.reader
            .table
            .get(self.name)
            .and_then(|section| section.get_ref().as_table())
    }

    fn refuse_unknown_keys(&mut self) {
        if let Some(section) = self.reader.table.get(self.name)
            && !section.get_ref().is_table()
        {
            let span = section.span();
            let line = line_of(self.reader.text, span);
            self.reader.problems.push(Problem {
                line,
                key: self.name.to_owned(),
                message: format!("is a section: write [{}] and its keys below it", self.name),
            });
        }
        let strangers: Vec<_> = self
            .table()
            .into_iter()
            .flatten()
            .filter(|(key, _)| !self.keys.contains(&key.get_ref().as_ref()))
            .map(|(key, _)| (key.get_ref().to_string(), key.span()))
            .collect();
        for (key, span) in strangers {
            let message = format!("unknown key; {}", one_of(&key, &self.keys));
            self.complain(&key, span, message);
        }
    }
}

fn one_of(word: &str, candidates: &[&str]) -> String {
    match closest(word, candidates) {
        Some(candidate) => format!("did you mean {candidate}?"),
        None => format!("allowed here: {}", candidates.join(", ")),
    }
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or_default();
    before.matches('\n').count() + 1
}

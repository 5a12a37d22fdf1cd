//! What is wrong with a configuration file.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read; a missing file is an error only where it was asked for.
    #[error("cannot read the configuration {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file was read, and at least one thing in it is wrong.
    #[error("{}", Report { file, problems })]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong, in the order of the lines.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// The key with its section, such as `xdp.max_bans`; empty where the file is not TOML.
    pub key: String,
    /// What is there, what is allowed.
    pub message: String,
}

struct Report<'a> {
    file: &'a PathBuf,
    problems: &'a [Problem],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{}: ", self.file.display(), problem.line)?;
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

/// The candidate that was most likely meant, if any is close: at most two
/// letters changed, added or left out, and a third of the word is right.
pub(super) fn closest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 2 && distance * 3 <= candidate.len() * 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, one row of the table at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{closest, distance};

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn a_typing_error_finds_its_word_but_a_stranger_does_not() {
        let keys = ["max_bans", "max_nets", "mode", "attach"];
        assert_eq!(closest("max_ban", &keys), Some("max_bans"));
        assert_eq!(closest("maxbans", &keys), Some("max_bans"));
        assert_eq!(closest("node", &keys), Some("mode"));
        assert_eq!(closest("colour", &keys), None);
        assert_eq!(closest("xy", &keys), None);
    }
}

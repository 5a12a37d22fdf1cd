//! `[log]`: the daemon's own words.

use std::fmt;

use super::reader::Section;
use super::values;

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least severe line that is written.
    pub level: LogLevel,
    /// Where to.
    pub target: LogTarget,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            target: LogTarget::Auto,
        }
    }
}

/// The least severe line that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what happens.
    Info,
    /// And details.
    Debug,
    /// And every step.
    Trace,
}

impl fmt::Display for LogLevel {
    /// As `tracing` reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// For whom the lines on stderr are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget {
    /// For journald where systemd has connected stderr to it, else for people.
    Auto,
    /// For journald: with priorities, without the time.
    Journald,
    /// For people.
    Stderr,
}

impl Log {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            level: section.get(
                "level",
                default.level,
                values::word(&[
                    ("error", LogLevel::Error),
                    ("warn", LogLevel::Warn),
                    ("info", LogLevel::Info),
                    ("debug", LogLevel::Debug),
                    ("trace", LogLevel::Trace),
                ]),
            ),
            target: section.get(
                "target",
                default.target,
                values::word(&[
                    ("auto", LogTarget::Auto),
                    ("journald", LogTarget::Journald),
                    ("stderr", LogTarget::Stderr),
                ]),
            ),
        }
    }
}

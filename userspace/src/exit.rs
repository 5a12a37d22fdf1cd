//! Exit statuses of the `nicban` command.

use std::process::ExitCode;

use nicban_protocol::{ClientError, Refusal, RefusalKind};

use crate::config::ConfigError;

/// How a command ended. The numbers are part of the command's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Refused, or it failed; stderr says why.
    Failed = 1,
    /// The command line is wrong; clap uses the same number.
    Usage = 2,
    /// The daemon can't be reached, or does not answer.
    Unreachable = 3,
    /// The configuration is wrong.
    Config = 4,
    /// `attach --confirm` was not confirmed: rolled back.
    Unconfirmed = 5,
}

/// The table of `nicban --help`.
pub const HELP: &str = "\
Exit status:
  0  done
  1  refused or failed; stderr says why, and what to do next
  2  the command line is wrong
  3  the daemon cannot be reached, or does not answer
  4  the configuration is wrong
  5  attach --confirm was not confirmed in time, and was rolled back";

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// For people: what failed, and what to do next.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure with a message of its own.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            error: anyhow::Error::msg(message.into()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self {
            exit: Exit::Failed,
            error,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            exit: Exit::Config,
            error: error.into(),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match error {
            ClientError::Invalid(_) | ClientError::Unsendable(_) => Exit::Usage,
            _ => Exit::Unreachable,
        };
        // The client's messages hold their sources already: a chain would repeat them.
        Self::new(exit, error.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let exit = match refusal.kind {
            RefusalKind::Unavailable => Exit::Unreachable,
            _ => Exit::Failed,
        };
        Self::new(exit, refusal.message)
    }
}

/// The process's exit status; a failure goes to stderr first.
pub fn code_of(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            crate::logging::complain(&failure.error);
            ExitCode::from(failure.exit as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use nicban_protocol::{Refusal, RefusalKind};

    use super::{Exit, Failure, HELP};

    #[test]
    fn a_stopping_daemon_is_an_unreachable_one() {
        let failure = |kind| {
            Failure::from(Refusal {
                kind,
                message: "why".to_owned(),
            })
        };
        assert_eq!(failure(RefusalKind::Unavailable).exit, Exit::Unreachable);
        assert_eq!(failure(RefusalKind::Protected).exit, Exit::Failed);
        assert_eq!(failure(RefusalKind::Full).error.to_string(), "why");
    }

    #[test]
    fn the_help_names_every_status() {
        for exit in [
            Exit::Failed,
            Exit::Usage,
            Exit::Unreachable,
            Exit::Config,
            Exit::Unconfirmed,
        ] {
            let number = format!("\n  {}  ", exit as u8);
            assert!(HELP.contains(&number), "{exit:?}");
        }
    }
}

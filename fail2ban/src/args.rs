//! The command line, read into a request.
//!
//! It is read by hand, against the habit of leaving such things to clap. fail2ban starts one
//! process a ban, and a ban's time is what the project is measured by: with clap one took
//! 1.15 ms from its start to its end, and takes 1.05 ms without, of which 0.77 ms are what an
//! empty program takes. The file grew from 0.51 to 0.72 MB. And every value comes from outside,
//! so that none may be read as an option, which is the rule here and the exception there.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use nicban_protocol::{Ban, DEFAULT_SOCKET, InvalidRequest, Request, Timing};

use crate::quote;

/// The answer to `--help`.
pub(crate) const HELP: &str = "\
Tells the nicban daemon what fail2ban decided.

Usage: nicban-action [OPTIONS] VERB [--] NAME [VALUES]

Verbs, each with the tags of fail2ban that it takes, in this order:
  ban      <name> <ip> <time> <bantime> [<bancount> <failures> <restored>]
  prolong  <name> <ip> <time> <bantime> [<bancount> <failures> <restored>]
  unban    <name> <ip> [further tags are accepted]
  flush    <name> [<family>]
  start    <name> [<family>]
  stop     <name> [<family>]
  check    <name> [<family>]

All that follows the verb is taken as it stands and never as an option.
<family> changes nothing: it makes the commands of fail2ban differ by family.
A flush that a jail's own thread of fail2ban asks for is sent as a stop; one
that fail2ban's main thread asks for takes effect at once.

Options:
      --socket PATH      the daemon's socket [/run/nicban/nicban.sock]
      --wait SECONDS     go on trying while the daemon restarts [ban, prolong,
                         unban: 5; flush, start, stop: 2; check: 0]
      --timeout SECONDS  wait for each read or write [20]
      --sync PROGRAM     start only: run `PROGRAM sync` for the jail, beside
                         fail2ban; an empty one is none [none]
      --client COMMAND   what that asks fail2ban with [fail2ban-client]
  -h, --help             print this and exit
  -V, --version          print the version and exit

Exit status:
  0  done: for a ban, the kernel drops the address and the store has it; or the
     ban is over already
  1  the daemon refused, for example because the address is protected
  2  the command line is wrong
  3  no answer that can be read: the daemon is out of reach, silent, or of
     another version
";

/// Well below the 60 s after which fail2ban kills its action.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The longest wait that may be asked for: a slip should not hang fail2ban for a day.
const MAX_WAIT: u64 = 3600;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// `--help`
    Help,
    /// `--version`
    Version,
    /// A request to the daemon.
    Ask(Call),
}

/// A request and how to put it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Where the daemon listens.
    pub(crate) socket: PathBuf,
    /// For how long to wait for each read or write.
    pub(crate) timeout: Duration,
    /// For how long to go on trying.
    pub(crate) patience: Duration,
    /// What to ask.
    pub(crate) request: Request,
    /// What to start besides.
    pub(crate) sync: Option<Box<Sync>>,
}

/// A synchronisation that a jail's start begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    /// The program of the operator's commands.
    pub(crate) program: OsString,
    /// The command that asks fail2ban, if it is not the usual one.
    pub(crate) client: Option<OsString>,
}

impl Call {
    /// Both limits, as the client takes them.
    pub(crate) fn timing(&self) -> Timing {
        Timing {
            timeout: self.timeout,
            patience: self.patience,
        }
    }
}

/// What is wrong with a command line. Its text is one line, whatever was given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    /// No verb.
    #[error("say what to do: ban, prolong, unban, flush, start, stop or check")]
    NoVerb,
    /// A word that is none of ours where the verb belongs.
    #[error("'{}' is not a verb: say ban, prolong, unban, flush, start, stop or check", quote::value(.0))]
    UnknownVerb(String),
    /// An option that there is not.
    #[error("there is no option '{}'", quote::value(.0))]
    UnknownOption(String),
    /// An option at the end of the line, or before nothing.
    #[error("{0} needs a value")]
    NoOptionValue(&'static str),
    /// An option's value is no number of seconds.
    #[error("{option} takes {least} to {MAX_WAIT} seconds, not '{}'", quote::value(.value))]
    BadSeconds {
        option: &'static str,
        least: u64,
        value: String,
    },
    /// Bytes that are no text.
    #[error("'{}' is not UTF-8", quote::value(.0))]
    NotUtf8(String),
    /// Fewer values than the verb takes.
    #[error("<{0}> is missing")]
    Missing(&'static str),
    /// More values than the verb takes.
    #[error("'{}' is one value too many", quote::value(.0))]
    TooMany(String),
    /// fail2ban knows no such tag, and passes its name on.
    #[error("fail2ban gave no value for <{0}>")]
    Unset(&'static str),
    /// Not what the tag holds.
    #[error("<{tag}> is '{}', not {wanted}", quote::value(.value))]
    BadValue {
        tag: &'static str,
        wanted: &'static str,
        value: String,
    },
    /// Out of the protocol's bounds.
    #[error("{0}")]
    Invalid(#[from] InvalidRequest),
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Ban,
    Prolong,
    Unban,
    Flush,
    Start,
    Stop,
    Check,
}

impl Verb {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "ban" => Self::Ban,
            "prolong" => Self::Prolong,
            "unban" => Self::Unban,
            "flush" => Self::Flush,
            "start" => Self::Start,
            "stop" => Self::Stop,
            "check" => Self::Check,
            _ => return None,
        })
    }

    /// For how long to go on trying while the daemon restarts. fail2ban runs one command at a
    /// time over all its jails, asks the check only after something failed, and must get
    /// through the stop of many jails in the time that systemd gives it.
    fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Ban | Self::Prolong | Self::Unban => 5,
            Self::Flush | Self::Start | Self::Stop => 2,
            Self::Check => 0,
        })
    }

    /// Reads what follows the verb.
    fn request(self, values: &mut Values) -> Result<Request, UsageError> {
        let holder = values.required("name")?;
        let request = match self {
            Self::Ban => Request::Ban(values.ban(holder)?),
            Self::Prolong => Request::Prolong(values.ban(holder)?),
            Self::Unban => {
                let address = values.required("ip")?;
                // The tags that a ban has are of no use here, and no reason to fail.
                (0..5).for_each(|_| drop(values.next()));
                Request::Unban {
                    address,
                    holder: Some(holder),
                }
            }
            Self::Flush | Self::Start | Self::Stop | Self::Check => {
                // <family> tells fail2ban's commands apart, and tells us nothing.
                drop(values.next());
                match self {
                    Self::Flush => Request::Flush { holder },
                    Self::Start => Request::Start { holder },
                    Self::Stop => Request::Stop { holder },
                    _ => Request::Check { holder },
                }
            }
        };
        match values.next() {
            Some(surplus) => Err(UsageError::TooMany(surplus)),
            None => Ok(request),
        }
    }
}

/// Reads a command line without its first word, the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let mut words = words.into_iter();
    let mut socket = PathBuf::from(DEFAULT_SOCKET);
    let mut timeout = TIMEOUT;
    let mut patience = None;
    let (mut sync, mut client) = (None, None);
    let verb = loop {
        let word = words.next().ok_or(UsageError::NoVerb)?;
        let word = word.into_string().map_err(|word| not_utf8(&word))?;
        // A path may be any bytes, but not in one word with its option: the rest is text.
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if word.starts_with("--") => (name, Some(OsString::from(value))),
            _ => (word.as_str(), None),
        };
        let mut given = |option| {
            let value = attached.clone().or_else(|| words.next());
            value.ok_or(UsageError::NoOptionValue(option))
        };
        let mut value = |option| {
            let some = given(option)?;
            (!some.is_empty())
                .then_some(some)
                .ok_or(UsageError::NoOptionValue(option))
        };
        match name {
            "--sync" => sync = set(given("--sync")?, "sync"),
            "--client" => client = set(given("--client")?, "client"),
            "--socket" => socket = value("--socket")?.into(),
            "--wait" => patience = Some(seconds("--wait", 0, value("--wait")?)?),
            "--timeout" => timeout = seconds("--timeout", 1, value("--timeout")?)?,
            "-h" | "--help" if attached.is_none() => return Ok(Invocation::Help),
            "-V" | "--version" if attached.is_none() => return Ok(Invocation::Version),
            _ if name.starts_with('-') => return Err(UsageError::UnknownOption(word)),
            _ => break Verb::named(name).ok_or(UsageError::UnknownVerb(word))?,
        }
    };
    let request = verb.request(&mut Values::new(words)?)?;
    request.validate()?;
    let patience = patience.unwrap_or_else(|| verb.patience());
    let sync = sync.filter(|_| matches!(verb, Verb::Start));
    Ok(Invocation::Ask(Call {
        socket,
        timeout,
        patience,
        request,
        sync: sync.map(|program| Box::new(Sync { program, client })),
    }))
}

/// What an option of fail2ban's action is set to; `None` where it is empty or not set.
fn set(value: OsString, tag: &str) -> Option<OsString> {
    let is_unset = value.to_str().is_some_and(|value| is_tag(value, tag));
    (!value.is_empty() && !is_unset).then_some(value)
}

fn seconds(option: &'static str, least: u64, value: OsString) -> Result<Duration, UsageError> {
    let value = value.into_string().map_err(|word| not_utf8(&word))?;
    match value.parse() {
        Ok(count) if (least..=MAX_WAIT).contains(&count) => Ok(Duration::from_secs(count)),
        _ => Err(UsageError::BadSeconds {
            option,
            least,
            value,
        }),
    }
}

fn not_utf8(word: &OsStr) -> UsageError {
    UsageError::NotUtf8(word.to_string_lossy().into_owned())
}

/// The values after the verb, in turn.
struct Values(std::vec::IntoIter<String>);

impl Values {
    fn new(words: impl Iterator<Item = OsString>) -> Result<Self, UsageError> {
        let words: Result<Vec<_>, _> = words
            .map(|word| word.into_string().map_err(|word| not_utf8(&word)))
            .collect();
        let mut words = words?.into_iter();
        // One "--" ends the options, as everywhere; there are none here anyway.
        if words.as_slice().first().is_some_and(|word| word == "--") {
            words.next();
        }
        Ok(Self(words))
    }

    fn next(&mut self) -> Option<String> {
        self.0.next()
    }

    /// The next value; `None` where fail2ban had nothing to put in the tag's place.
    fn optional(&mut self, tag: &'static str) -> Option<String> {
        self.next()
            .filter(|value| !value.is_empty() && !is_tag(value, tag))
    }

    fn required(&mut self, tag: &'static str) -> Result<String, UsageError> {
        let value = self.next().ok_or(UsageError::Missing(tag))?;
        if is_tag(&value, tag) {
            Err(UsageError::Unset(tag))
        } else {
            Ok(value)
        }
    }

    fn ban(&mut self, holder: String) -> Result<Ban, UsageError> {
        Ok(Ban {
            holder,
            address: self.required("ip")?,
            time: whole_seconds("time", self.required("time")?)?,
            bantime: whole_seconds("bantime", self.required("bantime")?)?,
            bancount: self.count("bancount")?,
            failures: self.count("failures")?,
            restored: self.flag("restored")?,
            reason: None,
        })
    }

    fn count(&mut self, tag: &'static str) -> Result<u32, UsageError> {
        let Some(value) = self.optional(tag) else {
            return Ok(0);
        };
        match value.parse::<u64>() {
            Ok(count) => Ok(u32::try_from(count).unwrap_or(u32::MAX)),
            Err(_) => Err(UsageError::BadValue {
                tag,
                wanted: "a count",
                value,
            }),
        }
    }

    fn flag(&mut self, tag: &'static str) -> Result<bool, UsageError> {
        let Some(value) = self.optional(tag) else {
            return Ok(false);
        };
        match value.as_str() {
            "0" | "False" | "false" => Ok(false),
            "1" | "True" | "true" => Ok(true),
            _ => Err(UsageError::BadValue {
                tag,
                wanted: "0 or 1",
                value,
            }),
        }
    }
}

fn is_tag(value: &str, tag: &str) -> bool {
    value
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        == Some(tag)
}

/// Seconds as fail2ban writes them, with or without a fraction.
///
/// A fraction is rounded half to even, as fail2ban does before it writes a ban to its database:
/// so a restored ban begins when the first one did.
fn whole_seconds(tag: &'static str, value: String) -> Result<i64, UsageError> {
    if let Ok(seconds) = value.parse() {
        return Ok(seconds);
    }
    #[expect(clippy::cast_precision_loss, reason = "2^47 is exact in a double")]
    let limit = nicban_protocol::MAX_TIME as f64;
    match value.parse::<f64>() {
        // A negative fraction would round to -1, which is for ever.
        Ok(exact) if exact.abs() <= limit && (exact >= 0.0 || exact.fract() == 0.0) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "within the limit just above"
            )]
            let seconds = exact.round_ties_even() as i64;
            Ok(seconds)
        }
        _ => Err(UsageError::BadValue {
            tag,
            wanted: "a number of seconds",
            value,
        }),
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;

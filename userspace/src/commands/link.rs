//! The commands' way to the daemon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nicban_protocol::{ClientError, Outcome, Reply, Request, Timing, ask};

use super::Globals;
use crate::config::Config;
use crate::exit::{Exit, Failure};

/// How long most answers may take: a busy daemon needs milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for a daemon that restarts without systemd's socket.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the daemon listens, and how long to wait for it.
pub(super) struct Link {
    socket: PathBuf,
    timing: Timing,
}

impl Link {
    /// The daemon of the command line or of the configuration.
    pub(super) fn new(globals: &Globals) -> Result<Self, Failure> {
        let socket = match &globals.socket {
            Some(socket) => socket.clone(),
            None => config(globals)?.daemon.socket,
        };
        Ok(Self::to(socket))
    }

    /// The daemon that listens there.
    pub(super) fn to(socket: PathBuf) -> Self {
        Self {
            socket,
            timing: Timing {
                timeout: TIMEOUT,
                patience: PATIENCE,
            },
        }
    }

    /// Waits so long for each answer, and not at all for a daemon that is away.
    pub(super) fn impatient(mut self, timeout: Duration) -> Self {
        self.timing = Timing {
            timeout,
            patience: Duration::ZERO,
        };
        self
    }

    /// Waits so long for a daemon that is away.
    pub(super) fn persistent(mut self, patience: Duration) -> Self {
        self.timing.patience = patience;
        self
    }

    /// Where the daemon listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits so long for each answer.
    pub(super) fn patient(mut self, timeout: Duration) -> Self {
        self.timing.timeout = timeout;
        self
    }

    /// What the daemon answers; a refusal is an answer.
    pub(super) fn ask(&self, request: &Request) -> Result<Reply, ClientError> {
        ask(&self.socket, self.timing, request)
    }

    /// What the daemon answers; a refusal is a failure.
    pub(super) fn call(&self, request: &Request) -> Result<Reply, Failure> {
        accepted(self.ask(request)?)
    }

    /// Asks for something to be done: what changed, and what more there is to say.
    pub(super) fn done(&self, request: &Request) -> Result<(Outcome, Option<String>), Failure> {
        match self.call(request)? {
            Reply::Done { outcome, note } => Ok((outcome, note)),
            other => Err(unexpected(&other)),
        }
    }
}

/// A refusal as a failure.
pub(super) fn accepted(reply: Reply) -> Result<Reply, Failure> {
    match reply {
        Reply::Refused(refusal) => Err(refusal.into()),
        reply => Ok(reply),
    }
}

/// An answer to another question.
pub(super) fn unexpected(reply: &Reply) -> Failure {
    let name = match reply {
        Reply::Done { .. } => "done",
        Reply::Attached { .. } => "attached",
        Reply::Refused(_) => "refused",
        Reply::Bans { .. } => "bans",
        Reply::Many(_) => "many",
        Reply::Mark { .. } => "mark",
        Reply::Dump { .. } => "dump",
        Reply::Status(_) => "status",
        Reply::Allowed { .. } => "allowed",
        Reply::NaclPlan { .. } => "nacl_plan",
    };
    Failure::new(
        Exit::Failed,
        format!(
            "the daemon gave an answer of another kind ({name}); \
             are the daemon and this command of one version? restart it: systemctl restart nicban"
        ),
    )
}

/// The configuration, as commands need it. The one that was named must be right;
/// the default one must not keep an operator from looking or from detaching.
pub(super) fn config(globals: &Globals) -> Result<Config, Failure> {
    match (&globals.config, Config::load(globals.config.as_deref())) {
        (_, Ok(config)) => Ok(config),
        (Some(_), Err(error)) => Err(error.into()),
        (None, Err(error)) => {
            eprintln!("nicban: {:#}", anyhow::Error::from(error));
            eprintln!("nicban: going on with the defaults");
            Ok(Config::default())
        }
    }
}

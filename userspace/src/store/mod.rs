//! What outlives the daemon, in an `SQLite` database.
//!
//! One file, `nicban.db`, in WAL mode with `synchronous=FULL`: what
//! [`Store::commit`] has returned from survives a power cut. Times are seconds
//! since the Unix epoch, targets are text, so that `sqlite3` shows what there is.

mod block;
mod clock;
mod error;
mod holds;
mod ledger;
mod lists;
mod schema;
mod settings;

#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use error::{StoreError, StoreErrorKind};
pub use ledger::SqliteLedger;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use nicban_protocol::Mode;
use rusqlite::Connection;

use crate::bans::{Hold, Step, StoreChange};
use crate::target::Target;

/// The database's name in the state folder.
pub const FILE_NAME: &str = "nicban.db";

/// The daemon's store. One owner writes it.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

/// A hold as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHold {
    /// What it is on.
    pub target: Target,
    /// The hold.
    pub hold: Hold,
    /// Offences of the target that were counted, all holders together.
    pub offences: u32,
}

/// What was kept beside the holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The mode that an operator has set; `None` where nobody has.
    pub mode: Option<Mode>,
    /// Networks that `nicban allow add` added.
    pub allowed: Vec<IpNet>,
    /// Jails whose flush was neither carried out nor claimed by a stop, and when
    /// each asked for it.
    pub flushes: Vec<(Arc<str>, i64)>,
    /// Holds that were given out.
    pub holds: u64,
}

impl Store {
    /// Opens the database, makes it where there is none, brings an older one up to
    /// date. It is readable for its owner alone (mode 0600).
    ///
    /// [`StoreErrorKind::Corrupt`] says that the file is not what it should be:
    /// [`set_aside`] keeps it, and the next open starts anew.
    /// [`StoreErrorKind::Newer`] is a database of a later nicban, left untouched.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives every hold to `each`, one after the other, then returns the rest.
    pub fn load(&self, each: impl FnMut(StoredHold)) -> Result<Loaded, StoreError> {
        holds::load(self, each)
    }

    /// Makes all the changes, in their order, in one transaction: after an error
    /// none of them is made. Returns the new count of each offence that it counted.
    pub fn commit<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a StoreChange>,
    ) -> Result<Vec<(Target, u32)>, StoreError> {
        holds::commit(self, changes)
    }

    /// Offences of a target, also of one that is not banned now.
    pub fn offences(&self, target: &Target) -> Result<u32, StoreError> {
        holds::offences(self, target)
    }

    /// Remembers a network that is never dropped. Tells whether it is new.
    pub fn add_allowed(&mut self, network: IpNet, now: i64) -> Result<bool, StoreError> {
        settings::add_allowed(self, network, now)
    }

    /// Forgets it again. Tells whether it was there.
    pub fn remove_allowed(&mut self, network: IpNet) -> Result<bool, StoreError> {
        settings::remove_allowed(self, network)
    }

    /// Whether an engine has taken this store up: a new one lacks what the kernel has.
    pub fn is_begun(&self) -> Result<bool, StoreError> {
        settings::is_begun(self)
    }

    /// Notes that an engine has taken it up.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        settings::begin(self)
    }

    /// By which clock its times are told; `None` in a new one.
    pub fn clock(&self) -> Result<Option<Clock>, StoreError> {
        settings::clock(self)
    }

    /// Notes by which clock its times are told, and moves them where that one was set.
    pub fn follow(&mut self, step: Option<Step>, clock: &Clock) -> Result<(), StoreError> {
        settings::follow(self, step, clock)
    }

    /// Keeps the mode over restarts.
    pub fn set_mode(&mut self, mode: Mode) -> Result<(), StoreError> {
        settings::set_mode(self, mode)
    }
}

/// Moves a database that can't be read out of the way, with its journal files, to
/// `nicban.db.corrupt-SECONDS`; `now` is in seconds since the Unix epoch. Returns
/// the new path. Nobody may have it open.
pub fn set_aside(path: &Path, now: i64) -> Result<PathBuf, StoreError> {
    schema::set_aside(path, now)
}

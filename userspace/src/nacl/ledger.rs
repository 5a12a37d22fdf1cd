//! What nicban has put into which NACL: the record that makes an entry ours.
//!
//! An entry is nicban's when its position and its CIDR are what the ledger says,
//! and no other entry is ever changed. So the ledger must know of an entry before
//! EC2 may have it: who crashes between the two has a record of an entry that is
//! not there, which the next observation clears, instead of an entry that nobody
//! will ever take out.

use std::error::Error;
use std::time::Duration;

use super::acl::{Position, Rule};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The NACL's id.
    pub acl: String,
    /// What was put there, or was about to be.
    pub rule: Rule,
    /// Since when, in seconds since the Unix epoch.
    pub since: i64,
}

impl LedgerEntry {
    /// Whether it is younger than `age` at `now`, in seconds since the Unix epoch. One of a
    /// moment yet to come, as after a clock was set back, is as old as it is ahead.
    pub fn is_younger(&self, age: Duration, now: i64) -> bool {
        self.since.abs_diff(now) < age.as_secs()
    }
}

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the ledger of NACL entries: {operation}")]
pub struct LedgerError {
    /// What was tried.
    pub operation: &'static str,
    /// What the store says.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// The record of nicban's entries. What a method has acknowledged survives a crash.
pub trait Ledger {
    /// Records that this rule may stand in that NACL from `now` on (seconds since
    /// the Unix epoch).
    ///
    /// It adds to what is recorded for the position and takes nothing away: while
    /// one rule replaces another, either may be what stands there, and both are
    /// ours. Recorded already, a rule gets the new time.
    fn intend(&mut self, acl: &str, rule: &Rule, now: i64) -> Result<(), LedgerError>;

    /// Drops all that is recorded for the position; nothing recorded is no error.
    fn forget(&mut self, acl: &str, position: Position) -> Result<(), LedgerError>;

    /// All records.
    fn entries(&self) -> Result<Vec<LedgerEntry>, LedgerError>;

    /// Drops the record of this rule, and leaves what else is recorded for its
    /// position; not recorded is no error.
    fn withdraw(&mut self, acl: &str, rule: &Rule) -> Result<(), LedgerError>;
}

/// A ledger that forgets everything at the end of a test.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct MemoryLedger {
    pub(crate) entries: Vec<LedgerEntry>,
    /// The next writes to refuse.
    pub(crate) refuse: usize,
    /// Writes to take before all others are refused.
    pub(crate) refuse_after: Option<usize>,
}

#[cfg(test)]
impl MemoryLedger {
    pub(crate) fn networks(&self, acl: &str, position: Position) -> Vec<ipnet::IpNet> {
        self.entries
            .iter()
            .filter(|entry| entry.acl == acl && entry.rule.position == position)
            .map(|entry| entry.rule.network)
            .collect()
    }

    fn admit(&mut self, operation: &'static str) -> Result<(), LedgerError> {
        match &mut self.refuse_after {
            Some(0) => {}
            Some(left) => {
                *left -= 1;
                return Ok(());
            }
            None if self.refuse == 0 => return Ok(()),
            None => self.refuse -= 1,
        }
        Err(LedgerError {
            operation,
            source: "the disk is full".into(),
        })
    }
}

#[cfg(test)]
impl Ledger for MemoryLedger {
    fn intend(&mut self, acl: &str, rule: &Rule, now: i64) -> Result<(), LedgerError> {
        self.admit("intend")?;
        let mut records = self.entries.iter_mut();
        match records.find(|entry| entry.acl == acl && entry.rule == *rule) {
            Some(known) => known.since = now,
            None => self.entries.push(LedgerEntry {
                acl: acl.to_owned(),
                rule: *rule,
                since: now,
            }),
        }
        Ok(())
    }

    fn forget(&mut self, acl: &str, position: Position) -> Result<(), LedgerError> {
        self.admit("forget")?;
        self.entries
            .retain(|entry| entry.acl != acl || entry.rule.position != position);
        Ok(())
    }

    fn withdraw(&mut self, acl: &str, rule: &Rule) -> Result<(), LedgerError> {
        self.admit("withdraw")?;
        self.entries
            .retain(|entry| entry.acl != acl || entry.rule != *rule);
        Ok(())
    }

    fn entries(&self) -> Result<Vec<LedgerEntry>, LedgerError> {
        Ok(self.entries.clone())
    }
}

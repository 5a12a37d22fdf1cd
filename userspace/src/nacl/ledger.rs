//! The record of the entries that nicban put into network ACLs.

use crate::nacl::acl::Rule;

/// An entry that nicban put into a NACL, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The NACL's id.
    pub acl: String,
    /// The entry.
    pub rule: Rule,
    /// When it was put there, in seconds since the Unix epoch.
    pub since: i64,
}

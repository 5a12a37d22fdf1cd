//! The steps that lead from the NACL as it is to the NACL as it should be.

use std::fmt;

use ipnet::IpNet;

use super::acl::{Position, Rule};

/// One change to one NACL.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The NACL's id.
    pub acl: String,
    /// What to do.
    pub change: Change,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.acl, self.change, self.reason)
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Put a rule where none stands.
    Create(Rule),
    /// Put a rule in the place of one of ours.
    Replace {
        /// The new rule.
        rule: Rule,
        /// What the old one denies.
        from: IpNet,
    },
    /// Take one of our rules out.
    Delete {
        /// Where it stands.
        position: Position,
        /// What it denies.
        network: IpNet,
    },
}

/// Why a step is taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The operator has taken everything back.
    Released,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => f.write_str("released"),
        }
    }
}

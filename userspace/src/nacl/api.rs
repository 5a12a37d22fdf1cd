//! What nicban asks of EC2, in nicban's own words.

use std::fmt;

use super::acl::{Acl, Position, Rule};
use super::error::{ApiError, Operation};

/// A call that changes one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Put a deny where none stands.
    Create(Rule),
    /// Put a deny in the place of what stands there.
    Replace(Rule),
    /// Take out what stands there.
    Delete(Position),
}

impl Mutation {
    /// The call's name.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Create(_) => Operation::Create,
            Self::Replace(_) => Operation::Replace,
            Self::Delete(_) => Operation::Delete,
        }
    }

    /// The place that it changes.
    pub const fn position(&self) -> Position {
        match self {
            Self::Create(rule) | Self::Replace(rule) => rule.position,
            Self::Delete(position) => *position,
        }
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(Rule { position, network }) => {
                write!(f, "create {position} deny {network}")
            }
            Self::Replace(Rule { position, network }) => {
                write!(f, "replace {position} by deny {network}")
            }
            Self::Delete(position) => write!(f, "delete {position}"),
        }
    }
}

/// The narrow edge to EC2. One call of a method is one request (one for each
/// page, where EC2 pages a listing): no retries, no pauses, no state.
pub trait AclApi: Send + Sync {
    /// The NACLs of these subnets, each once; a subnet that does not exist adds
    /// none. At most 200 subnets (EC2's limit on a filter's values).
    fn describe_by_subnets(
        &self,
        subnets: &[String],
    ) -> impl Future<Output = Result<Vec<Acl>, ApiError>> + Send;

    /// One NACL by its id, whether it has a subnet or not.
    fn describe(&self, acl: &str) -> impl Future<Output = Result<Acl, ApiError>> + Send;

    /// Changes an entry. EC2 shows it to a describe some time later.
    fn mutate(
        &self,
        acl: &str,
        mutation: &Mutation,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Asks whether [`AclApi::mutate`] would be allowed, and changes nothing
    /// (`DryRun`). EC2 looks at the rights alone, not at quotas or numbers.
    fn rehearse(
        &self,
        acl: &str,
        mutation: &Mutation,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;
}

//! What nicban's privileged integration tests stand on.

pub mod standin;

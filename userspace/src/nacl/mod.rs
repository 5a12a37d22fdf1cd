//! The second tier: the few deny slots of the subnet's network ACL.

pub mod acl;
pub mod api;
pub mod apply;
pub mod believed;
pub mod budget;
pub mod cadence;
pub mod caller;
pub mod clock;
pub mod discover;
pub mod docket;
pub mod error;
#[cfg(test)]
mod fake;
pub mod gone;
pub mod handle;
pub mod ledger;
pub mod market;
pub mod plan;
pub mod quota;
pub mod reconcile;
pub mod released;
pub mod roster;
pub mod selftest;
pub mod tier;

pub use handle::{NaclHandle, NaclView};

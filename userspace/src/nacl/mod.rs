//! The second tier: the few deny slots of the subnet's network ACL.

pub mod acl;
pub mod ledger;
pub mod market;
pub mod plan;

//! x
pub mod allow;
pub mod bans;
pub mod nacl;
pub mod store;
pub mod target;

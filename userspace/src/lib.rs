//! x

pub mod nacl;
pub mod rank;

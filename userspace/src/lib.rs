//! The daemon's parts.
#![forbid(unsafe_code)]

#[cfg(feature = "aws")]
pub mod aws;
pub mod nacl;

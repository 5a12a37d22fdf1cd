//! What nicban's privileged tests and its demo stand on: hosts as network
//! namespaces, real services on them, and stand-ins for the cloud.
#![forbid(unsafe_code)]

pub mod net;
pub mod process;

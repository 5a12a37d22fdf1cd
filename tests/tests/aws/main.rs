//! The NACL tier: the real `nicban` binary, with the real AWS SDK over HTTP, against doubles.
#![cfg(feature = "aws")]
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests wait for real processes, on the real clock"
)]

mod adapter;
mod balancer;
mod commands;
mod credentials;
mod discovery;
mod errors;
mod faults;
mod meddling;
mod metrics;
mod moto;
mod neighbours;
mod release;
mod site;
mod slots;
mod worst;

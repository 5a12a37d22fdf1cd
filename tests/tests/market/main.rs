//! The slot market with packets: a boundary enforces what nicban writes into the NACL,
//! and counters on both sides of it tell who is stopped where.
#![cfg(feature = "aws")]
#![forbid(unsafe_code)]

mod scene;
mod succession;

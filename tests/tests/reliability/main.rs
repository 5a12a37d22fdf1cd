//! What must not lapse, counted: a flood that doesn't pause, a listener that counts what
//! arrives of it, and whatever may befall a host meanwhile.
//!
//! docs/reliability.md has each promise with its test and the counts that it was run with.
//! `cargo xtask test --full` runs the full counts; random moments come from a seed, which a
//! failing test prints and `NICBAN_SEED` sets.
#![expect(
    clippy::disallowed_methods,
    reason = "packets arrive, and daemons die, by the real clock"
)]

mod clocks;
mod interfaces;
mod kills;
mod lockout;
mod scene;
mod stores;
mod storm;
mod upgrade;
mod verdicts;

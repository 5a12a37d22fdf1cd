//! Whole numbers that can't leave their range.

use std::fmt;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounded<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    /// `value`, if it is in range.
    pub const fn new(value: u32) -> Option<Self> {
        if value >= MIN && value <= MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// A constant, checked when the program is compiled.
    pub const fn of<const VALUE: u32>() -> Self {
        const { assert!(VALUE >= MIN && VALUE <= MAX) };
        Self(VALUE)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number, where all that are in range fit a byte.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is at most MAX, which fits"
    )]
    pub const fn byte(self) -> u8 {
        const { assert!(MAX <= u8::MAX as u32) };
        self.0 as u8
    }

    /// A value of the configuration file.
    pub(super) fn parse(value: &toml::de::DeValue<'_>) -> Result<Self, String> {
        super::values::integer(MIN..=MAX)(value).map(Self)
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Bounded<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

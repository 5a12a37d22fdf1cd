//! A rate as operators read it.

use std::fmt;

/// A rate in packets/s, with no more digits than it deserves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(pub f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.0 == 0.0 || self.0 >= 10.0 {
            0
        } else if self.0 >= 0.1 {
            1
        } else {
            3
        };
        write!(f, "{:.digits$} packets/s", self.0)
    }
}

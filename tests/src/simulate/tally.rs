//! What a policy came to.

/// What a policy came to on a trace. Packets are those of banned sources, counted
/// in the mean of what they send, so that the luck of a draw is nobody's merit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Tally {
    /// Packets sent.
    pub(super) sent: f64,
    /// Packets stopped in the slots.
    pub(super) stopped: f64,
    /// Calls to EC2 that change an entry.
    pub(super) changes: u64,
    /// Calls to EC2 that only look.
    pub(super) looks: u64,
}

impl Tally {
    /// The part of the packets that was stopped, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        if self.sent > 0.0 {
            self.stopped / self.sent
        } else {
            0.0
        }
    }

    /// All calls to EC2.
    pub(super) const fn calls(&self) -> u64 {
        self.changes + self.looks
    }
}

//! What a source's packets tell of its rate, and of whether it still sends.

use std::sync::Arc;

use crate::simulate::law::{Lasts, Rates};

/// Who is less likely to send than this is taken for silent: a source's packets of a
/// month are fewer than one that is missed so.
const GONE: f64 = 1e-9;

/// Up to this mean packets are drawn from a Poisson distribution, above from a normal
/// one, rounded.
const POISSON: f64 = 30.0;

/// The posterior of a source that sends once, by Bayes' rule: how likely it is to send in
/// the second that comes next, by each rate that it may have. The rest is how likely it
/// is to have stopped.
#[derive(Debug, Clone)]
pub(super) struct Belief {
    rates: Arc<Rates>,
    lasts: Lasts,
    /// The first second in which it sent.
    from: u32,
    /// The second that comes next.
    next: u32,
    /// How likely it sends in that second, by rate.
    sends: Vec<f64>,
    /// Packets that are expected in that second.
    expected: f64,
}

impl Belief {
    /// Of one that began in `from` and is known to send in the second that comes next.
    pub(super) fn new(rates: &Arc<Rates>, lasts: Lasts, from: u32, next: u32) -> Self {
        Self {
            expected: rates.mean(),
            sends: rates.cells.iter().map(|(_, weight)| *weight).collect(),
            rates: Arc::clone(rates),
            lasts,
            from,
            next,
        }
    }

    /// It is known to send in a second, while nothing was heard since the last one told.
    pub(super) fn sends_in(&mut self, next: u32) {
        // How long it goes on does not depend on the rate, so that only the sum changes.
        let alive: f64 = self.sends.iter().sum();
        if alive > 0.0 {
            self.scale(alive.recip());
        } else {
            *self = Self::new(&self.rates, self.lasts, self.from, next);
        }
        self.next = next;
    }

    /// The packets to expect in a second, the next one or later, given all that was told.
    pub(super) fn expected(&self, second: u32) -> f64 {
        let age = self.next - self.from;
        self.expected * self.lasts.goes_on(age, second - self.next)
    }

    /// Takes in what it sent in the second that comes next.
    pub(super) fn hear(&mut self, packets: u32) {
        let age = self.next - self.from;
        self.next += 1;
        if packets == 0 && self.expected <= 0.0 {
            return;
        }
        let alive: f64 = self.sends.iter().sum();
        let stopped = if packets == 0 { 1.0 - alive } else { 0.0 };
        let cells = self.rates.cells.iter();
        let logs: Vec<f64> = cells.map(|(rate, _)| log_likely(packets, *rate)).collect();
        // A common factor changes nothing where it cannot have stopped, and keeps the
        // numbers away from 0.
        let common = if packets == 0 {
            0.0
        } else {
            logs.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        };
        for (weight, log) in self.sends.iter_mut().zip(logs) {
            if *weight > 0.0 {
                *weight *= (log - common).exp();
            }
        }
        let all = stopped + self.sends.iter().sum::<f64>();
        self.scale(self.lasts.goes_on(age, 1) / all);
        if self.sends.iter().sum::<f64>() < GONE {
            self.expected = 0.0;
        }
    }

    fn scale(&mut self, factor: f64) {
        self.expected = 0.0;
        for (weight, (rate, _)) in self.sends.iter_mut().zip(&self.rates.cells) {
            *weight *= factor;
            self.expected += *weight * rate;
        }
    }
}

/// The logarithm of how likely so many packets are in a second at this rate.
fn log_likely(packets: u32, rate: f64) -> f64 {
    let count = f64::from(packets);
    if rate > POISSON {
        let off = count - rate;
        return -0.5 * (off * off / rate + (std::f64::consts::TAU * rate).ln());
    }
    let log_factorial: f64 = (2..=packets).map(|n| f64::from(n).ln()).sum();
    count * rate.ln() - rate - log_factorial
}

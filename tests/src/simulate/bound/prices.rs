//! Prices of the slots at which the dual is small.
//!
//! Each set of prices gives a bound, so nothing here has to be right for the bound
//! to be one: better prices only make it tighter.

use super::part::{Dual, Part};

/// Cells over which the sources' rates are averaged, in turn: from 10 s to 20 min.
const WIDTHS: [usize; 5] = [1, 6, 20, 40, 120];

/// Parts of the first loser's rate that are tried.
const SCALES: [f64; 2] = [1.0, 0.5];

/// Subgradient steps for each price of an entry.
const STEPS: usize = 25;

/// The part of the dual by which the first step would lower it, were it linear.
const FIRST_STEP: f64 = 0.05;

/// Looks for the prices of one family's slots.
#[derive(Debug)]
pub(super) struct Search<'p> {
    part: &'p Part,
    starts: Vec<Vec<f64>>,
}

impl<'p> Search<'p> {
    pub(super) fn new(part: &'p Part) -> Self {
        let scaled = |width| {
            let rates = part.marginal(width);
            SCALES.map(|scale| rates.iter().map(|rate| rate * scale).collect())
        };
        Self {
            part,
            starts: WIDTHS.into_iter().flat_map(scaled).collect(),
        }
    }

    /// The least dual found where an entry costs this. Its prices are remembered as
    /// a start for the entry's next price, which therefore had better be near.
    pub(super) fn least(&mut self, entry: f64) -> f64 {
        let starts = self.starts.iter();
        let duals = starts.map(|slot| (slot.clone(), self.part.dual(slot, entry)));
        let Some(start) = duals.min_by(|a, b| a.1.value.total_cmp(&b.1.value)) else {
            return f64::INFINITY;
        };
        let (slot, least) = self.descend(start, entry);
        self.starts.truncate(WIDTHS.len() * SCALES.len());
        self.starts.push(slot);
        least
    }

    /// Steps along the subgradient, with Polyak's step length (Held, Wolfe and
    /// Crowder, "Validation of subgradient optimization", Math. Programming 6, 1974).
    fn descend(&self, start: (Vec<f64>, Dual), entry: f64) -> (Vec<f64>, f64) {
        let (mut slot, mut dual) = start;
        let (mut best, mut least) = (slot.clone(), dual.value);
        let mut part = FIRST_STEP;
        for _ in 0..STEPS {
            // Where a price is 0 already, what is left over cannot lower it.
            let square: f64 = slot
                .iter()
                .zip(&dual.left)
                .filter(|(price, left)| **price > 0.0 || **left < 0.0)
                .map(|(_, left)| left * left)
                .sum();
            if square <= 0.0 {
                break;
            }
            let step = part * dual.value / square;
            for (price, left) in slot.iter_mut().zip(&dual.left) {
                *price = (*price - step * left).max(0.0);
            }
            dual = self.part.dual(&slot, entry);
            if dual.value < least {
                least = dual.value;
                best.clone_from(&slot);
            } else {
                part /= 2.0;
                slot.clone_from(&best);
                dual = self.part.dual(&slot, entry);
            }
        }
        (best, least)
    }
}

//! One family's part of the dual: what its bans are worth at given prices.

use nicban::nacl::acl::Family;

use crate::simulate::slots::SLOTS;
use crate::simulate::trace::{Arrival, Trace};

/// Seconds that share a price of a slot. Any number is a bound; a greater one is
/// worked out faster and may be less tight.
pub(super) const CELL: u32 = 10;

/// A part of a ban within one cell, in which its source sends evenly or pauses.
#[derive(Debug, Clone, Copy)]
struct Piece {
    cell: u32,
    seconds: u32,
    /// Packets/s.
    rate: f32,
}

/// A ban, from the first second in which its source sends to the last one.
#[derive(Debug)]
struct Stretch {
    source: u32,
    pieces: Vec<Piece>,
    /// The second after the last piece.
    end: u32,
}

impl Stretch {
    /// Goes on until before a second, with this rate.
    fn extend(&mut self, until: u32, rate: f32) {
        while self.end < until {
            let cell = self.end / CELL;
            let seconds = until.min((cell + 1) * CELL) - self.end;
            self.end += seconds;
            match self.pieces.last_mut() {
                Some(last) if last.cell == cell && last.rate.to_bits() == rate.to_bits() => {
                    last.seconds += seconds;
                }
                _ => self.pieces.push(Piece {
                    cell,
                    seconds,
                    rate,
                }),
            }
        }
    }
}

/// One family's part of a trace.
#[derive(Debug)]
pub(super) struct Part {
    stretches: Vec<Stretch>,
    /// Seconds of each cell.
    cells: Vec<f64>,
    sources: usize,
    /// What is stopped if each second's highest rates hold the slots.
    pub(super) unbudgeted: f64,
}

/// The dual at some prices.
#[derive(Debug)]
pub(super) struct Dual {
    /// Its value, less what the entries allowed cost.
    pub(super) value: f64,
    /// A subgradient by the slots' prices: of each cell the slot-seconds that there
    /// are, less those that the bans would take at these prices.
    pub(super) left: Vec<f64>,
}

impl Part {
    pub(super) fn of(trace: &Trace, family: Family) -> Self {
        let mut stretches: Vec<Stretch> = Vec::new();
        // Of each source the ban under way: its place above, and its end.
        let mut under_way = vec![(0, 0_u32); trace.sources.len()];
        let mut unbudgeted = 0.0;
        let mut length = 0;
        for (second, arrivals) in (0_u32..).zip(&trace.seconds) {
            length = second + 1;
            let mut rates = Vec::new();
            for Arrival { source, rate, .. } in arrivals.iter().copied() {
                let banned = &trace.sources[source as usize];
                if banned.family() != family {
                    continue;
                }
                let (place, until) = &mut under_way[source as usize];
                if second >= *until {
                    let ban = banned.bans.iter().find(|ban| ban.covers(second));
                    *until = ban.map_or(0, |ban| ban.until);
                    *place = stretches.len();
                    stretches.push(Stretch {
                        source,
                        pieces: Vec::new(),
                        end: second,
                    });
                }
                let stretch = &mut stretches[*place];
                stretch.extend(second, 0.0);
                stretch.extend(second + 1, rate);
                rates.push(f64::from(rate));
            }
            rates.sort_unstable_by(|a, b| b.total_cmp(a));
            unbudgeted += rates.iter().take(SLOTS).sum::<f64>();
        }
        let cells = (0..length.div_ceil(CELL))
            .map(|cell| f64::from(CELL.min(length - cell * CELL)))
            .collect();
        Self {
            stretches,
            cells,
            sources: trace.sources.len(),
            unbudgeted,
        }
    }

    /// The dual where a slot costs so much a second, by cell, and an entry this.
    pub(super) fn dual(&self, slot: &[f64], entry: f64) -> Dual {
        let slots = f64::from(u32::try_from(SLOTS).unwrap_or(u32::MAX));
        let mut left: Vec<f64> = self.cells.iter().map(|seconds| slots * seconds).collect();
        let mut value: f64 = left.iter().zip(slot).map(|(all, price)| all * price).sum();
        let mut moves = Vec::new();
        for stretch in &self.stretches {
            // Within a piece both rate and price stay, so that it is best to move
            // at its ends only.
            let (mut out, mut inside) = (0.0_f64, f64::NEG_INFINITY);
            moves.clear();
            for piece in &stretch.pieces {
                let gain =
                    f64::from(piece.seconds) * (f64::from(piece.rate) - slot[piece.cell as usize]);
                let enters = out - entry > inside;
                inside = if enters { out - entry } else { inside } + gain;
                let leaves = inside > out;
                out = out.max(inside);
                moves.push((enters, leaves));
            }
            value += out;
            let mut is_in = false;
            for (piece, (enters, leaves)) in stretch.pieces.iter().zip(&moves).rev() {
                is_in |= leaves;
                if is_in {
                    left[piece.cell as usize] -= f64::from(piece.seconds);
                    is_in = !enters;
                }
            }
        }
        Dual { value, left }
    }

    /// The rate of the first that finds no slot, by cell, if each source's rate is
    /// its mean over so many cells, pauses included.
    pub(super) fn marginal(&self, width: usize) -> Vec<f64> {
        let mut by_source = vec![Vec::new(); self.sources];
        for stretch in &self.stretches {
            by_source[stretch.source as usize].push(stretch);
        }
        let mut rates = vec![Vec::new(); self.cells.len()];
        for stretches in by_source.iter().filter(|it| !it.is_empty()) {
            let mut packets = vec![0.0; self.cells.len()];
            for piece in stretches.iter().flat_map(|stretch| &stretch.pieces) {
                packets[piece.cell as usize] += f64::from(piece.seconds) * f64::from(piece.rate);
            }
            for (rates, mean) in rates.iter_mut().zip(smooth(&packets, width)) {
                if mean > 0.0 {
                    rates.push(mean / f64::from(CELL));
                }
            }
        }
        let marginal = |mut rates: Vec<f64>| {
            if rates.len() <= SLOTS {
                return 0.0;
            }
            *rates.select_nth_unstable_by(SLOTS, |a, b| b.total_cmp(a)).1
        };
        rates.into_iter().map(marginal).collect()
    }
}

/// The mean around each value, over so many.
fn smooth(values: &[f64], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0];
    let mut sum = 0.0;
    for value in values {
        sum += value;
        sums.push(sum);
    }
    (0..values.len())
        .map(|at| {
            let from = at.saturating_sub(width / 2);
            let until = (at + width.div_ceil(2)).min(values.len());
            let count = u32::try_from(until - from).unwrap_or(u32::MAX);
            (sums[until] - sums[from]) / f64::from(count)
        })
        .collect()
}

//! The clairvoyant optimum: at every second the highest true rates, however many calls it takes.

use nicban::nacl::acl::FAMILIES;

use super::seats::Seats;
use super::tally::Tally;
use super::trace::Trace;

/// Runs the optimum over a trace.
pub(super) fn run(trace: &Trace) -> Tally {
    let mut tally = Tally::default();
    let mut seats = Seats::new();
    for (second, arrivals) in (0_u32..).zip(&trace.seconds) {
        let rates = || arrivals.iter().map(|it| (it.source, f64::from(it.rate)));
        tally.sent += rates().map(|(_, rate)| rate).sum::<f64>();
        for family in FAMILIES {
            let best = seats.give(trace, family, second, rates());
            let stopped = rates().filter(|(source, _)| best.contains(source));
            tally.stopped += stopped.map(|(_, rate)| rate).sum::<f64>();
        }
    }
    tally.changes = seats.changes();
    tally
}

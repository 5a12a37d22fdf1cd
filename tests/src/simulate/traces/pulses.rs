//! Sources that are silent in between.

use fastrand::Rng;
use nicban::config::Nacl;
use nicban::nacl::acl::{FAMILIES, Family};

use super::network;
use crate::simulate::law::{Lasts, Law, Pace, Pause};
use crate::simulate::random::{log_normal, whole};
use crate::simulate::slots::SLOTS;
use crate::simulate::trace::{Draft, Phase, Trace};

/// Two groups, each of which would fill the slots, flood in turns of 100 s: 27 of
/// 100 attacks seen at an exchange point come in pulses (Kopp et al., "`DDoS` on
/// Repeat", ITC 36, 2025), and 100 s on and 100 s off is the pulse of UCLA's attack
/// traces (lasr.cs.ucla.edu/ddos/traces). The rates are assumptions.
pub(super) fn in_turn(seed: u64, length: u32) -> Trace {
    let mut rng = Rng::with_seed(seed);
    let mut draft = Draft::default();
    for family in FAMILIES {
        for n in 0..2 * u32::try_from(SLOTS).unwrap_or(u32::MAX) {
            pulses(
                &mut draft,
                &mut rng,
                family,
                n,
                (100 * (n % 2), 100, 100),
                length,
            );
        }
    }
    draft.trace("pulse-wave", seed, length)
}

/// Sources that know nicban's default settings: they send for long enough to be
/// given a slot and to hold it for the least that it is held, then keep quiet in
/// it for a first term.
pub(super) fn against_the_term(seed: u64, length: u32) -> Trace {
    let mut rng = Rng::with_seed(seed);
    let mut draft = Draft::default();
    let term = u32::try_from(Nacl::default().first_term.as_secs()).unwrap_or(u32::MAX);
    for family in FAMILIES {
        for n in 0..72 {
            let begin = rng.u32(0..90 + term);
            pulses(&mut draft, &mut rng, family, n, (begin, 90, term), length);
        }
    }
    draft.trace("on-off", seed, length)
}

/// One source: when it begins, how long it sends, how long it is quiet.
fn pulses(
    draft: &mut Draft,
    rng: &mut Rng,
    family: Family,
    n: u32,
    (begin, on, off): (u32, u32, u32),
    length: u32,
) {
    let rate = log_normal(rng, 100.0, 0.5);
    let mut phases = Vec::new();
    let mut from = begin;
    while from < length {
        phases.push(Phase {
            from,
            until: from + on,
            rate,
        });
        // A little late each time, as timers are.
        from += on + off + whole(rng.f64() * 2.0);
    }
    let law = Law {
        lasts: Lasts::For(on),
        head_start: 0,
        pause: Some(Pause {
            least: off,
            // Rounded from 0 to 2, evenly.
            more: [0.25, 0.5, 0.25],
        }),
        pace: Pace::Told,
    };
    draft.draw(network(family, n), phases, law);
}

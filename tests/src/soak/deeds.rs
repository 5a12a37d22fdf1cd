//! What happens next, drawn at random.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use super::model::Model;
use crate::standin::control::Control;
use crate::standin::faults::{Fault, FaultRule};

/// Jails that ban and unban.
pub(super) const JAILS: [&str; 3] = ["sshd", "nginx-http-auth", "recidive"];

/// IPv4 sources, thirty to a network: neighbours enough for a shared slot.
const SOURCES_V4: u8 = 120;

/// IPv6 sources, each in a network of its own.
const SOURCES_V6: u16 = 24;

/// An action that is refused while `Forbidden` lasts.
pub(super) const FORBIDDEN: &str = "CreateNetworkAclEntry";

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Deed {
    /// A jail bans, for so many seconds; −1 is for ever.
    Ban(IpAddr, &'static str, i64),
    /// A jail lets a ban end so many seconds from now.
    Prolong(IpAddr, &'static str, i64),
    /// A jail unbans.
    Unban(IpAddr, &'static str),
    /// A jail unbans everything.
    Lift(&'static str),
    /// Banned sources begin to send without a pause, or those that do end it.
    Flood,
    /// The daemon is stopped and started.
    Restart,
    /// The daemon is killed and started.
    Kill,
    /// AWS begins to fail in some way.
    Fault(Control),
    /// AWS works again.
    Mend,
}

/// Everyone who may be banned.
pub(super) fn sources() -> Vec<IpAddr> {
    let v4 = (0..SOURCES_V4).map(|n| Ipv4Addr::new(198, 18, n / 30, 1 + n % 30).into());
    let v6 = (0..SOURCES_V6).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0xbad, n, 0, 0, 0, 1).into());
    v4.chain(v6).collect()
}

/// Draws one. Bans come a little more often than their ends, so that about half of the sources
/// are banned at a time; the daemon is replaced every 20 s or so.
pub(super) fn draw(rng: &mut Rng, sources: &[IpAddr], model: &Model, now: i64) -> Deed {
    let held: Vec<_> = model
        .holds()
        .filter(|(_, holder, until)| {
            JAILS.contains(holder) && until.is_none_or(|until| until > now + 1)
        })
        .collect();
    let pick = |rng: &mut Rng| held[rng.usize(..held.len())];
    match rng.u16(..1200) {
        0..3 => Deed::Restart,
        3..6 => Deed::Kill,
        6 => Deed::Lift(JAILS[rng.usize(..JAILS.len())]),
        7..11 => Deed::Fault(fault(rng)),
        11..14 => Deed::Mend,
        14..24 => Deed::Flood,
        24..84 if !held.is_empty() => {
            let (address, holder, until) = pick(rng);
            let more = rng.i64(1..30);
            // One for ever has no later end.
            match until {
                Some(until) => Deed::Prolong(address, holder, until - now + more),
                None => Deed::Unban(address, holder),
            }
        }
        84..550 if !held.is_empty() => {
            let (address, holder, _) = pick(rng);
            Deed::Unban(address, holder)
        }
        _ => {
            let address = sources[rng.usize(..sources.len())];
            let jail = JAILS[rng.usize(..JAILS.len())];
            let bantime = [3, 8, 20, 3600, -1][rng.usize(..5)];
            Deed::Ban(address, jail, bantime)
        }
    }
}

fn fault(rng: &mut Rng) -> Control {
    let error = |code: &str| Fault::Error {
        code: code.to_owned(),
    };
    let fault = match rng.u8(..9) {
        0 => error("RequestLimitExceeded"),
        1 => error("InternalError"),
        2 => error("Unavailable"),
        3 => Fault::Delay { ms: 3_000 },
        4 => Fault::ReplyLost,
        5 => Fault::Garbage { status: 500 },
        6 => Fault::HalfOpen,
        7 => return Control::Consistency { delay_ms: 4_000 },
        _ => {
            return Control::Forbid {
                action: FORBIDDEN.to_owned(),
            };
        }
    };
    let times = [None, Some(1), Some(5)][rng.usize(..3)];
    Control::Fault {
        rule: FaultRule {
            action: None,
            times,
            fault,
        },
    }
}

/// The orders that undo each fault that [`draw`] may draw.
pub(super) fn mended() -> [Control; 3] {
    [
        Control::ClearFaults,
        Control::Consistency { delay_ms: 0 },
        Control::Permit {
            action: FORBIDDEN.to_owned(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(seed: u64) -> Vec<Deed> {
        let sources = sources();
        let mut model = Model::default();
        model.hold(sources[0], "sshd", Some(1_000));
        model.hold(sources[1], "sshd", None);
        let mut rng = Rng::with_seed(seed);
        let deeds = (0..20_000).map(|_| draw(&mut rng, &sources, &model, 0));
        deeds.collect()
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        assert_eq!(story(7), story(7));
        assert_ne!(story(7), story(8));
    }

    #[test]
    fn every_kind_is_drawn() {
        let story = story(1);
        let kinds: [fn(&Deed) -> bool; 9] = [
            |deed| matches!(deed, Deed::Ban(..)),
            |deed| matches!(deed, Deed::Prolong(..)),
            |deed| matches!(deed, Deed::Unban(..)),
            |deed| matches!(deed, Deed::Lift(_)),
            |deed| matches!(deed, Deed::Flood),
            |deed| matches!(deed, Deed::Restart),
            |deed| matches!(deed, Deed::Kill),
            |deed| matches!(deed, Deed::Fault(_)),
            |deed| matches!(deed, Deed::Mend),
        ];
        for (number, is) in kinds.iter().enumerate() {
            assert!(story.iter().any(is), "kind {number}");
        }
    }
}

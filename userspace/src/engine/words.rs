//! Between the engine's types and the protocol's.

use std::{collections::BTreeMap, error::Error, fmt::Display, time::Duration};

use nicban_protocol::{BanRow, Dropped, Outcome, Refusal, RefusalKind, Reply};
use tracing::warn;

use crate::{
    bans::{Ban, Full, Until},
    clock::Now,
    rank::Counter,
    xdp::XdpError,
};

/// An error with all its causes, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

pub(super) fn done(outcome: Outcome) -> Reply {
    Reply::Done {
        outcome,
        note: None,
    }
}

pub(super) fn noted(outcome: Outcome, note: impl Into<String>) -> Reply {
    Reply::Done {
        outcome,
        note: Some(note.into()),
    }
}

pub(super) fn refused(kind: RefusalKind, message: impl Display) -> Refusal {
    Refusal {
        kind,
        message: message.to_string(),
    }
}

pub(super) fn invalid(message: impl Display) -> Refusal {
    refused(RefusalKind::Invalid, message)
}

pub(super) fn full(full: &Full) -> Refusal {
    refused(RefusalKind::Full, full)
}

pub(super) fn failed(error: &XdpError) -> Refusal {
    let kind = match error {
        XdpError::Full { .. } => RefusalKind::Full,
        XdpError::NoInterface { .. } => RefusalKind::NotFound,
        _ => RefusalKind::Failed,
    };
    refused(kind, chain(error))
}

/// The kernel's expiry, in ns of `CLOCK_BOOTTIME`: the ban's end plus the grace.
/// 0 = never.
pub(super) fn expiry(until: Until, now: Now, grace: Duration) -> u64 {
    let Until::At(end) = until else { return 0 };
    let end = Duration::from_secs(u64::try_from(end).unwrap_or(0));
    let left = end.saturating_sub(now.wall);
    let at = now.boot.saturating_add(left).saturating_add(grace);
    // A ban that outlasts 584 years of uptime may as well be permanent.
    u64::try_from(at.as_nanos()).unwrap_or(0)
}

/// The end of a ban of which only the kernel's expiry is known, in ns of `CLOCK_BOOTTIME`;
/// `None` where it is over. The grace is in it: which one it was given is not known.
pub(super) fn until(expires_at: u64, now: Now) -> Option<Until> {
    if expires_at == 0 {
        return Some(Until::Permanent);
    }
    let left = Duration::from_nanos(expires_at).checked_sub(now.boot)?;
    let end = now.wall.saturating_add(left).as_secs();
    // A second that has begun is served to its end.
    i64::try_from(end).ok().map(|end| Until::At(end + 1))
}

/// A ban as a row of a list.
pub(super) fn row(ban: &Ban<'_>, total: Counter, rate: f64) -> BanRow {
    let mut holders: Vec<nicban_protocol::Holder> = ban.holds().map(Into::into).collect();
    holders.sort_by(|a, b| a.name.cmp(&b.name));
    BanRow {
        address: ban.target.to_string(),
        holders,
        in_nacl: false,
        dropped: Dropped {
            packets: total.packets,
            bytes: total.bytes,
            rate,
        },
    }
}

/// What is wrong now, by subject.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<String, String>);

impl Troubles {
    /// Notes a trouble; the log hears of it when it is new.
    pub(super) fn note(&mut self, subject: &str, trouble: String) {
        if self.0.get(subject) != Some(&trouble) {
            warn!("{trouble}");
            self.0.insert(subject.to_owned(), trouble);
        }
    }

    /// The trouble is over.
    pub(super) fn clear(&mut self, subject: &str) {
        self.0.remove(subject);
    }

    /// All of them, in the order of their subjects.
    pub(super) fn lines(&self) -> impl Iterator<Item = &String> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        wall: Duration::from_secs(1_000_000),
        boot: Duration::from_secs(500),
    };

    #[test]
    fn the_kernel_gets_the_end_on_its_own_clock_plus_the_grace() {
        let grace = Duration::from_mins(1);
        let end = Until::At(1_000_010);
        assert_eq!(expiry(end, NOW, grace), (500 + 10 + 60) * 1_000_000_000);
        assert_eq!(expiry(Until::Permanent, NOW, grace), 0);
        let over = Until::At(999_000);
        assert_eq!(expiry(over, NOW, grace), (500 + 60) * 1_000_000_000);
    }

    #[test]
    fn a_ban_that_only_the_kernel_knows_ends_no_earlier_than_there() {
        assert_eq!(until(0, NOW), Some(Until::Permanent));
        let left = |ns: u64| until(500_000_000_000 + ns, NOW);
        assert_eq!(left(1), Some(Until::At(1_000_001)));
        assert_eq!(left(60_000_000_000), Some(Until::At(1_000_061)));
        assert_eq!(until(499_999_999_999, NOW), None);
        for expires_at in [1, 60_000_000_000, 61_500_000_001] {
            let until = left(expires_at).unwrap();
            let again = expiry(until, NOW, Duration::ZERO);
            assert!(again >= 500_000_000_000 + expires_at, "{again}");
        }
    }
}

//! Events as journald takes them, field by field.

use std::{
    fmt::Debug,
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    fmt::{FormatFields as _, format::Writer},
    layer::Context,
};

use super::text::{MESSAGE, OneLine};

/// Where journald listens (`systemd-journald.service(8)`).
const SOCKET: &str = "/run/systemd/journal/socket";

/// How long a line may wait for a journald that hangs: bans matter more.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest value but the message, in bytes.
const MAX_VALUE: usize = 4096;

/// The longest message, in bytes. With as many values as an event can have (32)
/// it stays below what a datagram may carry (`net.core.wmem_default`, 208 KiB).
const MAX_MESSAGE: usize = 32 * 1024;

/// What goes before the names of an event's fields, so that none passes for a
/// field that systemd knows.
const PREFIX: &str = "NICBAN_";

/// Sends events to journald by its native protocol
/// (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>). The message holds the fields
/// too, since `journalctl` shows nothing else unless asked.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Fails when nobody listens.
    pub(super) fn open() -> io::Result<Self> {
        Self::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(path)?;
        // Not the connected one, which would speak to nobody once journald was
        // started again.
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut record = Record {
            bytes: Vec::with_capacity(512),
            target: event.metadata().target().to_owned(),
        };
        event.record(&mut record);
        let Record { mut bytes, target } = record;
        let mut message = String::new();
        // A String takes all that is written.
        if OneLine
            .format_fields(Writer::new(&mut message), event)
            .is_err()
        {
            message.push('…');
        }
        put(&mut bytes, "MESSAGE", &message, MAX_MESSAGE);
        put(
            &mut bytes,
            "PRIORITY",
            priority(*event.metadata().level()),
            MAX_VALUE,
        );
        put(&mut bytes, "SYSLOG_IDENTIFIER", "nicban", MAX_VALUE);
        put(&mut bytes, "TARGET", &target, MAX_VALUE);
        // The one who would have to be told is the one who does not listen.
        drop(self.socket.send_to(&bytes, &self.path));
    }
}

/// As `syslog(3)` counts. What nicban calls info is worth an operator's notice,
/// but no more than systemd's own lines about units.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

struct Record {
    bytes: Vec<u8>,
    target: String,
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            MESSAGE => {}
            "log.target" => value.clone_into(&mut self.target),
            name if name.starts_with("log.") => {}
            name => put(&mut self.bytes, &journal_name(name), value, MAX_VALUE),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A name of capital letters, digits and underscores (`systemd.journal-fields(7)`),
/// at most 64 of them.
fn journal_name(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' => letter.to_ascii_uppercase(),
        _ => '_',
    });
    PREFIX.chars().chain(letters).take(64).collect()
}

/// Appends a field with its length before its value, so that the value can hold anything.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str, limit: usize) {
    let value = &value[..value.floor_char_boundary(limit)];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tracing::{error, info};
    use tracing_subscriber::layer::SubscriberExt as _;

    /// What journald gets, parsed by its protocol.
    fn sent(log: impl FnOnce()) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journald = UnixDatagram::bind(&path).unwrap();
        journald.set_nonblocking(true).unwrap();
        let journal = Journal::at(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(journal);
        tracing::subscriber::with_default(subscriber, log);
        let mut datagram = vec![0; 1 << 20];
        let length = journald.recv(&mut datagram).unwrap();
        let mut rest = &datagram[..length];
        let mut fields = BTreeMap::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|&byte| byte == b'\n').unwrap();
            let (name, after) = (&rest[..end], &rest[end + 1..]);
            let (length, after) = after.split_first_chunk().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            let (value, after) = after.split_at(length);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            assert_eq!(fields.insert(text(name), text(value)), None);
            rest = after.strip_prefix(b"\n").unwrap();
        }
        fields
    }

    #[test]
    fn an_event_has_its_message_and_its_fields() {
        let address = "192.0.2.1";
        let fields = sent(|| info!(bans = 3, %address, "in force"));
        let expected = [
            ("MESSAGE", "in force bans=3 address=192.0.2.1"),
            ("NICBAN_ADDRESS", "192.0.2.1"),
            ("NICBAN_BANS", "3"),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "nicban"),
            ("TARGET", module_path!()),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields, BTreeMap::from(expected));
    }

    #[test]
    fn no_value_forges_a_field() {
        let holder = "sshd\nPRIORITY=0\nMESSAGE=all is well";
        let fields = sent(|| error!(%holder, "{holder}"));
        assert_eq!(fields["PRIORITY"], "3");
        assert_eq!(fields["NICBAN_HOLDER"], holder);
        assert_eq!(fields["MESSAGE"].lines().count(), 1);
    }

    #[test]
    fn the_largest_event_fits_a_datagram() {
        let long = "ä".repeat(100_000);
        let fields = sent(|| {
            info!(
                a = long,
                b = long,
                c = long,
                d = long,
                e = long,
                f = long,
                g = long,
                h = long,
                i = long,
                j = long,
                k = long,
                l = long,
                m = long,
                n = long,
                o = long,
                p = long,
                q = long,
                r = long,
                s = long,
                t = long,
                u = long,
                v = long,
                w = long,
                x = long,
                y = long,
                z = long,
                "{long}"
            );
        });
        assert_eq!(fields.len(), 26 + 4);
        assert!(fields.values().all(|value| value.len() <= MAX_MESSAGE));
    }

    #[test]
    fn a_journald_that_was_started_again_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let first = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(&path).unwrap();
        drop(first);
        std::fs::remove_file(&path).unwrap();
        let second = UnixDatagram::bind(&path).unwrap();
        second.set_nonblocking(true).unwrap();
        let subscriber = tracing_subscriber::registry().with(journal);
        tracing::subscriber::with_default(subscriber, || info!("up"));
        assert!(second.recv(&mut [0; 1024]).unwrap() > 0);
    }

    #[test]
    fn a_journald_that_is_absent_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Journal::at(&folder.path().join("journal")).is_err());
    }

    #[test]
    fn names_are_those_that_journald_takes() {
        assert_eq!(journal_name("peer.uid"), "NICBAN_PEER_UID");
        assert_eq!(journal_name(&"x".repeat(100)).len(), 64);
    }
}

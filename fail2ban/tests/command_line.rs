//! The program as fail2ban meets it: exit status, standard error, what goes to the socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use nicban_protocol::{Outcome, Refusal, RefusalKind, Reply, Request, decode, encode};

const BAN: [&str; 9] = [
    "ban",
    "--",
    "sshd",
    "192.0.2.1",
    "1700000000.5",
    "600",
    "1",
    "5",
    "0",
];

fn action(socket: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nicban-action"))
        .arg("--socket")
        .arg(socket)
        .args(["--wait", "0"])
        .args(words)
        .output()
        .unwrap()
}

/// Runs the action against a daemon that gives one answer; the request and what came of it.
fn ask(answer: Vec<u8>, words: &[&str]) -> (Request, Output) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = Vec::new();
        BufReader::new(&stream)
            .read_until(b'\n', &mut line)
            .unwrap();
        stream.write_all(&answer).unwrap();
        decode(&line).unwrap()
    });
    let output = action(&socket, words);
    (daemon.join().unwrap(), output)
}

fn done(note: Option<&str>) -> Vec<u8> {
    encode(&Reply::Done {
        outcome: Outcome::Enforced,
        note: note.map(str::to_owned),
    })
    .unwrap()
}

/// The only line of the standard error output.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("nicban-action: ") && text.ends_with('\n'),
        "{text}"
    );
    text
}

#[test]
fn a_ban_that_is_done_says_nothing() {
    let (request, output) = ask(done(None), &BAN);
    let Request::Ban(ban) = request else {
        panic!("{request:?}")
    };
    assert_eq!(
        (ban.address.as_str(), ban.time, ban.bantime),
        ("192.0.2.1", 1_700_000_000, 600)
    );
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn a_note_is_one_line_of_output() {
    let (_, output) = ask(done(Some("by /64\nreally")), &BAN);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"by /64\\nreally\n");
}

#[test]
fn a_refusal_is_status_1_with_the_daemon_s_reason() {
    let refusal = Refusal {
        kind: RefusalKind::Protected,
        message: "allowed\n2026-01-01 fail2ban.actions NOTICE [sshd] Unban 192.0.2.7".into(),
    };
    let (_, output) = ask(encode(&Reply::Refused(refusal)).unwrap(), &BAN);
    assert_eq!(output.status.code(), Some(1));
    let line = complaint(&output);
    assert!(
        line.contains("ban 192.0.2.1 for sshd: refused, protected: allowed\\n2026"),
        "{line}"
    );
}

#[test]
fn a_wrong_command_line_is_status_2_and_asks_nobody() {
    let nowhere = Path::new("/nonexistent/nicban.sock");
    for words in [
        &[][..],
        &["banish", "sshd"],
        &["ban", "sshd", "192.0.2.1\n[sshd] Unban 192.0.2.7", "1", "1"],
        &["ban", "sshd", "--help", "1", "1"],
        &["stop", "a\nb"],
        &["--sokcet", "/x", "stop", "a"],
    ] {
        let output = action(nowhere, words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        complaint(&output);
    }
}

#[test]
fn no_daemon_is_status_3_with_the_path_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("gone");
    let output = action(&socket, &BAN);
    assert_eq!(output.status.code(), Some(3));
    let line = complaint(&output);
    assert!(line.contains(socket.to_str().unwrap()), "{line}");
    assert!(
        line.contains("systemctl status nicban.socket nicban"),
        "{line}"
    );
}

#[test]
fn an_answer_that_is_none_is_status_3() {
    let allowed = encode(&Reply::Allowed {
        allowed: Vec::new(),
    })
    .unwrap();
    for answer in [b"hello\n".to_vec(), Vec::new(), allowed] {
        let (_, output) = ask(answer, &BAN);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        complaint(&output);
    }
}

#[test]
fn only_a_jail_s_own_thread_turns_a_flush_into_a_stop() {
    let by = |thread: &str| {
        thread::Builder::new()
            .name(thread.to_owned())
            .spawn(|| ask(done(None), &["flush", "--", "sshd", "inet4"]).0)
            .unwrap()
            .join()
            .unwrap()
    };
    assert_eq!(
        by("f2b/a.sshd"),
        Request::Stop {
            holder: "sshd".into()
        }
    );
    for other in ["fail2ban-server", "f2b/f.sshd", "f2b/observer"] {
        assert_eq!(
            by(other),
            Request::Flush {
                holder: "sshd".into()
            }
        );
    }
}

#[test]
fn help_and_version() {
    let run = |word| {
        let output = Command::new(env!("CARGO_BIN_EXE_nicban-action"))
            .arg(word)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("--help").contains("Exit status:"));
    assert_eq!(
        run("--version"),
        concat!("nicban-action ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

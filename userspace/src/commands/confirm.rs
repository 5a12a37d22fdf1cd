//! Waits for a yes to a fresh attachment.

use std::io::{self, BufRead};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nicban_protocol::{Attachment, Reply, Request};

use super::link::{Link, unexpected};
use crate::exit::{Exit, Failure};

/// Between two questions to the daemon whether another session has confirmed.
const POLL: Duration = Duration::from_secs(1);

/// How long after the end of the window the daemon may take to roll back.
const GRACE: Duration = Duration::from_secs(10);

/// How a question to the operator ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A yes came.
    Confirmed,
    /// Someone else confirmed.
    ConfirmedElsewhere,
    /// A no came.
    Declined,
    /// The time is over, and the daemon has detached.
    RolledBack,
    /// stdin has ended: there is no one to ask.
    Unattended,
}

/// What was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

/// Waits for a yes or a no to the interfaces `on_trial`, here or from another session,
/// within `window`.
pub(super) fn wait(link: &Link, window: Duration, on_trial: &[String]) -> Result<Verdict, Failure> {
    wait_for(link, window, on_trial, POLL, &answers())
}

#[expect(clippy::disallowed_methods, reason = "a person answers in real time")]
fn wait_for(
    link: &Link,
    window: Duration,
    on_trial: &[String],
    poll: Duration,
    answers: &Receiver<Answer>,
) -> Result<Verdict, Failure> {
    let end = Instant::now() + window + GRACE;
    loop {
        match answers.recv_timeout(poll) {
            Ok(Answer::Yes) => return Ok(Verdict::Confirmed),
            Ok(Answer::No) => return Ok(Verdict::Declined),
            Err(RecvTimeoutError::Disconnected) => return Ok(Verdict::Unattended),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let reply = link.call(&Request::Status {}).map_err(lost)?;
        let Reply::Status(status) = reply else {
            return Err(unexpected(&reply));
        };
        if let Some(verdict) = judge(&status.attachments, on_trial) {
            return Ok(verdict);
        }
        if Instant::now() > end {
            return Err(Failure::new(
                Exit::Failed,
                "the time is over, and the daemon has not rolled back; run: nicban detach --direct",
            ));
        }
    }
}

/// A verdict, once none of the interfaces on trial waits for a confirmation any more.
/// It is a yes if all of them are attached. What becomes of others says nothing.
fn judge(attachments: &[Attachment], on_trial: &[String]) -> Option<Verdict> {
    let mut kept = 0;
    for attachment in attachments {
        if attachment.mode.is_none() || !on_trial.contains(&attachment.interface) {
            continue;
        }
        if attachment.confirm_within_s.is_some() {
            return None;
        }
        kept += 1;
    }
    Some(if kept == on_trial.len() {
        Verdict::ConfirmedElsewhere
    } else {
        Verdict::RolledBack
    })
}

fn lost(failure: Failure) -> Failure {
    Failure {
        exit: failure.exit,
        error: failure.error.context(
            "lost the daemon while waiting, so that it may not roll back; \
             if in doubt run: nicban detach --direct",
        ),
    }
}

/// Lines from stdin, read on a thread of their own, as a read can't be given a
/// deadline. The thread ends with the process.
fn answers() -> Receiver<Answer> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if let Some(answer) = understood(&line) {
                if sender.send(answer).is_err() {
                    break;
                }
            } else {
                eprintln!("type yes or no, and Enter");
            }
        }
    });
    receiver
}

/// Enter alone is no yes: it may have been typed before the question stood there.
fn understood(line: &str) -> Option<Answer> {
    match line.trim().to_ascii_lowercase().as_str() {
        "yes" | "y" => Some(Answer::Yes),
        "no" | "n" => Some(Answer::No),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};
    use std::time::Duration;

    use nicban_protocol::{AttachMode, Attachment, Refusal, RefusalKind, Reply};

    use super::{Answer, Verdict, judge, understood, wait_for};
    use crate::commands::link::Link;
    use crate::commands::standin::Standin;
    use crate::exit::{Exit, Failure};

    const POLL: Duration = Duration::from_millis(1);
    const WINDOW: Duration = Duration::from_mins(10);

    /// A daemon whose attachment waits for the first looks, and then is as `after`.
    fn daemon(after: Attachment) -> Standin {
        let mut looks = 0;
        Standin::new(move |_| {
            looks += 1;
            let waiting = attachment(Some(AttachMode::Native), Some(9));
            let now = if looks < 3 { waiting } else { after.clone() };
            Reply::Status(Box::new(crate::render::sample_status(vec![now])))
        })
    }

    fn attachment(mode: Option<AttachMode>, confirm_within_s: Option<u64>) -> Attachment {
        attachment_of("eth0", mode, confirm_within_s)
    }

    fn attachment_of(
        interface: &str,
        mode: Option<AttachMode>,
        confirm_within_s: Option<u64>,
    ) -> Attachment {
        Attachment {
            interface: interface.to_owned(),
            mode,
            confirm_within_s,
        }
    }

    fn on_trial(interfaces: &[&str]) -> Vec<String> {
        interfaces.iter().map(ToString::to_string).collect()
    }

    fn wait_for_eth0(
        link: &Link,
        poll: Duration,
        answers: &Receiver<Answer>,
    ) -> Result<Verdict, Failure> {
        wait_for(link, WINDOW, &on_trial(&["eth0"]), poll, answers)
    }

    #[test]
    fn a_verdict_stands_once_nothing_waits() {
        let native = Some(AttachMode::Native);
        let judge = |now: &[Attachment]| judge(now, &on_trial(&["eth0"]));
        assert_eq!(judge(&[attachment(native, Some(7))]), None);
        assert_eq!(
            judge(&[attachment(native, None)]),
            Some(Verdict::ConfirmedElsewhere)
        );
        assert_eq!(judge(&[attachment(None, None)]), Some(Verdict::RolledBack));
        assert_eq!(judge(&[]), Some(Verdict::RolledBack));
    }

    #[test]
    fn only_what_is_on_trial_is_judged() {
        let native = Some(AttachMode::Native);
        let now = |eth1, left| {
            [
                attachment_of("eth0", native, None),
                attachment_of("eth1", eth1, left),
                attachment_of("eth2", native, Some(9)),
            ]
        };
        let eth1 = on_trial(&["eth1"]);
        assert_eq!(judge(&now(native, Some(1)), &eth1), None);
        assert_eq!(
            judge(&now(native, None), &eth1),
            Some(Verdict::ConfirmedElsewhere)
        );
        assert_eq!(judge(&now(None, None), &eth1), Some(Verdict::RolledBack));
        // Of two, the one that still waits is waited for, and each has to be kept.
        let both = on_trial(&["eth1", "eth2"]);
        assert_eq!(judge(&now(None, None), &both), None);
        let both = on_trial(&["eth0", "eth1"]);
        assert_eq!(judge(&now(None, None), &both), Some(Verdict::RolledBack));
    }

    #[test]
    fn the_daemon_tells_what_became_of_it() {
        // Held, so that stdin seems open.
        let (_sender, silence) = mpsc::channel();
        let kept = daemon(attachment(Some(AttachMode::Native), None));
        let verdict = wait_for_eth0(&kept.link(), POLL, &silence).unwrap();
        assert_eq!(verdict, Verdict::ConfirmedElsewhere);
        let detached = daemon(attachment(None, None));
        let verdict = wait_for_eth0(&detached.link(), POLL, &silence).unwrap();
        assert_eq!(verdict, Verdict::RolledBack);
    }

    #[test]
    fn an_answer_comes_before_a_look() {
        let never = Standin::new(|_| panic!("asked"));
        for (answer, verdict) in [
            (Answer::Yes, Verdict::Confirmed),
            (Answer::No, Verdict::Declined),
        ] {
            let (sender, answers) = mpsc::channel();
            sender.send(answer).unwrap();
            let given = wait_for_eth0(&never.link(), WINDOW, &answers).unwrap();
            assert_eq!(given, verdict);
        }
        let (sender, answers) = mpsc::channel();
        drop(sender);
        let given = wait_for_eth0(&never.link(), WINDOW, &answers).unwrap();
        assert_eq!(given, Verdict::Unattended);
    }

    #[test]
    fn without_the_daemon_the_way_back_is_named() {
        let (_sender, silence) = mpsc::channel();
        let stopping = Standin::new(|_| {
            Reply::Refused(Refusal {
                kind: RefusalKind::Unavailable,
                message: "stopping".to_owned(),
            })
        });
        let link = stopping.link().impatient(Duration::from_secs(30));
        let failure = wait_for_eth0(&link, POLL, &silence).unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(format!("{:#}", failure.error).contains("nicban detach --direct"));
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        assert_eq!(understood(" YES "), Some(Answer::Yes));
        assert_eq!(understood("n"), Some(Answer::No));
        assert_eq!(understood(""), None);
        assert_eq!(understood("yes please"), None);
    }
}

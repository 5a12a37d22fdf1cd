//! The framing of messages: one JSON object a line.
//!
//! It does no input or output, so that blocking and asynchronous callers share it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::MAX_LINE;

/// Why bytes are not a message, or a message is not a line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is longer than [`MAX_LINE`].
    #[error("a line of more than {MAX_LINE} bytes")]
    TooLong,
    /// The line is not JSON, or not the message that belongs here.
    #[error("not a message of this protocol: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A message as one line, its newline included.
///
/// Fails with [`LineError::TooLong`] where it would take more than [`MAX_LINE`] bytes.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, LineError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() > MAX_LINE {
        return Err(LineError::TooLong);
    }
    Ok(line)
}

/// The message of one line, with or without its newline.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, LineError> {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    // The newline counts, also where it has been taken off already.
    if body.len() >= MAX_LINE {
        return Err(LineError::TooLong);
    }
    Ok(serde_json::from_slice(body)?)
}

/// Cuts a stream of bytes into lines.
///
/// Holds at most [`MAX_LINE`] bytes besides what the last [`Splitter::push`] brought, provided
/// that the lines are taken after each push. A line that is too long is reported once, then
/// skipped up to its newline, so that the lines after it are heard again.
#[derive(Debug, Default)]
pub struct Splitter {
    pending: Vec<u8>,
    /// So many bytes of `pending` are known to hold no newline.
    scanned: usize,
    skipping: bool,
}

impl Splitter {
    /// A splitter that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next line without its newline; `None` until more is pushed.
    ///
    /// Fails once for each line that is too long.
    pub fn next_line(&mut self) -> Option<Result<Vec<u8>, LineError>> {
        loop {
            let newline = self.pending[self.scanned..]
                .iter()
                .position(|&byte| byte == b'\n')
                .map(|at| self.scanned + at);
            let Some(end) = newline else {
                self.scanned = self.pending.len();
                if self.skipping {
                    self.forget();
                } else if self.pending.len() >= MAX_LINE {
                    self.forget();
                    self.skipping = true;
                    return Some(Err(LineError::TooLong));
                }
                return None;
            };
            let mut line: Vec<u8> = self.pending.drain(..=end).collect();
            self.scanned = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if line.len() > MAX_LINE {
                return Some(Err(LineError::TooLong));
            }
            line.pop();
            return Some(Ok(line));
        }
    }

    /// Whether the stream, should it end now, ends inside a line.
    pub fn is_inside_line(&self) -> bool {
        self.skipping || !self.pending.is_empty()
    }

    fn forget(&mut self) {
        self.pending.clear();
        self.scanned = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ban, Outcome, Reply, Request};
    use proptest::prelude::*;

    fn drain(splitter: &mut Splitter) -> Vec<Option<Vec<u8>>> {
        std::iter::from_fn(|| splitter.next_line().map(Result::ok)).collect()
    }

    #[test]
    fn a_request_is_one_line() {
        let line = encode(&Request::Flush {
            holder: "a\nb".into(),
        })
        .unwrap();
        assert_eq!(line, b"{\"op\":\"flush\",\"holder\":\"a\\nb\"}\n");
    }

    #[test]
    fn an_unknown_field_is_malformed() {
        let line = br#"{"op":"flush","holder":"sshd","force":true}"#;
        assert!(matches!(
            decode::<Request>(line),
            Err(LineError::Malformed(_))
        ));
    }

    #[test]
    fn the_longest_line_fits_and_one_byte_more_does_not() {
        let frame = encode(&Request::Check {
            holder: String::new(),
        })
        .unwrap()
        .len();
        let holder = "x".repeat(MAX_LINE - frame);
        let line = encode(&Request::Check {
            holder: holder.clone(),
        })
        .unwrap();
        assert_eq!(line.len(), MAX_LINE);
        assert!(decode::<Request>(&line).is_ok());
        let mut splitter = Splitter::new();
        splitter.push(&line);
        assert_eq!(drain(&mut splitter), [Some(line[..MAX_LINE - 1].to_vec())]);

        let longer = Request::Check {
            holder: holder + "x",
        };
        assert!(matches!(encode(&longer), Err(LineError::TooLong)));
        let mut line = serde_json::to_vec(&longer).unwrap();
        assert!(matches!(decode::<Request>(&line), Err(LineError::TooLong)));
        line.push(b'\n');
        splitter.push(&line);
        splitter.push(b"next\n");
        assert_eq!(drain(&mut splitter), [None, Some(b"next".to_vec())]);
    }

    #[test]
    fn an_endless_line_is_reported_once_and_not_kept() {
        let mut splitter = Splitter::new();
        let mut errors = 0;
        for _ in 0..64 {
            splitter.push(&[b'x'; 4096]);
            errors += drain(&mut splitter).len();
            assert!(splitter.pending.len() <= MAX_LINE);
        }
        assert_eq!(errors, 1);
        assert!(splitter.is_inside_line());
        splitter.push(b"\n{}\n");
        assert_eq!(drain(&mut splitter), [Some(b"{}".to_vec())]);
        assert!(!splitter.is_inside_line());
    }

    fn request() -> impl Strategy<Value = Request> {
        let ban = (
            any::<String>(),
            any::<String>(),
            any::<(i64, i64, u32, u32, bool)>(),
        )
            .prop_map(
                |(holder, address, (time, bantime, bancount, failures, restored))| Ban {
                    holder,
                    address,
                    time,
                    bantime,
                    bancount,
                    failures,
                    restored,
                    reason: None,
                },
            );
        prop_oneof![
            ban.clone().prop_map(Request::Ban),
            ban.prop_map(Request::Prolong),
            any::<(String, Option<String>)>()
                .prop_map(|(address, holder)| Request::Unban { address, holder }),
            any::<String>().prop_map(|holder| Request::Stop { holder }),
            Just(Request::Status {}),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(request in request()) {
            let line = encode(&request).unwrap();
            prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
            prop_assert_eq!(decode::<Request>(&line).unwrap(), request);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(decode::<Reply>(&bytes).is_err());
        }

        #[test]
        fn lines_do_not_depend_on_where_reads_end(
            lines in proptest::collection::vec("[ -~]{0,40}", 1..8),
            cuts in proptest::collection::vec(1_usize..17, 1..200),
        ) {
            let stream = lines.join("\n") + "\n";
            let mut rest = stream.as_bytes();
            let mut cuts = cuts.into_iter().cycle();
            let mut splitter = Splitter::new();
            let mut seen = Vec::new();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                rest = later;
                splitter.push(now);
                seen.extend(drain(&mut splitter).into_iter().map(Option::unwrap));
            }
            let wanted: Vec<_> = lines.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(seen, wanted);
        }
    }

    #[test]
    fn a_reply_without_a_note_decodes() {
        let reply: Reply = decode(b"{\"reply\":\"done\",\"outcome\":\"enforced\"}\n").unwrap();
        assert_eq!(
            reply,
            Reply::Done {
                outcome: Outcome::Enforced,
                note: None
            }
        );
    }
}

//! What comes over the control socket, from either side.
//!
//! The first octet says in which pieces it is read, the rest is the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nicban_fuzz::one_line;
use nicban_protocol::{
    LineError, MAX_HOLDER, MAX_LINE, Refusal, RefusalKind, Reply, Request, Splitter, decode,
    encode, items,
};

/// The lines of a stream that is read in pieces of so many bytes.
fn lines(stream: &[u8], piece: usize) -> Vec<Option<Vec<u8>>> {
    let mut splitter = Splitter::new();
    let mut lines = Vec::new();
    for piece in stream.chunks(piece) {
        splitter.push(piece);
        lines.extend(std::iter::from_fn(|| splitter.next_line().map(Result::ok)));
    }
    assert_eq!(
        splitter.is_inside_line(),
        stream.last().is_some_and(|byte| *byte != b'\n')
    );
    lines
}

/// What the daemon says to a line that it can't read is itself a line, or says that it would
/// not fit.
fn answerable(error: &LineError) {
    let refusal = Reply::Refused(Refusal {
        kind: RefusalKind::Malformed,
        message: error.to_string(),
    });
    match encode(&refusal) {
        Ok(line) => {
            assert_eq!(
                line.iter().position(|byte| *byte == b'\n'),
                Some(line.len() - 1)
            );
            assert_eq!(
                decode::<Reply>(&line).expect("it was just written"),
                refusal
            );
        }
        Err(error) => assert!(matches!(error, LineError::TooLong), "{error}"),
    }
}

fn request(line: &[u8]) {
    let request: Request = match decode(line) {
        Ok(request) => request,
        Err(error) => return answerable(&error),
    };
    let valid = request.validate();
    if let Err(problem) = &valid {
        one_line(&problem.to_string());
    }
    // It may have come in fewer bytes than nicban writes: `\n` where a quote would do is longer.
    match encode(&request) {
        Ok(line) => assert_eq!(
            decode::<Request>(&line).expect("it was just written"),
            request
        ),
        Err(error) => assert!(matches!(error, LineError::TooLong), "{error}"),
    }
    if valid.is_err() {
        return;
    }
    match &request {
        Request::Ban(ban) | Request::Prolong(ban) => {
            named(&ban.holder);
            one_line(&ban.address);
            one_line(ban.reason.as_deref().unwrap_or_default());
            ban.time.checked_add(ban.bantime).expect("no end overflows");
            assert!(ban.address.parse::<std::net::IpAddr>().is_ok() || ban.address.contains('/'));
        }
        Request::BanMany(many) => {
            named(&many.holder);
            many.until
                .unwrap_or_default()
                .checked_sub(many.time)
                .expect("no length overflows");
            listed(&many.networks);
        }
        Request::UnbanMany { holder, networks } => {
            named(holder);
            listed(networks);
        }
        Request::Unban { holder, address } => {
            holder.as_deref().into_iter().for_each(named);
            one_line(address);
        }
        Request::Flush { holder }
        | Request::Lift { holder }
        | Request::Start { holder }
        | Request::Stop { holder }
        | Request::Check { holder } => named(holder),
        Request::Synced(synced) => one_line(&synced.to_string()),
        Request::Attach {
            interface,
            ssh_peer,
            ..
        } => {
            one_line(interface.as_deref().unwrap_or_default());
            one_line(ssh_peer.as_deref().unwrap_or_default());
        }
        Request::Detach { interface } => one_line(interface.as_deref().unwrap_or_default()),
        Request::List {
            after,
            address,
            holder,
        } => {
            [after, address, holder]
                .into_iter()
                .flatten()
                .for_each(|text| one_line(text));
        }
        Request::Dump { after, holder } => {
            [after, holder]
                .into_iter()
                .flatten()
                .for_each(|text| one_line(text));
        }
        Request::AllowAdd { network } | Request::AllowRemove { network } => one_line(network),
        Request::Mark {}
        | Request::Status {}
        | Request::AllowList {}
        | Request::SetMode { .. }
        | Request::Confirm {}
        | Request::NaclPlan {}
        | Request::NaclRelease {}
        | Request::NaclResume {} => {}
    }
}

fn named(holder: &str) {
    one_line(holder);
    assert!((1..=MAX_HOLDER).contains(&holder.len()));
}

fn listed(networks: &str) {
    one_line(networks);
    for (at, item) in items(networks).enumerate() {
        match item {
            Ok(item) => assert!(!item.network.contains([' ', '='])),
            Err(bad) => assert_eq!(bad.at, at),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&piece, stream)) = input.split_first() else {
        return;
    };
    let piece = usize::from(piece) + 1;
    let read = lines(stream, piece);
    assert_eq!(read, lines(stream, 4096));
    let ended = stream
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"));
    let expected: Vec<_> = ended
        .map(|line| (line.len() <= MAX_LINE).then(|| line[..line.len() - 1].to_vec()))
        .collect();
    if stream.len() < MAX_LINE {
        assert_eq!(read, expected);
    }
    for line in read.iter().flatten() {
        request(line);
        // The other side: what a daemon might answer.
        match decode::<Reply>(line) {
            Ok(reply) => match encode(&reply) {
                Ok(line) => drop(decode::<Reply>(&line).expect("it was just written")),
                Err(error) => assert!(matches!(error, LineError::TooLong), "{error}"),
            },
            Err(error) => answerable(&error),
        }
    }
});

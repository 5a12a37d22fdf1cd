//! One connection: a request a line, an answer a line.

use std::{io, time::Duration};

use futures_util::FutureExt as _;
use nicban_protocol::{LineError, Refusal, RefusalKind, Reply, Splitter, decode, encode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::warn;

use super::{Access, Dispatch};

/// How long a peer may take for a request, from the answer before to the end of its line, or to
/// read its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take in any case, even while others wait for its place, and how long it may
/// go on asking then.
const COURTESY: Duration = Duration::from_secs(1);

/// Serves a connection until its peer hangs up, is silent for too long, or the
/// daemon stops.
pub(super) async fn serve(
    mut stream: UnixStream,
    access: &Access,
    dispatch: &Dispatch,
    crowd: &Notify,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    if !access.admits(&peer) {
        warn!(uid = peer.uid(), gid = peer.gid(), pid = ?peer.pid(), "refused a peer on the control socket");
        let refusal = Reply::Refused(Refusal {
            kind: RefusalKind::Forbidden,
            message: format!(
                "user {} may not speak to nicban; root may, and those that [daemon] users and socket_group name",
                peer.uid()
            ),
        });
        // Heard out first: a peer that finds the socket closed when it writes would
        // not read why.
        if let Ok(read) = timeout(COURTESY, stream.read(&mut [0; 4096])).await {
            read?;
        }
        return send(&mut stream, crowd, &refusal).await;
    }
    let mut lines = Splitter::new();
    let mut chunk = vec![0; 4096];
    let opened = Instant::now();
    let mut turn = opened;
    loop {
        while let Some(line) = lines.next_line() {
            let reply = match line.and_then(|line| decode(&line)) {
                Ok(request) => dispatch.serve(request).await,
                Err(error) => malformed(&error),
            };
            send(&mut stream, crowd, &reply).await?;
            // One that always has another request keeps nobody out for ever.
            if opened.elapsed() >= COURTESY && is_wanted(crowd) {
                return Ok(());
            }
            turn = Instant::now();
        }
        // One that writes a line byte by byte is never silent, and one whose line does not
        // end is never waited for.
        if lines.is_inside_line() {
            let taken = turn.elapsed();
            if taken >= PATIENCE || taken >= COURTESY && is_wanted(crowd) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        let read = tokio::select! {
            read = patiently(crowd, turn, stream.read(&mut chunk)) => read?,
            // Between two requests, so that nothing is cut off.
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        };
        match read {
            0 => return Ok(()),
            length => lines.push(&chunk[..length]),
        }
    }
}

/// Waits for a peer whose turn it is since `turn`, for as long as nobody else waits for its
/// place, within bounds.
async fn patiently<T>(
    crowd: &Notify,
    turn: Instant,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::select! {
        biased;
        done = work => done,
        () = sleep_until(turn + PATIENCE) => Err(io::ErrorKind::TimedOut.into()),
        () = async {
            sleep_until(turn + COURTESY).await;
            crowd.notified().await;
        } => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Whether somebody waits for a place. Who asks has to give up its own.
fn is_wanted(crowd: &Notify) -> bool {
    crowd.notified().now_or_never().is_some()
}

async fn send(stream: &mut UnixStream, crowd: &Notify, reply: &Reply) -> io::Result<()> {
    let line = encode(reply).or_else(|error| {
        encode(&Reply::Refused(Refusal {
            kind: RefusalKind::Failed,
            message: format!("the answer does not fit one line: {error}"),
        }))
    });
    let line = line.map_err(io::Error::other)?;
    patiently(crowd, Instant::now(), stream.write_all(&line)).await
}

fn malformed(error: &LineError) -> Reply {
    Reply::Refused(Refusal {
        kind: RefusalKind::Malformed,
        message: error.to_string(),
    })
}

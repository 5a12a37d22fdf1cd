//! The listening socket: handed over by systemd, or made here.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _, chown},
        net::{UnixListener as StdListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use thiserror::Error;
use tokio::{
    net::UnixListener,
    sync::{Notify, Semaphore},
    task::JoinSet,
};
use tracing::{debug, warn};

use super::{Access, Dispatch, connection};
use crate::config::{Daemon, Group, PrincipalError};

/// Connections that are served at a time. More wait in the listening socket.
const CONNECTIONS: usize = 256;

/// How long open connections may take to finish once the daemon stops.
const DRAIN: Duration = Duration::from_secs(3);

/// Why there is no listening socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// systemd handed over something else, or none.
    #[error("cannot take the socket that systemd handed over")]
    Inherited(#[source] io::Error),
    /// Another daemon listens there.
    #[error("another nicban daemon is listening on {0}; stop it first")]
    InUse(PathBuf),
    /// The path is taken by something that is no socket.
    #[error("{0} exists and is no socket; remove it, or set another path in [daemon] socket")]
    NotASocket(PathBuf),
    /// The socket can't be made.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket's group is unknown.
    #[error("cannot give the socket to its group")]
    Group(#[from] PrincipalError),
}

/// The socket that systemd handed over (`sd_listen_fds(3)`), else a new one.
pub fn listen(config: &Daemon) -> Result<UnixListener, SocketError> {
    let inherited = listenfd::ListenFd::from_env()
        .take_unix_listener(0)
        .map_err(SocketError::Inherited)?;
    let listener = match inherited {
        Some(listener) => listener,
        None => bind(config)?,
    };
    listener
        .set_nonblocking(true)
        .and_then(|()| UnixListener::from_std(listener))
        .map_err(SocketError::Inherited)
}

fn bind(config: &Daemon) -> Result<StdListener, SocketError> {
    let path = &config.socket;
    let failed = |operation| {
        move |source| SocketError::Io {
            operation,
            path: path.clone(),
            source,
        }
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
    }
    remove_stale(path)?;
    let listener = StdListener::bind(path).map_err(failed("listen on"))?;
    let group = config
        .socket_group
        .as_ref()
        .map(Group::resolve)
        .transpose()?;
    if let Some(group) = group {
        chown(path, None, Some(group.as_raw())).map_err(failed("change the group of"))?;
    }
    let mode = fs::Permissions::from_mode(config.socket_mode.bits());
    fs::set_permissions(path, mode).map_err(failed("set the mode of"))?;
    Ok(listener)
}

/// Removes the socket of a daemon that is gone. One that answers is left alone.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(SocketError::Io {
                operation: "look at",
                path: path.to_owned(),
                source,
            });
        }
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(SocketError::InUse(path.to_owned()));
    }
    fs::remove_file(path).map_err(|source| SocketError::Io {
        operation: "remove the stale",
        path: path.to_owned(),
        source,
    })
}

/// Serves connections until `shutdown` resolves, then lets those that are open
/// finish the request they are at, within a bound.
pub async fn serve(
    listener: UnixListener,
    access: Access,
    dispatch: Dispatch,
    shutdown: impl Future<Output = ()>,
) {
    let access = Arc::new(access);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let crowd = Arc::new(Notify::new());
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        if places.available_permits() == 0 {
            // Whoever has been silent, slow or served for a while makes room: a ban must
            // not wait behind them.
            crowd.notify_one();
        }
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = &mut shutdown => break,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { break };
        // If it came free by itself, nobody has to make room any more.
        crowd.notified().now_or_never();
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (access, dispatch) = (Arc::clone(&access), dispatch.clone());
                let crowd = Arc::clone(&crowd);
                let stopping = stopping.clone();
                connections.spawn(async move {
                    if let Err(error) =
                        connection::serve(stream, &access, &dispatch, &crowd, stopping).await
                    {
                        debug!(%error, "a connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: the next one may do.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    stop.send_replace(true);
    let drained = tokio::time::timeout(DRAIN, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        warn!("connections were still open at the end of the time to finish");
    }
}

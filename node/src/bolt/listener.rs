//! The port.

use super::connection;
use super::services::Services;
use super::triggers::AfterCommit;
use super::{BoltConfig, Core};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How long sessions have to end when the node stops.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// The Bolt port. Opened only once the node is ready to serve, since a client that can connect
/// expects to be served.
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Opens the port. It can be opened again at once after a restart.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Listener { socket: socket.listen(1024)? })
    }

    /// Returns the address that was opened.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves clients until `stop` becomes true, then ends the sessions: a query that runs is
    /// stopped, a commit under way is answered, and what was committed sets off its triggers.
    pub async fn serve<C: Core>(self, core: C, config: BoltConfig, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(config.sessions_max));
        let services = Arc::new(Services::new(core, config));
        let after_commit = AfterCommit::start(services.clone());
        let mut sessions = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = connection::stopping(&mut stop) => break,
                Some(ended) = sessions.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!(%error, "a Bolt session panicked");
                    }
                    continue;
                }
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let slot = slots.clone().try_acquire_owned().ok();
                    let connection = connection::serve(stream, peer, services.clone(), slot, stop.clone());
                    sessions.spawn(connection);
                }
                Err(error) => {
                    // Most likely out of file descriptors: sessions that end give some back.
                    tracing::warn!(%error, "a Bolt connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(self.socket);
        let all_end = async { while sessions.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WAIT, all_end).await.is_err() {
            tracing::warn!(left = sessions.len(), "Bolt sessions did not end in time and are cut off");
        }
        after_commit.finish().await;
    }
}

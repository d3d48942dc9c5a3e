//! The replication port of a REPLICA.

use super::peer::{self, accept_streams, serve, transport_config};
use super::{ACCEPTED_MAX, CONNECT_TIMEOUT, Shared, tls};
use mgnode_core::engine::Input;
use mgnode_core::replication::Line;
use quinn::{Endpoint, Incoming, ServerConfig, VarInt};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

/// How often, and after how long a pause, a port is asked for that this node itself has just closed.
const BIND_TRIES: u32 = 20;
const BIND_PAUSE: Duration = Duration::from_millis(50);

enum Command {
    Open(u16),
    Close,
}

/// Opens and closes the port, one command after the other.
pub(super) struct Control {
    commands: mpsc::UnboundedSender<Command>,
}

impl Control {
    pub(super) fn start(shared: Arc<Shared>, address: IpAddr) -> Control {
        let (commands, queue) = mpsc::unbounded_channel();
        let runtime = shared.runtime.clone();
        runtime.spawn(run(shared, address, queue));
        Control { commands }
    }

    pub(super) fn open(&self, port: u16) {
        self.tell(Command::Open(port));
    }

    pub(super) fn close(&self) {
        self.tell(Command::Close);
    }

    fn tell(&self, command: Command) {
        // The task ends only with the runtime, when nobody waits for an answer any more.
        let _ = self.commands.send(command);
    }
}

async fn run(shared: Arc<Shared>, address: IpAddr, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut open: Option<Endpoint> = None;
    while let Some(command) = commands.recv().await {
        if let Some(endpoint) = open.take() {
            endpoint.close(VarInt::from_u32(0), b"this node takes no records any more");
            // The port is free when the last connection has let go of the socket.
            let _ = timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
        }
        if let Command::Open(port) = command {
            let result = match bind(&shared, SocketAddr::new(address, port)).await {
                Ok(endpoint) => {
                    tracing::warn!(
                        "UDP {address} port {port} takes records from any MAIN that reaches it: encrypted, not \
                         authenticated; keep it on a network of the cluster's own"
                    );
                    shared.runtime.spawn(accept(shared.clone(), endpoint.clone()));
                    open = Some(endpoint);
                    Ok(())
                }
                Err(e) => Err(e),
            };
            shared.emit(Input::Listening { result });
        }
    }
}

async fn bind(shared: &Shared, address: SocketAddr) -> Result<Endpoint, String> {
    let mut config = ServerConfig::with_crypto(Arc::new(shared.identity.server()?));
    config.transport_config(transport_config());
    config.migration(false);
    let mut last = String::new();
    for _ in 0..BIND_TRIES {
        match Endpoint::server(config.clone(), address) {
            Ok(endpoint) => return Ok(endpoint),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => last = e.to_string(),
            Err(e) => return Err(format!("cannot open UDP {address}: {e}")),
        }
        sleep(BIND_PAUSE).await;
    }
    Err(format!("cannot open UDP {address}: {last}"))
}

async fn accept(shared: Arc<Shared>, endpoint: Endpoint) {
    let places = Arc::new(Semaphore::new(ACCEPTED_MAX));
    while let Some(incoming) = endpoint.accept().await {
        match places.clone().try_acquire_owned() {
            Ok(place) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    receive(shared, incoming).await;
                    drop(place);
                });
            }
            Err(_) => incoming.refuse(),
        }
    }
}

async fn receive(shared: Arc<Shared>, incoming: Incoming) {
    let from = incoming.remote_address();
    let greeted = timeout(CONNECT_TIMEOUT, async {
        let connection = incoming.await.map_err(|e| e.to_string())?;
        let streams = accept_streams(&connection).await?;
        let line = Line { protocol: tls::protocol(&connection)?, ..Line::default() };
        Ok::<_, String>((connection, streams, line))
    });
    let (connection, streams, line) = match greeted.await {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(e)) => {
            return tracing::debug!(%from, "a connection to the replication port came to nothing: {e}");
        }
        Err(_) => return tracing::debug!(%from, "a connection to the replication port said nothing"),
    };
    let peer = shared.next_accepted();
    let (mut handle, ends) = peer::lanes();
    handle.speak(line.protocol);
    shared.peers.lock().insert(peer, handle);
    tracing::debug!(%from, peer = peer.0, "a node has connected");
    let protocol = line.protocol;
    shared.emit(Input::PeerUp { peer, dialled: false, line });
    let reason = serve(&shared, peer, protocol, connection, streams, ends).await;
    shared.emit(Input::PeerDown { peer, reason });
}

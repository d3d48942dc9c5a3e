//! The replication port of a REPLICA.

use super::peer::{self, Streams, accept_streams, serve, transport_config};
use super::platform::within;
use super::refusal::explain;
use super::{ACCEPTED_MAX, CONNECT_TIMEOUT, HANDSHAKES_MAX, Shared};
use mgnode_core::engine::Input;
use mgnode_core::replication::Line;
use parking_lot::Mutex;
use quinn::{Connection, Endpoint, Incoming, ServerConfig, VarInt};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// How often, and after how long a pause, a port is asked for that this node itself has just closed.
const BIND_TRIES: u32 = 20;
const BIND_PAUSE: Duration = Duration::from_millis(50);
/// Bytes that a connection may send before it is looked at, and all of those together.
const WAITING_BYTES_MAX: u64 = 64 << 10;
const ALL_WAITING_BYTES_MAX: u64 = 1 << 20;
/// Connections that fail are told to people at most this often: anyone can make them fail.
const TELL_EVERY: Duration = Duration::from_secs(10);

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
        let platform = shared.platform.clone();
        platform.spawn(Box::pin(run(shared, address, queue)));
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
            // What is still to be said is said. A connection may take seconds to end, and holds the socket.
            let _ = within(&*shared.platform, BIND_PAUSE * BIND_TRIES, endpoint.wait_idle()).await;
            if let Err(e) = shared.platform.release(&endpoint) {
                tracing::warn!("the replication port is given back late: {e}");
            }
        }
        if let Command::Open(port) = command {
            let result = match bind(&shared, SocketAddr::new(address, port)).await {
                Ok(endpoint) => {
                    tracing::info!("listens for a MAIN on UDP {address} port {port}");
                    shared.platform.spawn(Box::pin(accept(shared.clone(), endpoint.clone())));
                    open = Some(endpoint);
                    Ok(())
                }
                Err(e) => Err(e),
            };
            shared.emit(Input::Listening { result });
        }
    }
}

/// What a connection is accepted with, made anew for each: certificates may have been replaced.
fn server_config(shared: &Shared) -> Result<ServerConfig, String> {
    let mut config = ServerConfig::with_crypto(Arc::new(shared.credentials.server()?));
    config.transport_config(transport_config(true));
    config.migration(false);
    config.max_incoming(ACCEPTED_MAX);
    config.incoming_buffer_size(WAITING_BYTES_MAX);
    config.incoming_buffer_size_total(ALL_WAITING_BYTES_MAX);
    Ok(config)
}

async fn bind(shared: &Shared, address: SocketAddr) -> Result<Endpoint, String> {
    let config = server_config(shared)?;
    let mut last = String::new();
    for _ in 0..BIND_TRIES {
        match shared.platform.open(address, Some(config.clone())) {
            Ok(endpoint) => return Ok(endpoint),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => last = e.to_string(),
            Err(e) => return Err(format!("cannot open UDP {address}: {e}")),
        }
        shared.platform.sleep(BIND_PAUSE).await;
    }
    Err(format!("cannot open UDP {address}: {last}"))
}

async fn accept(shared: Arc<Shared>, endpoint: Endpoint) {
    let places = Arc::new(Semaphore::new(ACCEPTED_MAX));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let failures = Arc::new(Failures::default());
    while let Some(incoming) = endpoint.accept().await {
        let is_crowded = handshakes.available_permits() <= HANDSHAKES_MAX / 2;
        if is_crowded && !incoming.remote_address_validated() && incoming.may_retry() {
            // It comes again with a token that only the owner of its address can have; else it is gone.
            let _ = incoming.retry();
            continue;
        }
        match (places.clone().try_acquire_owned(), handshakes.clone().try_acquire_owned()) {
            (Ok(place), Ok(handshake)) => {
                let (shared, failures) = (shared.clone(), failures.clone());
                let platform = shared.platform.clone();
                platform.spawn(Box::pin(async move {
                    let from = incoming.remote_address();
                    let greeted = greet(&shared, incoming).await;
                    drop(handshake);
                    match greeted {
                        Ok(greeted) => receive(shared, from, greeted).await,
                        Err(why) => failures.tell(shared.platform.now(), from, &why),
                    }
                    drop(place);
                }));
            }
            _ => incoming.refuse(),
        }
    }
}

/// Counts connections that came to nothing, and says why now and then.
#[derive(Default)]
struct Failures {
    untold: Mutex<(u64, Option<Instant>)>,
}

impl Failures {
    fn tell(&self, now: Instant, from: SocketAddr, why: &str) {
        let mut untold = self.untold.lock();
        if untold.1.is_some_and(|last| now - last < TELL_EVERY) {
            untold.0 += 1;
            return tracing::debug!(%from, "a connection to the replication port came to nothing: {why}");
        }
        let others = std::mem::replace(&mut *untold, (0, Some(now))).0;
        tracing::warn!(%from, others, "a connection to the replication port came to nothing: {why}");
    }
}

type Greeted = (Connection, Streams, Line);

async fn greet(shared: &Shared, incoming: Incoming) -> Result<Greeted, String> {
    let greeted = within(&*shared.platform, CONNECT_TIMEOUT, async {
        let config = Arc::new(server_config(shared)?);
        let connecting = incoming.accept_with(config).map_err(|e| explain(&e))?;
        let connection = connecting.await.map_err(|e| explain(&e))?;
        let line = shared.credentials.line(&connection)?;
        let streams = accept_streams(&connection, line.protocol).await?;
        Ok((connection, streams, line))
    });
    greeted.await.unwrap_or_else(|| Err("it said nothing".to_owned()))
}

async fn receive(shared: Arc<Shared>, from: SocketAddr, (connection, streams, line): Greeted) {
    let peer = shared.next_accepted();
    let (handle, ends) = peer::lanes();
    let protocol = line.protocol;
    shared.peers.lock().insert(peer, handle);
    tracing::debug!(%from, peer = peer.0, "a node has connected");
    shared.emit(Input::PeerUp { peer, dialled: false, line });
    let reason = serve(&shared, peer, protocol, connection, streams, ends).await;
    shared.emit(Input::PeerDown { peer, reason });
}

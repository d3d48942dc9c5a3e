//! One connection: handshake, the reader, and the loop that feeds the session.

use super::Core;
use super::interrupt::{Interrupt, Reason};
use super::services::Services;
use super::session::{Flow, Session};
use super::texts::Failure;
use bytes::BytesMut;
use mgbolt::{
    Dechunker, MESSAGE_BYTES_BEFORE_LOGON, Request, RequestKind, Response, Version, handshake,
    handshake::Choice,
};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// Requests that are read ahead, so that a RESET behind them is seen.
const QUEUE: usize = 64;

/// How long the rest of a client's bytes is read away, so that the last answer reaches it: closing
/// with bytes unread would make the system throw that answer away.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves one client from its first byte to its last. Without a slot it is told that the node is full.
pub(super) async fn serve<C: Core>(
    mut stream: TcpStream,
    peer: SocketAddr,
    services: Arc<Services<C>>,
    slot: Option<OwnedSemaphorePermit>,
    stop: watch::Receiver<bool>,
) {
    // Errors of a client's line end the connection and concern nobody else.
    let _ = stream.set_nodelay(true);
    let deadline = Instant::now() + services.config.logon_timeout;
    match timeout_at(deadline, shake_hands(&mut stream)).await {
        Ok(Ok(version)) => {
            tracing::debug!(%peer, %version, "Bolt session begins");
            let ended = converse(stream, version, services, slot.is_some(), deadline, stop).await;
            tracing::debug!(%peer, ?ended, "Bolt session ended");
        }
        // A check whether the port is open connects and closes; that is nothing to talk about.
        Ok(Err(error)) => tracing::trace!(%peer, %error, "no handshake"),
        Err(_) => tracing::debug!(%peer, "a client did not speak in time"),
    }
}

async fn shake_hands(stream: &mut TcpStream) -> io::Result<Version> {
    let mut bytes = [0; handshake::CLIENT_BYTES];
    // The first four bytes tell a client of something else, which may never send twenty.
    stream.read_exact(&mut bytes[..4]).await?;
    if bytes[..4] != handshake::MAGIC {
        return Err(io::Error::other(handshake::HandshakeError::NotBolt));
    }
    stream.read_exact(&mut bytes[4..]).await?;
    match handshake::choose(&bytes) {
        Ok(Choice::Version(version)) => {
            stream.write_all(&handshake::answer(version)).await?;
            Ok(version)
        }
        Ok(Choice::Manifest) => {
            stream.write_all(&handshake::manifest()).await?;
            let mut chosen = [0; 5];
            stream.read_exact(&mut chosen).await?;
            let [version @ .., capabilities] = chosen;
            handshake::chosen(version, capabilities).map_err(io::Error::other)
        }
        Err(error) => {
            stream.write_all(&handshake::NO_VERSION).await?;
            stream.shutdown().await?;
            Err(io::Error::other(error))
        }
    }
}

/// What the reader hands to the session.
enum Incoming {
    /// A request, and the room that it takes of the read-ahead.
    Request(Request, OwnedSemaphorePermit),
    /// Not Bolt, or too large. Nothing follows.
    Broken(String),
}

async fn converse<C: Core>(
    stream: TcpStream,
    version: Version,
    services: Arc<Services<C>>,
    has_slot: bool,
    logon_deadline: Instant,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let interrupt = Arc::new(Interrupt::default());
    let (sender, mut queue) = mpsc::channel(QUEUE);
    // Told after HELLO and LOGON; the reader takes larger messages from then on.
    let (limit, limit_seen) = watch::channel(MESSAGE_BYTES_BEFORE_LOGON);
    let reader = Reader {
        read,
        version,
        interrupt: interrupt.clone(),
        limit: limit_seen,
        room: Arc::new(Semaphore::new(permits(services.config.message_bytes_max))),
    };
    let reader = tokio::spawn(reader.run(sender));
    let mut out = Writer { line: write, buffer: Vec::new(), version };
    let message_bytes_max = services.config.message_bytes_max;
    let sessions_max = services.config.sessions_max;
    let mut session = Session::new(services, version, interrupt.clone());

    let ended = loop {
        let incoming = match queue.try_recv() {
            Ok(incoming) => Some(incoming),
            Err(_) => {
                if let Err(error) = out.flush().await {
                    break Err(error);
                }
                let is_logged_on = session.is_logged_on();
                let logon_late = async {
                    if is_logged_on {
                        std::future::pending::<()>().await;
                    }
                    tokio::time::sleep_until(logon_deadline).await;
                };
                tokio::select! {
                    biased;
                    incoming = queue.recv() => incoming,
                    () = session.expire() => continue,
                    () = logon_late => None,
                    () = stopping(&mut stop) => None,
                }
            }
        };
        let (request, _room) = match incoming {
            Some(Incoming::Request(request, room)) => (request, room),
            Some(Incoming::Broken(what)) => {
                break out.failure(&Failure::request(what)).map_err(io::Error::other);
            }
            None => break Ok(()),
        };
        let kind = request.kind();
        if !has_slot {
            break out.failure(&Failure::session_limit(sessions_max)).map_err(io::Error::other);
        }
        // A query that runs when the node stops is stopped with it; a commit is waited for.
        let flow = {
            let serving = session.serve(request, &mut out);
            tokio::pin!(serving);
            // Most requests are served at once, and then nobody has to be asked whether the node stops.
            tokio::select! {
                biased;
                flow = &mut serving => flow,
                () = stopping(&mut stop) => {
                    interrupt.raise(Reason::Shutdown);
                    serving.await
                }
            }
        };
        match flow {
            Ok(Flow::Go) => {}
            Ok(Flow::Close) => break Ok(()),
            Err(error) => break Err(error),
        }
        if matches!(kind, RequestKind::Hello | RequestKind::Logon | RequestKind::Logoff) {
            let now = if session.is_logged_on() { message_bytes_max } else { MESSAGE_BYTES_BEFORE_LOGON };
            // Sent even where nothing changes: the reader waits for it.
            limit.send_replace(now);
        }
    };
    drop(session);
    drop(queue);
    drop(limit);
    let flushed = match timeout(DRAIN, out.finish()).await {
        Ok(flushed) => flushed,
        Err(late) => Err(late.into()),
    };
    // The reader ends by itself once nobody takes what it reads.
    let _ = reader.await;
    ended.and(flushed)
}

struct Reader {
    read: OwnedReadHalf,
    version: Version,
    interrupt: Arc<Interrupt>,
    limit: watch::Receiver<usize>,
    /// Read-ahead that is left, in KiB: about one message of the largest size.
    room: Arc<Semaphore>,
}

impl Reader {
    async fn run(mut self, queue: mpsc::Sender<Incoming>) {
        tokio::select! {
            // The session has ended.
            () = queue.closed() => {}
            is_open = self.read_all(&queue) => {
                if !is_open {
                    self.interrupt.raise(Reason::Gone);
                    return;
                }
                // Nothing more is understood: what comes is read away until the session has answered.
                let closed = async {
                    queue.closed().await;
                    tokio::time::sleep(DRAIN).await;
                };
                tokio::select! {
                    () = closed => {}
                    () = drain(&mut self.read) => {}
                }
                return;
            }
        }
        let _ = timeout(DRAIN, drain(&mut self.read)).await;
    }

    /// Returns false where the line has ended, true where there is no sense in reading on.
    async fn read_all(&mut self, queue: &mpsc::Sender<Incoming>) -> bool {
        let mut input = Dechunker::new(*self.limit.borrow_and_update());
        loop {
            let message = match input.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => match self.read.read_buf(input.input()).await {
                    Ok(0) | Err(_) => return false,
                    Ok(_) => continue,
                },
                Err(error) => {
                    let _ = queue.send(Incoming::Broken(error.to_string())).await;
                    return true;
                }
            };
            let incoming = match Request::decode(&message, self.version) {
                Ok(request) => {
                    let wanted = permits(message.len()).min(permits(self.limit_max()));
                    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
                    let Ok(room) = self.room.clone().acquire_many_owned(wanted).await else { return true };
                    Incoming::Request(request, room)
                }
                Err(error) => {
                    let _ = queue.send(Incoming::Broken(error.to_string())).await;
                    return true;
                }
            };
            let (is_reset, sets_limit) = match &incoming {
                Incoming::Request(request, _) => (
                    matches!(request, Request::Reset),
                    matches!(request, Request::Hello { .. } | Request::Logon(_) | Request::Logoff),
                ),
                Incoming::Broken(_) => (false, false),
            };
            if is_reset {
                self.interrupt.reset_seen();
            }
            if queue.send(incoming).await.is_err() {
                return true;
            }
            if sets_limit {
                // Whether larger messages may follow is known once this one is served.
                if self.limit.changed().await.is_err() {
                    return true;
                }
                input.set_limit(*self.limit.borrow_and_update());
            }
        }
    }

    fn limit_max(&self) -> usize {
        (*self.limit.borrow()).max(MESSAGE_BYTES_BEFORE_LOGON)
    }
}

/// Waits until the node stops.
pub(super) async fn stopping(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could say so.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Every message counts as at least one KiB. The semaphore holds one message of the largest size.
fn permits(bytes: usize) -> usize {
    (bytes / 1024 + 1).min(Semaphore::MAX_PERMITS.min(u32::MAX as usize))
}

async fn drain(read: &mut (impl AsyncRead + Unpin)) {
    let mut scratch = BytesMut::with_capacity(16 * 1024);
    while matches!(read.read_buf(&mut scratch).await, Ok(n) if n > 0) {
        scratch.clear();
    }
}

/// Answers on their way out.
pub(super) struct Writer {
    line: OwnedWriteHalf,
    pub(super) buffer: Vec<u8>,
    pub(super) version: Version,
}

impl Writer {
    /// Adds an answer to what goes out next.
    pub(super) fn send(&mut self, response: &Response) -> Result<(), mgbolt::EncodeError> {
        response.write(&mut self.buffer, self.version)
    }

    /// Adds a FAILURE.
    pub(super) fn failure(&mut self, failure: &Failure) -> Result<(), mgbolt::EncodeError> {
        self.send(&Response::Failure {
            code: failure.code.to_owned(),
            message: failure.message.clone(),
            status: failure.status,
            position: failure.position.map(|position| position.to_string()),
        })
    }

    /// Sends what is ready.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.line.write_all(&self.buffer).await?;
        self.buffer.clear();
        // One large result must not keep its room for the rest of a long session.
        self.buffer.shrink_to(1 << 20);
        Ok(())
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.line.shutdown().await
    }
}

//! One connection, from the dial to its last word.

use super::frame::{self, Lane};
use super::platform::within;
use super::refusal::explain;
use super::{
    CONNECT_TIMEOUT, GREETING_BYTES_MAX, IDLE_TIMEOUT, IncomingSnapshot, KEEP_ALIVE, LINGER, PEER_WINDOW,
    STRANGER_WINDOW, Shared,
};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use mgnode_core::engine::{Input, PeerId};
use mgnode_core::replication::{FRAME_BYTES_MAX, Line, Message, PROTOCOL_RESUMES, SnapshotStream};
use mgnode_core::types::SnapshotId;
use quinn::{Connection, RecvStream, SendStream, TransportConfig, VarInt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};

/// Bytes gathered into one write where several messages wait, or pieces of a snapshot came.
const BATCH_BYTES: usize = 256 * 1024;
/// Bytes of a snapshot that may wait for the disk; the other side stops where the windows are full too.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Most chunks of a snapshot taken from the connection at once.
const BATCH_CHUNKS: usize = 64;
/// What a listener says on the control lane once both lanes are open.
const READY: u8 = 0;
/// The first protocol in which it says so.
const READY_SINCE: u16 = 2;

/// A snapshot file to be sent.
pub(super) struct Outgoing {
    pub(super) snapshot: SnapshotId,
    pub(super) offset: u64,
    pub(super) protocol: u16,
}

/// How the rest of the node reaches a connection.
pub(super) struct PeerHandle {
    control: mpsc::UnboundedSender<Message>,
    log: mpsc::UnboundedSender<Message>,
    snapshots: mpsc::UnboundedSender<Outgoing>,
    hangup: oneshot::Sender<String>,
    trusted: watch::Sender<bool>,
}

/// The other ends of a [`PeerHandle`].
pub(super) struct Ends {
    control: mpsc::UnboundedReceiver<Message>,
    log: mpsc::UnboundedReceiver<Message>,
    snapshots: mpsc::UnboundedReceiver<Outgoing>,
    hangup: oneshot::Receiver<String>,
    trusted: watch::Receiver<bool>,
}

pub(super) fn lanes() -> (PeerHandle, Ends) {
    let (control_in, control) = mpsc::unbounded_channel();
    let (log_in, log) = mpsc::unbounded_channel();
    let (snapshots_in, snapshots) = mpsc::unbounded_channel();
    let (hangup_in, hangup) = oneshot::channel();
    let (trusted_in, trusted) = watch::channel(false);
    (
        PeerHandle {
            control: control_in,
            log: log_in,
            snapshots: snapshots_in,
            hangup: hangup_in,
            trusted: trusted_in,
        },
        Ends { control, log, snapshots, hangup, trusted },
    )
}

impl PeerHandle {
    /// Queues a message, which is encoded off the engine's thread. One that comes too late is dropped:
    /// `PeerDown` is on its way.
    pub(super) fn send(&self, message: Message) {
        let _ = match Lane::of(&message) {
            Lane::Control => self.control.send(message),
            Lane::Log => self.log.send(message),
        };
    }

    pub(super) fn send_snapshot(&self, snapshot: Outgoing) {
        let _ = self.snapshots.send(snapshot);
    }

    /// Lifts the limits that hold for strangers: the engine has taken the peer.
    pub(super) fn trust(&self) {
        self.trusted.send_if_modified(|trusted| !std::mem::replace(trusted, true));
    }

    /// Closes the lanes once they are drained, then the connection.
    pub(super) fn hang_up(self, reason: String) {
        let _ = self.hangup.send(reason);
    }
}

/// How a connection behaves. Only the side that accepted it lets the other one open streams.
pub(super) fn transport_config(accepted: bool) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.keep_alive_interval(Some(KEEP_ALIVE));
    config.max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("a few seconds fit")));
    config.max_concurrent_bidi_streams(VarInt::from_u32(if accepted { 2 } else { 0 }));
    config.max_concurrent_uni_streams(VarInt::from_u32(if accepted { 1 } else { 0 }));
    config.stream_receive_window(VarInt::from_u32(16 << 20));
    config.receive_window(VarInt::from_u32(STRANGER_WINDOW));
    config.send_window(32 << 20);
    config.datagram_receive_buffer_size(None);
    Arc::new(config)
}

/// Dials `address`, then serves the connection to its end.
pub(super) async fn dial(shared: Arc<Shared>, peer: PeerId, address: String, mut ends: Ends) {
    let connected = tokio::select! {
        biased;
        reason = &mut ends.hangup => Err(reason.unwrap_or_else(|_| "given up".to_owned())),
        r = within(&*shared.platform, CONNECT_TIMEOUT, connect(&shared, &address)) => {
            r.unwrap_or_else(|| {
                Err(format!(
                    "`{address}` did not answer within {} s; only a REPLICA listens on its replication port",
                    CONNECT_TIMEOUT.as_secs()
                ))
            })
        }
    };
    let reason = match connected {
        Ok((connection, streams, line)) => {
            let protocol = line.protocol;
            shared.emit(Input::PeerUp { peer, dialled: true, line });
            serve(&shared, peer, protocol, connection, streams, ends).await
        }
        Err(reason) => reason,
    };
    shared.forget(peer);
    shared.emit(Input::PeerDown { peer, reason });
}

/// The two streams of a connection.
pub(super) struct Streams {
    control: (SendStream, RecvStream),
    log: (SendStream, RecvStream),
}

async fn connect(shared: &Shared, address: &str) -> Result<(Connection, Streams, Line), String> {
    let target = resolve(shared, address).await?;
    // A socket of its own for each connection: it leaves by the interface that leads there.
    let local: IpAddr = match target.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(ip) if ip.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let endpoint = shared
        .platform
        .open(SocketAddr::new(local, 0), None)
        .map_err(|e| format!("no socket to dial from: {e}"))?;
    let (crypto, name) = shared.credentials.client()?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport_config(false));
    let said = |e: &dyn std::fmt::Display| format!("`{address}` ({target}): {e}");
    let connection = endpoint
        .connect_with(config, target, &name)
        .map_err(|e| format!("cannot dial `{address}`: {e}"))?
        .await
        .map_err(|e| said(&explain(&e)))?;
    let line = shared.credentials.line(&connection).map_err(|e| said(&e))?;
    let streams = async {
        let mut control = open(&connection, Lane::Control).await?;
        let log = open(&connection, Lane::Log).await?;
        if line.protocol < READY_SINCE {
            return Ok(Streams { control, log });
        }
        // The handshake of this side was over before the other side had judged its certificate.
        let mut ready = [0];
        control.1.read_exact(&mut ready).await.map_err(|e| e.to_string())?;
        match ready {
            [READY] => Ok(Streams { control, log }),
            [other] => Err(format!("it answers with {other}, which means nothing here")),
        }
    };
    match streams.await {
        Ok(streams) => Ok((connection, streams, line)),
        // Why the connection ended says more than that a stream did.
        Err(e) => Err(said(&connection.close_reason().map_or(e, |reason| explain(&reason)))),
    }
}

async fn resolve(shared: &Shared, address: &str) -> Result<SocketAddr, String> {
    let found =
        shared.platform.resolve(address).await.map_err(|e| format!("cannot resolve `{address}`: {e}"))?;
    found
        .iter()
        .find(|a| a.is_ipv4())
        .or_else(|| found.first())
        .copied()
        .ok_or_else(|| format!("`{address}` has no address"))
}

async fn open(connection: &Connection, lane: Lane) -> Result<(SendStream, RecvStream), String> {
    let (mut send, recv) = connection.open_bi().await.map_err(|e| e.to_string())?;
    send.write_all(&[lane.byte()]).await.map_err(|e| e.to_string())?;
    send.set_priority(priority(lane)).map_err(|e| e.to_string())?;
    Ok((send, recv))
}

/// Above that of snapshots, which is below 0.
fn priority(lane: Lane) -> i32 {
    match lane {
        Lane::Control => 2,
        Lane::Log => 1,
    }
}

/// Waits for the two streams that a dialler opens.
pub(super) async fn accept_streams(connection: &Connection, protocol: u16) -> Result<Streams, String> {
    let (mut control, mut log) = (None, None);
    while control.is_none() || log.is_none() {
        let (send, mut recv) = connection.accept_bi().await.map_err(|e| e.to_string())?;
        let mut byte = [0];
        recv.read_exact(&mut byte).await.map_err(|e| e.to_string())?;
        let slot = match Lane::from_byte(byte[0]) {
            Some(Lane::Control) => &mut control,
            Some(Lane::Log) => &mut log,
            None => return Err(format!("unknown lane {}", byte[0])),
        };
        if slot.replace((send, recv)).is_some() {
            return Err("a lane was opened twice".to_owned());
        }
    }
    let (Some(mut control), Some(log)) = (control, log) else { unreachable!("the loop ends with both") };
    if protocol >= READY_SINCE {
        control.0.write_all(&[READY]).await.map_err(|e| e.to_string())?;
    }
    control.0.set_priority(priority(Lane::Control)).map_err(|e| e.to_string())?;
    log.0.set_priority(priority(Lane::Log)).map_err(|e| e.to_string())?;
    Ok(Streams { control, log })
}

/// Serves a connection to its end and returns why it ended.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    peer: PeerId,
    protocol: u16,
    connection: Connection,
    streams: Streams,
    ends: Ends,
) -> String {
    let Ends { control, log, mut snapshots, mut hangup, trusted } = ends;
    shared.open.fetch_add(1, Ordering::AcqRel);
    let control_out = Writer::start(shared, streams.control.0, protocol, control);
    let log_out = Writer::start(shared, streams.log.0, protocol, log);
    // A lane that ends says nothing about the other one: there the last word may still be on its way.
    let lanes_in = async {
        let control_in = read_lane(shared, peer, protocol, Lane::Control, streams.control.1, trusted.clone());
        let log_in = read_lane(shared, peer, protocol, Lane::Log, streams.log.1, trusted.clone());
        match tokio::try_join!(control_in, log_in) {
            Ok(_) => "closed by the other side".to_owned(),
            Err(reason) => reason,
        }
    };
    let has_received = AtomicBool::new(false);
    let snapshots_in = async {
        // The sender is dropped with the handle, and then the hangup comes first.
        if trusted.clone().wait_for(|trusted| *trusted).await.is_err() {
            std::future::pending::<()>().await;
        }
        connection.set_receive_window(VarInt::from_u32(PEER_WINDOW));
        receive_snapshots(shared, peer, &connection, &has_received).await
    };
    let snapshots_out = async {
        while let Some(outgoing) = snapshots.recv().await {
            match send_snapshot(shared, &connection, outgoing).await {
                Ok(()) => shared.emit(Input::SnapshotSent { peer, result: Ok(()) }),
                Err(Unsent::File(e)) => shared.emit(Input::SnapshotSent { peer, result: Err(e) }),
                Err(Unsent::Connection(reason)) => return reason,
            }
        }
        // The lanes are closed; the hangup itself ends the connection.
        std::future::pending::<String>().await
    };
    let reason = tokio::select! {
        biased;
        reason = &mut hangup => reason.unwrap_or_else(|_| "no longer needed".to_owned()),
        reason = lanes_in => reason,
        reason = snapshots_in => reason,
        reason = snapshots_out => reason,
        closed = connection.closed() => explain(&closed),
    };
    // Whatever was on its way in has ended here.
    if has_received.load(Ordering::Relaxed) {
        shared.emit(Input::PartialKept { partial: shared.snapshots.kept() });
    }
    // What was sent before goes out first, where the line still allows.
    shared.forget(peer);
    if connection.close_reason().is_none() {
        let drained = async { tokio::join!(control_out.drained, log_out.drained) };
        let _ = within(&*shared.platform, LINGER, drained).await;
        connection.close(VarInt::from_u32(0), reason.as_bytes());
    }
    shared.open.fetch_sub(1, Ordering::AcqRel);
    reason
}

/// The task that writes a lane. It ends when the lane is drained, or with this.
struct Writer {
    drained: oneshot::Receiver<()>,
    _stop: oneshot::Sender<()>,
}

impl Writer {
    fn start(
        shared: &Shared,
        stream: SendStream,
        protocol: u16,
        messages: mpsc::UnboundedReceiver<Message>,
    ) -> Writer {
        let (stop_in, stop) = oneshot::channel::<()>();
        let (drained_in, drained) = oneshot::channel();
        shared.platform.spawn(Box::pin(async move {
            tokio::select! {
                biased;
                _ = stop => {}
                () = write_lane(stream, protocol, messages) => {
                    // Nobody waits for it while the connection is served.
                    let _ = drained_in.send(());
                }
            }
        }));
        Writer { drained, _stop: stop_in }
    }
}

/// Writes messages until the lane is closed and drained, then waits for the other side to have them.
async fn write_lane(mut stream: SendStream, protocol: u16, mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut batch = Vec::new();
    while let Some(first) = messages.recv().await {
        let first = frame::encode(protocol, &first);
        let mut bytes = first.len();
        batch.push(first);
        while bytes < BATCH_BYTES {
            let Ok(next) = messages.try_recv() else { break };
            let next = frame::encode(protocol, &next);
            bytes += next.len();
            batch.push(next);
        }
        if stream.write_all_chunks(&mut batch).await.is_err() {
            // The connection's own end is seen, and told, by its readers.
            return;
        }
        batch.clear();
    }
    if stream.finish().is_ok() {
        let _ = stream.stopped().await;
    }
}

/// Hands every message of a lane on, to its end.
async fn read_lane(
    shared: &Shared,
    peer: PeerId,
    protocol: u16,
    lane: Lane,
    mut stream: RecvStream,
    trusted: watch::Receiver<bool>,
) -> Result<(), String> {
    let mut buffer = BytesMut::new();
    loop {
        match stream.read_chunk(BATCH_BYTES, true).await {
            Ok(Some(chunk)) => buffer.extend_from_slice(&chunk.bytes),
            Ok(None) => return Ok(()),
            Err(e) => return Err(e.to_string()),
        }
        loop {
            let bytes_max = if *trusted.borrow() { FRAME_BYTES_MAX } else { GREETING_BYTES_MAX };
            let frame = match frame::take(&mut buffer, bytes_max) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(e) => return Err(e),
            };
            match Message::decode(protocol, frame) {
                Ok(message) if Lane::of(&message) == lane => {
                    shared.inputs.leave(Input::Message { peer, message });
                }
                Ok(_) => return Err("a message came on the wrong lane".to_owned()),
                Err(e) => return Err(format!("a message cannot be read: {e}")),
            }
        }
        shared.inputs.serve();
    }
}

/// Why a snapshot was not sent to its end.
enum Unsent {
    File(String),
    Connection(String),
}

async fn send_snapshot(
    shared: &Arc<Shared>,
    connection: &Connection,
    Outgoing { snapshot, offset, protocol }: Outgoing,
) -> Result<(), Unsent> {
    fn ended(e: impl std::fmt::Display) -> Unsent {
        Unsent::Connection(e.to_string())
    }
    let mut stream = connection.open_uni().await.map_err(ended)?;
    stream.set_priority(-1).map_err(ended)?;
    if protocol >= PROTOCOL_RESUMES {
        let mut head = Vec::new();
        SnapshotStream::Part { snapshot, offset }.encode(&mut head);
        stream.write_all(&head).await.map_err(ended)?;
    }
    let (pieces_in, mut pieces) = mpsc::channel::<Bytes>(shared.platform.pieces_max());
    let snapshots = shared.snapshots.clone();
    let read = run(shared, move || {
        let file = snapshots.open(&snapshot)?;
        let mut at = offset;
        while at < snapshot.bytes {
            let left = usize::try_from(snapshot.bytes - at).unwrap_or(usize::MAX);
            let piece = file.read_at(at, left.min(BATCH_BYTES))?;
            at += piece.len() as u64;
            if pieces_in.blocking_send(piece).is_err() {
                break; // The connection has ended, and says so itself.
            }
        }
        Ok(())
    });
    while let Some(piece) = pieces.recv().await {
        stream.write_chunk(piece).await.map_err(ended)?;
    }
    if let Err(e) = read.await {
        // Ended so, and not finished, what was sent is no whole snapshot.
        let _ = stream.reset(VarInt::from_u32(1));
        return Err(Unsent::File(e));
    }
    stream.finish().map_err(ended)
}

/// Runs a job that may block and returns what came of it. It begins at once, not when it is waited for.
fn run<T: Send + 'static>(
    shared: &Shared,
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, Result<T, String>> {
    let (done, result) = oneshot::channel();
    shared.platform.run(Box::new(move || {
        // Who waited for it may have gone with its connection.
        let _ = done.send(job());
    }));
    Box::pin(async move {
        match result.await {
            Ok(result) => result.map_err(|e| e.to_string()),
            Err(_) => Err("the job ended without a result".to_owned()),
        }
    })
}

/// Takes in snapshots, one after the other, and returns why no more come.
async fn receive_snapshots(
    shared: &Arc<Shared>,
    peer: PeerId,
    connection: &Connection,
    has_received: &AtomicBool,
) -> String {
    loop {
        let stream = match connection.accept_uni().await {
            Ok(stream) => stream,
            Err(e) => return explain(&e),
        };
        has_received.store(true, Ordering::Relaxed);
        if let Err(e) = receive_snapshot(shared, peer, stream).await {
            return format!("a snapshot could not be taken in: {e}");
        }
    }
}

async fn receive_snapshot(shared: &Arc<Shared>, peer: PeerId, mut stream: RecvStream) -> Result<(), String> {
    let mut first = BytesMut::new();
    let (announced, head_bytes) = loop {
        if let Some(read) = SnapshotStream::decode(&first).map_err(|e| e.to_string())? {
            break read;
        }
        match stream.read_chunk(BATCH_BYTES, true).await.map_err(|e| e.to_string())? {
            Some(chunk) => first.extend_from_slice(&chunk.bytes),
            None => return Err("it ends inside its head".to_owned()),
        }
    };
    let offset = match announced {
        SnapshotStream::Plain => 0,
        SnapshotStream::Part { offset, .. } => offset,
    };
    let begun = Instant::now();
    let mut bytes = (first.len() - head_bytes) as u64;
    let first = first.freeze().slice(head_bytes..);
    let snapshots = shared.snapshots.clone();
    let mut writing: Writing = run(shared, move || {
        let mut incoming = snapshots.receive(announced)?;
        incoming.write(&[first])?;
        Ok(incoming)
    });
    let mut incoming = loop {
        // What comes is read while what came before is written: the other side need not wait for the disk.
        let (batch, mut incoming, is_whole) = read_batch(shared, &mut stream, writing).await?;
        bytes += batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if batch.is_empty() {
            break incoming;
        }
        writing = run(shared, move || {
            incoming.write(&batch)?;
            Ok(incoming)
        });
        if is_whole {
            break writing.await?;
        }
    };
    tracing::info!(offset, bytes, "a snapshot has come in within {} ms", begun.elapsed().as_millis());
    shared.emit(Input::PartialKept { partial: shared.snapshots.kept() });
    let (incoming, (snapshot, header, graph)) =
        run(shared, move || incoming.load().map(|loaded| (incoming, loaded))).await?;
    // Only now, with the connection still there: the engine takes nothing from one that has ended, and
    // then the file must stay what is kept.
    incoming.hand_over().map_err(|e| e.to_string())?;
    shared.emit(Input::PartialKept { partial: shared.snapshots.kept() });
    shared.emit(Input::SnapshotReceived { peer, snapshot, header, graph });
    Ok(())
}

/// The job that writes what came before, and gives the file back.
type Writing = BoxFuture<'static, Result<Box<dyn IncomingSnapshot>, String>>;

/// Reads until the job is done and a batch is there, but not more than may wait for the disk. Returns the
/// chunks, what the job gave back, and whether these were the last ones.
///
/// What the job wrote is told as soon as it is written, whether or not more comes: MAIN may be back on
/// another connection before this one is known to have ended, and goes on there.
async fn read_batch(
    shared: &Shared,
    stream: &mut RecvStream,
    mut writing: Writing,
) -> Result<(Vec<Bytes>, Box<dyn IncomingSnapshot>, bool), String> {
    let (mut batch, mut bytes, mut is_whole) = (Vec::new(), 0, false);
    let mut chunks = [const { Bytes::new() }; BATCH_CHUNKS];
    let mut written = None;
    while !is_whole && (bytes < BATCH_BYTES || written.is_none() && bytes < WAITING_BYTES_MAX) {
        tokio::select! {
            biased;
            result = &mut writing, if written.is_none() => {
                written = Some(result?);
                shared.emit(Input::PartialKept { partial: shared.snapshots.kept() });
            }
            read = stream.read_chunks(&mut chunks) => match read.map_err(|e| e.to_string())? {
                None => is_whole = true,
                Some(count) => {
                    bytes += chunks[..count].iter().map(Bytes::len).sum::<usize>();
                    batch.extend(chunks[..count].iter_mut().map(std::mem::take));
                }
            },
        }
    }
    let incoming = match written {
        Some(incoming) => incoming,
        None => {
            let incoming = writing.await?;
            shared.emit(Input::PartialKept { partial: shared.snapshots.kept() });
            incoming
        }
    };
    Ok((batch, incoming, is_whole))
}

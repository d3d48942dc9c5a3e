//! Datagrams between simulated sockets: lost, doubled, late, out of order, cut off, one after the other
//! on a line of limited speed. What happens to each is drawn from the seed.

use super::clock::{Clock, Sleep};
use super::rng::Rng;
use crate::quic::Platform;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Endpoint, EndpointConfig, ServerConfig, UdpPoller};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What a line does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// One in so many is lost; 0: none.
    pub(super) loss: u64,
    /// One in so many comes twice; 0: none.
    pub(super) doubled: u64,
    /// One in so many is late by up to `late`; 0: none.
    pub(super) late_ones: u64,
    pub(super) late: Duration,
    /// Each takes at least so long.
    pub(super) delay: Duration,
    pub(super) bytes_per_ms: u64,
    /// Longer ones do not pass.
    pub(super) datagram_bytes_max: usize,
}

impl Weather {
    pub(super) const CALM: Weather = Weather {
        loss: 0,
        doubled: 0,
        late_ones: 0,
        late: Duration::ZERO,
        delay: Duration::from_micros(300),
        bytes_per_ms: 20_000,
        datagram_bytes_max: 1500,
    };
}

/// A line drops what would have to wait longer than this for its turn.
const QUEUE_MAX: Duration = Duration::from_millis(100);

pub(super) struct Net {
    clock: Arc<Clock>,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    weather: Weather,
    sockets: BTreeMap<SocketAddr, Arc<Inbox>>,
    /// Directions in which nothing passes.
    cut: BTreeSet<(IpAddr, IpAddr)>,
    /// When each line is free again.
    busy: BTreeMap<(IpAddr, IpAddr), Duration>,
    next_port: u16,
    sent: u64,
    lost: u64,
    doubled: u64,
    trace: u64,
}

#[derive(Default)]
struct Inbox {
    state: Mutex<InboxState>,
}

#[derive(Default)]
struct InboxState {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

/// What the net did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    /// Digest of when which datagram, by its length, went where, and what became of it.
    pub(super) trace: u64,
}

impl Net {
    pub(super) fn new(clock: Arc<Clock>, rng: Rng) -> Arc<Net> {
        let state = State {
            rng,
            weather: Weather::CALM,
            sockets: BTreeMap::new(),
            cut: BTreeSet::new(),
            busy: BTreeMap::new(),
            next_port: 40_000,
            sent: 0,
            lost: 0,
            doubled: 0,
            trace: 0,
        };
        Arc::new(Net { clock, state: Mutex::new(state) })
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    pub(super) fn cut(&self, from: IpAddr, to: IpAddr) {
        self.state.lock().cut.insert((from, to));
    }

    pub(super) fn heal(&self) {
        self.state.lock().cut.clear();
    }

    pub(super) fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts { sent: state.sent, lost: state.lost, doubled: state.doubled, trace: state.trace }
    }

    fn send(self: &Arc<Self>, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let weather = state.weather;
        state.sent += 1;
        let line = (from.ip(), to.ip());
        let one_in = |state: &mut State, n: u64| n > 0 && state.rng.one_in(n);
        let turn = state.busy.get(&line).copied().unwrap_or_default().max(now);
        let is_lost = bytes.len() > weather.datagram_bytes_max
            || state.cut.contains(&line)
            || turn - now > QUEUE_MAX
            || one_in(&mut state, weather.loss);
        let copies = match (is_lost, one_in(&mut state, weather.doubled)) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        state.lost += u64::from(copies == 0);
        state.doubled += u64::from(copies == 2);
        let micros = u64::try_from(now.as_micros()).expect("a run is short");
        for word in [micros, u64::from(from.port()), u64::from(to.port()), bytes.len() as u64, copies] {
            state.trace = (state.trace ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(23);
        }
        if copies == 0 {
            return;
        }
        let free = turn + Duration::from_nanos(bytes.len() as u64 * 1_000_000 / weather.bytes_per_ms);
        state.busy.insert(line, free);
        for _ in 0..copies {
            let late = if one_in(&mut state, weather.late_ones) {
                Duration::from_micros(state.rng.below(weather.late.as_micros() as u64))
            } else {
                Duration::ZERO
            };
            let arrival = self.clock.now() + (free - now) + weather.delay + late;
            let (net, bytes, wait) = (self.clone(), bytes.to_vec(), self.clock.sleep_until(arrival));
            self.clock.spawn(Box::pin(async move {
                wait.await;
                let inbox = net.state.lock().sockets.get(&to).cloned();
                // Nobody is there any more: as with UDP, nobody is told.
                if let Some(inbox) = inbox {
                    inbox.put(from, bytes);
                }
            }));
        }
    }
}

impl Inbox {
    fn put(&self, from: SocketAddr, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        state.datagrams.push_back((from, bytes));
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// A host of the net.
pub(super) struct Host {
    pub(super) net: Arc<Net>,
    pub(super) ip: IpAddr,
}

impl Host {
    fn socket(&self, port: u16) -> io::Result<Arc<Socket>> {
        let mut state = self.net.state.lock();
        let port = match port {
            0 => {
                state.next_port += 1;
                state.next_port
            }
            port => port,
        };
        let address = SocketAddr::new(self.ip, port);
        if state.sockets.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let inbox = Arc::new(Inbox::default());
        state.sockets.insert(address, inbox.clone());
        Ok(Arc::new(Socket { net: self.net.clone(), address, inbox }))
    }
}

impl Platform for Host {
    fn open(&self, local: SocketAddr, server: Option<ServerConfig>) -> io::Result<Endpoint> {
        let socket = self.socket(local.port())?;
        let mut seed = [0; 32];
        for word in seed.chunks_exact_mut(8) {
            word.copy_from_slice(&self.net.state.lock().rng.next().to_le_bytes());
        }
        let mut config = EndpointConfig::default();
        config.rng_seed(Some(seed));
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(Runtime(self.net.clock.clone())))
    }

    fn release(&self, closed: &Endpoint) -> io::Result<()> {
        for _ in 0..2 {
            closed.rebind_abstract(self.socket(0)?)?;
        }
        Ok(())
    }

    fn resolve<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { address.parse().map(|a| vec![a]).map_err(io::Error::other) })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.net.clock.spawn(task);
    }

    // In a thread of its own, which is waited for: it may block, and it always takes no time.
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        std::thread::scope(|scope| {
            scope.spawn(job).join().expect("jobs do not panic");
        });
    }

    fn pieces_max(&self) -> usize {
        10_000
    }

    fn now(&self) -> Instant {
        self.net.clock.now()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.net.clock.sleep_until(self.net.clock.now() + time))
    }
}

struct Socket {
    net: Arc<Net>,
    address: SocketAddr,
    inbox: Arc<Inbox>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({})", self.address)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.net.state.lock().sockets.remove(&self.address);
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let bytes = transmit.contents;
        for datagram in bytes.chunks(transmit.segment_size.unwrap_or(bytes.len()).max(1)) {
            self.net.send(self.address, transmit.destination, datagram);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox.state.lock();
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Some((from, bytes)) = inbox.datagrams.pop_front() else { break };
            buffer[..bytes.len()].copy_from_slice(&bytes);
            *meta = RecvMeta { addr: from, len: bytes.len(), stride: bytes.len(), ecn: None, dst_ip: None };
            count += 1;
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        inbox.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Runtime(Arc<Clock>);

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runtime")
    }
}

impl quinn::Runtime for Runtime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        let timer: Sleep = self.0.sleep_until(at);
        Box::pin(timer)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(task);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        self.0.now()
    }
}

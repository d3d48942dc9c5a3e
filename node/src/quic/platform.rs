//! Where sockets, names, time, tasks and threads come from: the system, or a simulation of it.

use futures_util::future::BoxFuture;
use quinn::{Endpoint, ServerConfig};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// What the transport needs of the world.
pub trait Platform: Send + Sync + 'static {
    /// Opens a UDP socket, which accepts connections where `server` says how.
    fn open(&self, local: SocketAddr, server: Option<ServerConfig>) -> io::Result<Endpoint>;

    /// Takes the port away from an endpoint that was closed: its connections go on ending without it.
    fn release(&self, closed: &Endpoint) -> io::Result<()>;

    /// Resolves `host:port`, anew at each call.
    fn resolve<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// Runs a task beside everything else.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs a job that may block, beside everything else.
    fn run(&self, job: Box<dyn FnOnce() + Send>);

    /// How many pieces of a snapshot may wait for the network; the job that makes them waits then.
    fn pieces_max(&self) -> usize {
        8
    }

    /// Returns the time.
    fn now(&self) -> Instant;

    /// Waits for so long.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Waits for `work`, at most for `time`.
pub(super) async fn within<T>(
    platform: &dyn Platform,
    time: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = platform.sleep(time) => None,
    }
}

/// The system's own.
pub struct System {
    runtime: Handle,
}

impl System {
    /// Returns the system, its tasks in `runtime`.
    pub fn new(runtime: Handle) -> System {
        System { runtime }
    }
}

impl Platform for System {
    fn open(&self, local: SocketAddr, server: Option<ServerConfig>) -> io::Result<Endpoint> {
        match server {
            Some(config) => Endpoint::server(config, local),
            None => Endpoint::client(local),
        }
    }

    fn release(&self, closed: &Endpoint) -> io::Result<()> {
        // An endpoint also keeps the socket that it had before.
        for _ in 0..2 {
            closed.rebind(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)?;
        }
        Ok(())
    }

    fn resolve<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { tokio::net::lookup_host(address).await.map(Iterator::collect) })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }

    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        self.runtime.spawn_blocking(job);
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

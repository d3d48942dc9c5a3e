//! What the machine itself needs for a commit that is durable on two nodes.
//!
//! A record of 100 bytes goes over one long-lived QUIC stream; the far side writes it into a
//! preallocated file, syncs that, and answers; the near side writes and syncs its own copy meanwhile.
//! Beside it, a round trip of QUIC alone, and one of TCP: the client's way to the node and back.
//!
//! The far side is a process of its own, as a replica is: in one process both ends of a connection may
//! share a thread, and a round trip then costs a fifth.

use crate::far_end::{self, FarEnd};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Endpoint, RecvStream, SendStream};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RECORD_BYTES: usize = 100;
const FILE_BYTES: u64 = 16 << 20;

/// A file written out with zeroes, so that a sync has no metadata to write.
struct Log {
    file: File,
    at: u64,
}

impl Log {
    fn create(path: &Path) -> std::io::Result<Log> {
        let mut file = File::create(path)?;
        let zeroes = vec![0; 1 << 20];
        for _ in 0..FILE_BYTES >> 20 {
            file.write_all(&zeroes)?;
        }
        file.sync_all()?;
        Ok(Log { file, at: 0 })
    }

    fn append(&mut self, record: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(record, self.at)?;
        self.at = (self.at + record.len() as u64) % (FILE_BYTES - RECORD_BYTES as u64);
        self.file.sync_data()
    }
}

/// Two QUIC endpoints, each with a process, a thread for its disk and a file of its own.
pub(crate) struct Pair {
    runtime: tokio::runtime::Runtime,
    stream: (SendStream, RecvStream),
    /// Answered at once.
    echo: (SendStream, RecvStream),
    near: std::sync::mpsc::Sender<tokio::sync::oneshot::Sender<std::io::Result<()>>>,
    _dialling: Endpoint,
    _far: FarEnd,
}

impl Pair {
    pub(crate) fn open(dir: &Path) -> Result<Pair, Box<dyn std::error::Error>> {
        let far = FarEnd::start(&["pair".as_ref(), dir.join("far").as_os_str()])?;
        let mut client = client(far.certificate.clone())?;
        // Between two rounds it lies idle for longer than a connection may.
        let mut transport = quinn::TransportConfig::default();
        transport.keep_alive_interval(Some(Duration::from_secs(5)));
        client.transport_config(Arc::new(transport));
        let runtime = runtime()?;
        let (dialling, stream, echo) = runtime.block_on(async {
            let dialling = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let connection = dialling.connect_with(client, far.address, "floor")?.await?;
            let (stream, mut echo) = (connection.open_bi().await?, connection.open_bi().await?);
            // A stream is there for the other side once something was written to it or a later one.
            echo.0.write_all(&[0x5a; RECORD_BYTES]).await?;
            echo.1.read_exact(&mut [0]).await?;
            Ok::<_, Box<dyn std::error::Error>>((dialling, stream, echo))
        })?;
        let mut log = Log::create(&dir.join("near"))?;
        let (near, near_queue) =
            std::sync::mpsc::channel::<tokio::sync::oneshot::Sender<std::io::Result<()>>>();
        std::thread::spawn(move || {
            for done in near_queue {
                let _ = done.send(log.append(&[0x5a; RECORD_BYTES]));
            }
        });
        Ok(Pair { runtime, stream, echo, near, _dialling: dialling, _far: far })
    }

    /// Times `count` records, each durable on both sides before the next.
    pub(crate) fn both_synced(&mut self, count: usize) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
        let (send, recv) = &mut self.stream;
        let near = &self.near;
        self.runtime.block_on(async {
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let start = Instant::now();
                let (done, synced) = tokio::sync::oneshot::channel();
                near.send(done)?;
                send.write_all(&[0x5a; RECORD_BYTES]).await?;
                let mut ack = [0];
                recv.read_exact(&mut ack).await?;
                synced.await??;
                times.push(start.elapsed());
            }
            Ok(times)
        })
    }

    /// Times `count` records over QUIC and back, without any file.
    pub(crate) fn round_trips(&mut self, count: usize) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
        let (send, recv) = &mut self.echo;
        self.runtime.block_on(async {
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let start = Instant::now();
                send.write_all(&[0x5a; RECORD_BYTES]).await?;
                recv.read_exact(&mut [0]).await?;
                times.push(start.elapsed());
            }
            Ok(times)
        })
    }

    /// Times `count` local syncs alone.
    pub(crate) fn near_synced(&mut self, count: usize) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
        let near = &self.near;
        self.runtime.block_on(async {
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let start = Instant::now();
                let (done, synced) = tokio::sync::oneshot::channel();
                near.send(done)?;
                synced.await??;
                times.push(start.elapsed());
            }
            Ok(times)
        })
    }
}

/// The other end of a [`Pair`], with its log at `path`.
pub(crate) fn far_end(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut log = Log::create(path)?;
    let (to_log, queue) =
        std::sync::mpsc::channel::<(Vec<u8>, tokio::sync::oneshot::Sender<std::io::Result<()>>)>();
    std::thread::spawn(move || {
        for (record, done) in queue {
            let _ = done.send(log.append(&record));
        }
    });
    let runtime = runtime()?;
    let _guard = runtime.enter();
    let crypto = Crypto::make()?;
    let endpoint = far_end::listen(&crypto, crypto.server()?)?;
    runtime.spawn(async move {
        let Some(incoming) = endpoint.accept().await else { return };
        let Ok(connection) = incoming.await else { return };
        let Ok((mut send, mut recv)) = connection.accept_bi().await else { return };
        let Ok((echo_send, echo_recv)) = connection.accept_bi().await else { return };
        tokio::spawn(answer_at_once(echo_send, echo_recv));
        let mut record = [0; RECORD_BYTES];
        while recv.read_exact(&mut record).await.is_ok() {
            let (done, synced) = tokio::sync::oneshot::channel();
            if to_log.send((record.to_vec(), done)).is_err() || !matches!(synced.await, Ok(Ok(()))) {
                return;
            }
            if send.write_all(&[1]).await.is_err() {
                return;
            }
        }
    });
    Ok(far_end::wait_for_the_end()?)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

async fn answer_at_once(mut send: SendStream, mut recv: RecvStream) {
    let mut record = [0; RECORD_BYTES];
    while recv.read_exact(&mut record).await.is_ok() {
        if send.write_all(&[1]).await.is_err() {
            return;
        }
    }
}

/// Times `count` TCP round trips of 100 bytes over loopback.
pub(crate) fn tcp_round_trips(count: usize) -> std::io::Result<Vec<Duration>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let target = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut record = [0; RECORD_BYTES];
        while stream.read_exact(&mut record).is_ok() {
            stream.write_all(&record)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(target)?;
    stream.set_nodelay(true)?;
    let mut record = [0x5a; RECORD_BYTES];
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        stream.write_all(&record)?;
        stream.read_exact(&mut record)?;
        times.push(start.elapsed());
    }
    drop(stream);
    echo.join().expect("the echo does not panic")?;
    Ok(times)
}

/// A certificate and its key, for one end of a connection.
pub(crate) struct Crypto {
    pub(crate) certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Crypto {
    pub(crate) fn make() -> Result<Crypto, Box<dyn std::error::Error>> {
        let made = rcgen::generate_simple_self_signed(["floor".to_owned()])?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
        Ok(Crypto { certificate: made.cert.der().clone(), key })
    }

    pub(crate) fn server(&self) -> Result<quinn::ServerConfig, Box<dyn std::error::Error>> {
        let server = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        Ok(quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?)))
    }
}

/// One who trusts that certificate.
pub(crate) fn client(
    trusted: CertificateDer<'static>,
) -> Result<quinn::ClientConfig, Box<dyn std::error::Error>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted)?;
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?)))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

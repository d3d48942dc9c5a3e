//! What the machine itself needs to move a snapshot: over QUIC, and onto the disk.
//!
//! The far end is a process of its own with the transport settings of a node, as a replica is; it takes the
//! time from its first byte to its last, as a replica does, and throws away what came. The disk is given as
//! many bytes in large pieces and syncs them once.

use crate::far_end::{self, FarEnd};
use crate::floor::{self, Crypto};
use quinn::{Endpoint, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A node reads as much of a snapshot at once.
const PIECE: usize = 256 << 10;
/// Bytes of a piece for the disk.
const DISK_PIECE: usize = 1 << 20;

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.stream_receive_window(VarInt::from_u32(16 << 20));
    config.receive_window(VarInt::from_u32(64 << 20));
    config.send_window(32 << 20);
    Arc::new(config)
}

/// Sends that many bytes over one QUIC stream in pieces, and returns how long they took to come.
pub(crate) fn quic(bytes: u64) -> Result<Duration, Box<dyn Error>> {
    let mut far = FarEnd::start(&["bulk".as_ref()])?;
    send(far.address, far.certificate.clone(), bytes)?;
    let answer = far.line()?;
    let (taken, micros) = answer.trim().split_once(' ').ok_or("the far end says two numbers")?;
    if taken.parse::<u64>()? != bytes {
        return Err(format!("{taken} bytes came of {bytes}").into());
    }
    Ok(Duration::from_micros(micros.parse()?))
}

fn send(to: SocketAddr, certificate: CertificateDer<'static>, bytes: u64) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut client = floor::client(certificate)?;
    client.transport_config(transport());
    runtime.block_on(async {
        let endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let connection = endpoint.connect_with(client, to, "floor")?.await?;
        let mut stream = connection.open_uni().await?;
        let piece = bytes::Bytes::from(vec![0x5a; PIECE]);
        let mut left = bytes;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            stream.write_chunk(piece.slice(..length)).await?;
            left -= length as u64;
        }
        stream.finish()?;
        stream.stopped().await?;
        Ok(())
    })
}

/// The other end of [`quic`].
pub(crate) fn far_end() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let crypto = Crypto::make()?;
    let mut server = crypto.server()?;
    server.transport_config(transport());
    let _guard = runtime.enter();
    let endpoint = far_end::listen(&crypto, server)?;
    runtime.block_on(async {
        let connection = endpoint.accept().await.ok_or("the endpoint ended")?.await?;
        let mut stream = connection.accept_uni().await?;
        let (mut taken, mut begun) = (0, None);
        let mut chunks = [const { bytes::Bytes::new() }; 64];
        while let Some(count) = stream.read_chunks(&mut chunks).await? {
            begun.get_or_insert_with(Instant::now);
            taken += chunks[..count].iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        }
        let micros = begun.map_or(0, |begun| begun.elapsed().as_micros());
        println!("{taken} {micros}");
        Ok::<_, Box<dyn Error>>(())
    })?;
    // Until the other side has seen that all has come.
    Ok(far_end::wait_for_the_end()?)
}

/// Writes that many bytes to a new file, and syncs it once.
pub(crate) fn disk(folder: &Path, bytes: u64) -> Result<Duration, Box<dyn Error>> {
    let path = folder.join("bulk");
    let piece = vec![0x5a; DISK_PIECE];
    let begun = Instant::now();
    let mut file = File::create(&path)?;
    let mut left = usize::try_from(bytes)?;
    while left > 0 {
        let length = left.min(DISK_PIECE);
        file.write_all(&piece[..length])?;
        left -= length;
    }
    file.sync_all()?;
    let taken = begun.elapsed();
    std::fs::remove_file(&path)?;
    Ok(taken)
}

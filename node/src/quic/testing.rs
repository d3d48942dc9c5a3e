//! What the tests of this room have in common.

use super::{ClusterFiles, IncomingSnapshot, Snapshots};
use bytes::Bytes;
use mgnode_core::durability::SnapshotSource;
use mgnode_core::engine::SnapshotHeader;
use mgnode_core::replication::{LogEnd, Message, PROTOCOL, RefusalReason, SnapshotStream};
use mgnode_core::storage::Graph;
use mgnode_core::types::{Epoch, Lsn, Names, NodeId, PartialSnapshot, Position, SnapshotId};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An authority of certificates.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, key()).unwrap();
        Authority { issuer }
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes a certificate with its key, and the certificates of the authorities that it trusts.
    pub(super) fn write(
        &self,
        folder: &Path,
        name: &str,
        cluster: &str,
        trusted: &[&Authority],
    ) -> ClusterFiles {
        let path = |kind: &str| folder.join(format!("{name}.{cluster}.{kind}"));
        let files = ClusterFiles { certificate: path("crt"), key: path("key"), authority: path("authority") };
        let names = vec![format!("{name}.{cluster}.mgctl"), format!("{cluster}.mgctl")];
        let (certificate, key) = self.leaf(names, |_| {});
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        let trusted: String = trusted.iter().map(|a| a.pem()).collect();
        std::fs::write(&files.authority, trusted).unwrap();
        files
    }

    /// Makes a certificate and its key, both PEM.
    pub(super) fn leaf(
        &self,
        names: Vec<String>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = key();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Signatures of this kind are of one length, so that packets are too.
fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

pub(super) fn refused(text: &str) -> Message {
    let (promised, end) = (Epoch::default(), LogEnd::default());
    Message::Refused { reason: RefusalReason::Fenced, node: NodeId(2), promised, end, text: text.into() }
}

pub(super) fn hello() -> Message {
    let (epoch, end) = (Epoch::default(), LogEnd::default());
    let (node, to, members) = (NodeId(1), NodeId(0), Vec::new());
    Message::Hello { protocol: PROTOCOL, node, to, epoch, end, cluster: None, members }
}

/// Lifts the limits of a stranger where it is sent.
pub(super) fn taken() -> Message {
    Message::Ack { durable: Lsn(0), applied: Lsn(0) }
}

/// Snapshots of bytes that can be told from any others; counts what comes in.
#[derive(Default)]
pub(super) struct Numbers {
    /// Length of each that is coming in or has come, and whether it was whole.
    pub(super) received: Arc<Mutex<Vec<(usize, bool)>>>,
    kept: Arc<Mutex<Option<PartialSnapshot>>>,
}

/// The name of one of that length.
pub(super) fn numbers(bytes: u64) -> SnapshotId {
    SnapshotId { position: Position::default(), chain: 0, bytes, digest: 0 }
}

fn byte_at(at: usize) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 7) as u8
}

struct File {
    bytes: u64,
}

impl SnapshotSource for File {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<bytes::Bytes> {
        let start = usize::try_from(offset).expect("a small file");
        Ok((start..start + length).map(byte_at).collect::<Vec<u8>>().into())
    }
}

impl Snapshots for Numbers {
    fn open(&self, snapshot: &SnapshotId) -> io::Result<Arc<dyn SnapshotSource + Send>> {
        Ok(Arc::new(File { bytes: snapshot.bytes }))
    }

    fn receive(&self, stream: SnapshotStream) -> io::Result<Box<dyn IncomingSnapshot>> {
        let snapshot = match stream {
            SnapshotStream::Part { snapshot, .. } => snapshot,
            SnapshotStream::Plain => numbers(0),
        };
        let mut received = self.received.lock();
        received.push((0, false));
        let (index, received) = (received.len() - 1, self.received.clone());
        let kept = self.kept.clone();
        Ok(Box::new(Incoming { snapshot, index, received, kept, bytes: Vec::new() }))
    }

    fn kept(&self) -> Option<PartialSnapshot> {
        *self.kept.lock()
    }
}

struct Incoming {
    snapshot: SnapshotId,
    index: usize,
    received: Arc<Mutex<Vec<(usize, bool)>>>,
    kept: Arc<Mutex<Option<PartialSnapshot>>>,
    bytes: Vec<u8>,
}

impl IncomingSnapshot for Incoming {
    fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.received.lock()[self.index].0 = self.bytes.len();
        let bytes = self.bytes.len() as u64;
        *self.kept.lock() = Some(PartialSnapshot { snapshot: self.snapshot, bytes });
        Ok(())
    }

    fn load(&mut self) -> io::Result<(SnapshotId, SnapshotHeader, Arc<Graph>)> {
        assert_eq!(self.snapshot.bytes, self.bytes.len() as u64, "a part was taken for the whole");
        let is_right = self.bytes.iter().enumerate().all(|(at, byte)| *byte == byte_at(at));
        assert!(is_right, "bytes changed on the way");
        self.received.lock()[self.index].1 = true;
        let header =
            SnapshotHeader { position: Position::default(), chain: 0, ts: 0, history: Default::default() };
        Ok((self.snapshot, header, Arc::new(Graph::new(Arc::new(Names::default())))))
    }

    fn hand_over(self: Box<Self>) -> io::Result<()> {
        *self.kept.lock() = None;
        Ok(())
    }
}

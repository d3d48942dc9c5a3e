//! Real endpoints over loopback: who is refused, and what strangers cannot do.

use super::testing::*;
use super::verify::AnyKey;
use super::{Credentials, GREETING_BYTES_MAX, HANDSHAKES_MAX, Quic};
use crate::driver::{Queue, Transport, queue};
use bytes::Bytes;
use mgnode_core::engine::{Input, PeerId};
use mgnode_core::replication::{FRAME_BYTES_MAX, Line, Message, SnapshotStream};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

struct Node {
    quic: Quic,
    queue: Queue,
    port: u16,
    snapshots: Arc<Numbers>,
    next_peer: u64,
}

impl Node {
    fn new(credentials: Credentials) -> Node {
        let (inputs, queue) = queue();
        let runtime = tokio::runtime::Handle::current();
        let snapshots = Arc::new(Numbers::default());
        let quic = Quic::new(runtime, Ipv4Addr::LOCALHOST.into(), inputs, snapshots.clone(), credentials);
        Node { quic, queue, port: 0, snapshots, next_peer: 0 }
    }

    fn listening(credentials: Credentials) -> Node {
        let mut node = Node::new(credentials);
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        node.port = free.local_addr().unwrap().port();
        drop(free);
        node.quic.listen(node.port);
        assert!(matches!(node.queue.next_input(), Some(Input::Listening { result: Ok(()) })));
        node
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Dials; returns what the handshake settled, or why there is no connection.
    fn dial(&mut self, port: u16) -> Result<(PeerId, Line), String> {
        self.next_peer += 2;
        let peer = PeerId(self.next_peer);
        self.quic.dial(peer, format!("127.0.0.1:{port}"));
        match self.queue.next_input() {
            Some(Input::PeerUp { peer: up, dialled: true, line }) if up == peer => Ok((peer, line)),
            Some(Input::PeerDown { peer: down, reason }) if down == peer => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    fn accepted(&self) -> (PeerId, Line) {
        match self.queue.next_input() {
            Some(Input::PeerUp { peer, dialled: false, line }) => (peer, line),
            other => panic!("{other:?}"),
        }
    }

    fn message(&self) -> Message {
        match self.queue.next_input() {
            Some(Input::Message { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    fn down(&self) -> String {
        match self.queue.next_input() {
            Some(Input::PeerDown { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }
}

fn own_key() -> Credentials {
    Credentials::own(tempfile::tempdir().unwrap().path()).unwrap()
}

/// A client that shows what it is told to, and takes any server.
async fn raw_client(
    server: SocketAddr,
    name: &str,
    alpn: &str,
    shown: Option<&(String, String)>,
) -> Result<(Endpoint, Connection), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyKey::new(&provider)));
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(200)));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let connection = endpoint
        .connect_with(config, server, name)
        .unwrap()
        .await
        .map_err(|e| super::refusal::explain(&e))?;
    Ok((endpoint, connection))
}

/// A client's connection with both lanes, which end with it.
struct Opened {
    connection: Connection,
    log: SendStream,
    _rest: (Endpoint, SendStream, [RecvStream; 2]),
}

impl Opened {
    async fn at(server: &Node) -> Opened {
        let (endpoint, connection) =
            raw_client(server.address(), "mgnode", &newest_alpn(), None).await.unwrap();
        let (mut control, from_control) = connection.open_bi().await.unwrap();
        control.write_all(&[0]).await.unwrap();
        let (mut log, from_log) = connection.open_bi().await.unwrap();
        log.write_all(&[1]).await.unwrap();
        Opened { connection, log, _rest: (endpoint, control, [from_control, from_log]) }
    }
}

fn newest_alpn() -> String {
    format!("mg-repl/{}", mgnode_core::replication::PROTOCOL)
}

/// Waits for the end of a connection and returns how it ended.
async fn end(connection: &Connection) -> String {
    let closed = tokio::time::timeout(Duration::from_secs(10), connection.closed()).await;
    super::refusal::explain(&closed.expect("the connection is ended by the node"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_word_arrives_before_the_end_of_the_connection() {
    let mut replica = Node::listening(own_key());
    let mut main = Node::new(own_key());
    for round in 1..=40 {
        let (peer, _) = main.dial(replica.port).unwrap();
        main.quic.send(peer, hello());
        let (accepted, _) = replica.accepted();
        assert!(matches!(replica.message(), Message::Hello { .. }));
        replica.quic.send(accepted, refused("no"));
        replica.quic.hangup(accepted, "no".into());
        assert_eq!(main.message(), refused("no"), "round {round}");
        main.down();
        replica.down();
    }
    main.quic.stop();
    replica.quic.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_without_certificates_learn_each_others_lasting_keys() {
    let (main_folder, replica_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut seen = Vec::new();
    for _ in 0..2 {
        // As after a restart: everything is made anew but the files.
        let main_key = Credentials::own(main_folder.path()).unwrap();
        let replica_key = Credentials::own(replica_folder.path()).unwrap();
        let told = (main_key.identity().unwrap(), replica_key.identity().unwrap());
        let mut replica = Node::listening(replica_key);
        let mut main = Node::new(main_key);
        let (_, of_replica) = main.dial(replica.port).unwrap();
        let (_, of_main) = replica.accepted();
        assert_eq!((of_main.identity, of_replica.identity), told);
        assert!(told.0.key.is_some() && told.0.certified.is_none());
        assert_ne!(told.0.key, told.1.key);
        seen.push(told);
        main.quic.stop();
        replica.quic.stop();
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_names_its_nodes_and_a_renewed_certificate_needs_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("one");
    let main_files = authority.write(folder.path(), "m1", "demo", &[&authority]);
    let replica_files = authority.write(folder.path(), "r1", "demo", &[&authority]);
    let mut replica = Node::listening(Credentials::cluster(replica_files.clone()).unwrap());
    let mut main = Node::new(Credentials::cluster(main_files.clone()).unwrap());

    let (peer, of_replica) = main.dial(replica.port).unwrap();
    let (_, of_main) = replica.accepted();
    assert_eq!(of_main.identity.certified.as_deref(), Some("m1.demo.mgctl"));
    assert_eq!(of_replica.identity.certified.as_deref(), Some("r1.demo.mgctl"));
    main.quic.hangup(peer, "seen".into());
    main.down();
    replica.down();

    // Half of a renewal: the certificate does not fit the key, and the old pair stays in force.
    let first = std::fs::read(&main_files.certificate).unwrap();
    let names = vec!["m1.demo.mgctl".to_owned(), "demo.mgctl".to_owned()];
    let (certificate, key) = authority.leaf(names, |_| {});
    std::fs::write(&main_files.certificate, format!("{certificate}\n")).unwrap();
    let (peer, _) = main.dial(replica.port).unwrap();
    assert_eq!(replica.accepted().1, of_main);
    main.quic.hangup(peer, "seen".into());
    main.down();
    replica.down();

    std::fs::write(&main_files.key, format!("{key}\n")).unwrap();
    main.dial(replica.port).unwrap();
    let renewed = replica.accepted().1;
    assert_eq!(renewed.identity.certified, of_main.identity.certified);
    assert_ne!(renewed.identity.key, of_main.identity.key);
    assert_ne!(std::fs::read(&main_files.certificate).unwrap(), first);
    main.quic.stop();
    replica.quic.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_kinds_of_strangers_are_refused_and_the_cluster_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let demo = vec!["m1.demo.mgctl".to_owned(), "demo.mgctl".to_owned()];
    let mut replica =
        Node::listening(Credentials::cluster(ours.write(folder.path(), "r1", "demo", &[&ours])).unwrap());

    // 1. No certificate, and one of nobody's but its own.
    let refusal = async |name: &str, alpn: &str, shown: Option<&(String, String)>| match raw_client(
        replica.address(),
        name,
        alpn,
        shown,
    )
    .await
    {
        Ok((_endpoint, connection)) => end(&connection).await,
        Err(why) => why,
    };
    let why = refusal("demo.mgctl", &newest_alpn(), None).await;
    assert!(why.contains("refused the handshake: a certificate is required"), "{why}");
    let mut plain = Node::new(own_key());
    let why = plain.dial(replica.port).unwrap_err();
    assert!(why.contains("refused the handshake"), "{why}");

    // 2. One of another authority, which itself trusts this one.
    let why = refusal("demo.mgctl", &newest_alpn(), Some(&theirs.leaf(demo.clone(), |_| {}))).await;
    assert!(why.contains("refused the handshake: the certificate is of another authority"), "{why}");
    let elsewhere = theirs.write(folder.path(), "m2", "demo", &[&ours, &theirs]);
    let why = Node::new(Credentials::cluster(elsewhere).unwrap()).dial(replica.port).unwrap_err();
    assert!(why.contains("refused the handshake: the certificate is of another authority"), "{why}");

    // 3. One of the same authority for another cluster: refused by either side.
    let names = vec!["m1.other.mgctl".to_owned(), "other.mgctl".to_owned()];
    let why = refusal("demo.mgctl", &newest_alpn(), Some(&ours.leaf(names, |_| {}))).await;
    assert!(why.contains("refused the handshake: the certificate is not for this cluster"), "{why}");
    let other = ours.write(folder.path(), "m1", "other", &[&ours]);
    let why = Node::new(Credentials::cluster(other).unwrap()).dial(replica.port).unwrap_err();
    assert!(why.contains("the handshake failed") && why.contains("demo.mgctl"), "{why}");

    // 4. A node that trusts another authority refuses this one.
    let suspicious = theirs.write(folder.path(), "m3", "demo", &[&theirs]);
    let why = Node::new(Credentials::cluster(suspicious).unwrap()).dial(replica.port).unwrap_err();
    assert!(why.contains("the handshake failed") && why.contains("UnknownIssuer"), "{why}");

    // 5. Another protocol.
    let shown = ours.leaf(demo.clone(), |_| {});
    let why = refusal("demo.mgctl", "mg-repl/999", Some(&shown)).await;
    assert!(why.contains("another version of the replication protocol"), "{why}");

    // And one that was right once.
    let expired = ours.leaf(demo.clone(), |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    let why = refusal("demo.mgctl", &newest_alpn(), Some(&expired)).await;
    assert!(why.contains("refused the handshake: the certificate has expired"), "{why}");

    // None of them was let in, and who belongs here is.
    let mut main =
        Node::new(Credentials::cluster(ours.write(folder.path(), "m1", "demo", &[&ours])).unwrap());
    main.dial(replica.port).unwrap();
    assert_eq!(replica.accepted().1.identity.certified.as_deref(), Some("m1.demo.mgctl"));
    main.quic.stop();
    replica.quic.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_the_first_protocol_is_let_in_without_a_certificate_where_there_is_no_authority() {
    let mut replica = Node::listening(own_key());
    let (_endpoint, connection) = raw_client(replica.address(), "mgnode", "mg-repl/1", None).await.unwrap();
    let (mut control, mut said) = connection.open_bi().await.unwrap();
    control.write_all(&[0]).await.unwrap();
    let (mut log, _l) = connection.open_bi().await.unwrap();
    log.write_all(&[1]).await.unwrap();
    let (peer, line) = replica.accepted();
    assert_eq!(line, Line { protocol: 1, identity: Default::default() });
    // Where a later one is told that it was let in, this one hears messages from the first byte on.
    replica.quic.send(peer, Message::Pong { sequence: 5 });
    let mut frame = [0; 13];
    said.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, [9, 0, 0, 0, 10, 5, 0, 0, 0, 0, 0, 0, 0]);
    replica.quic.stop();
}

#[test]
fn certificates_that_cannot_work_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = ours.write(folder.path(), "m1", "demo", &[&ours]);
    let says = |files: &super::ClusterFiles, words: &str| match Credentials::cluster(files.clone()) {
        Ok(_) => panic!("taken, though: {words}"),
        Err(e) => assert!(e.contains(words), "{e}"),
    };
    assert!(Credentials::cluster(good.clone()).is_ok());

    says(&theirs.write(folder.path(), "m2", "demo", &[&ours]), "is not one of");
    let (certificate, _) = ours.leaf(vec!["m1.demo.mgctl".into(), "demo.mgctl".into()], |_| {});
    std::fs::write(&good.certificate, certificate).unwrap();
    says(&good, "is not that of the certificate");
    let (certificate, key) = ours.leaf(vec!["db1.example.com".into()], |_| {});
    std::fs::write(&good.certificate, certificate).unwrap();
    std::fs::write(&good.key, key).unwrap();
    says(&good, "names no cluster");
    // A certificate for one use only would be refused by half of the nodes.
    let names = vec!["m1.demo.mgctl".to_owned(), "demo.mgctl".to_owned()];
    let (certificate, key) = ours.leaf(names, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    std::fs::write(&good.certificate, certificate).unwrap();
    std::fs::write(&good.key, key).unwrap();
    says(&good, "is not one of");
    std::fs::write(&good.key, "not a key").unwrap();
    says(&good, "cannot read the private key");
    std::fs::write(&good.certificate, "").unwrap();
    says(&good, "no certificate");
    std::fs::remove_file(&good.certificate).unwrap();
    says(&good, "cannot read certificates");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_ends_its_connection_and_no_other() {
    let mut replica = Node::listening(own_key());
    let mut main = Node::new(own_key());
    let (_, _) = main.dial(replica.port).unwrap();
    let (honest, _) = replica.accepted();

    // Garbage where a handshake belongs.
    let noise = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for length in [1_usize, 20, 600, 1200, 1400] {
        for first in [0x00_u8, 0x40, 0xc0, 0xff] {
            let packet: Vec<u8> = std::iter::once(first).chain((1..length).map(|i| i as u8)).collect();
            noise.send_to(&packet, replica.address()).unwrap();
        }
    }

    // The lanes are named wrongly.
    for lanes in [&[0_u8, 0][..], &[7], &[255]] {
        let (_endpoint, connection) =
            raw_client(replica.address(), "mgnode", &newest_alpn(), None).await.unwrap();
        for lane in lanes {
            let (mut send, _recv) = connection.open_bi().await.unwrap();
            send.write_all(&[*lane]).await.unwrap();
        }
        end(&connection).await;
    }

    // What follows is said on the log lane of a connection that came to stand.
    let huge = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_le_bytes().to_vec();
    let mut long = u32::try_from(GREETING_BYTES_MAX + 1).unwrap().to_le_bytes().to_vec();
    long.extend([0; 100]);
    let frames: [(Vec<u8>, &str); 6] = [
        (u32::MAX.to_le_bytes().to_vec(), "over the limit"),
        (huge, "over the limit"),
        (long, "over the limit"),
        (vec![0, 0, 0, 0], "cannot be read"),
        (vec![3, 0, 0, 0, 200, 1, 2], "cannot be read"),
        // A Ping, which belongs on the other lane.
        (vec![9, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0], "wrong lane"),
    ];
    for (bytes, words) in frames {
        let Opened { connection, log, .. } = &mut Opened::at(&replica).await;
        log.write_all(&bytes).await.unwrap();
        let (stranger, _) = replica.accepted();
        let why = replica.down();
        assert!(why.contains(words), "{bytes:?}: {why}");
        assert!(end(connection).await.contains(words));
        assert_ne!(stranger, honest);
    }

    // The connection from before still carries messages both ways.
    main.quic.send(PeerId(2), hello());
    assert!(matches!(replica.message(), Message::Hello { .. }));
    replica.quic.send(honest, refused("well"));
    assert_eq!(main.message(), refused("well"));
    main.quic.stop();
    replica.quic.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_opens_no_further_streams_and_leaves_no_snapshot() {
    let mut replica = Node::listening(own_key());
    let Opened { connection, .. } = &Opened::at(&replica).await;
    let (stranger, _) = replica.accepted();
    let brief = Duration::from_millis(300);
    assert!(tokio::time::timeout(brief, connection.open_bi()).await.is_err(), "a third lane was opened");

    let mut snapshot = connection.open_uni().await.unwrap();
    assert!(tokio::time::timeout(brief, connection.open_uni()).await.is_err(), "two snapshots at once");
    let piece = Bytes::from(vec![0_u8; 1 << 20]);
    let mut taken_bytes = 0;
    while let Ok(written) = tokio::time::timeout(brief, snapshot.write_chunk(piece.clone())).await {
        written.unwrap();
        taken_bytes += piece.len();
        assert!(taken_bytes < 8 << 20, "a stranger's bytes are taken without end");
    }
    assert!(replica.snapshots.received.lock().is_empty(), "a stranger's snapshot reached the disk");

    // Once the engine has taken it, the same stream goes on.
    replica.quic.send(stranger, taken());
    for _ in 0..1000 {
        if replica.snapshots.received.lock().first().is_some_and(|(bytes, _)| *bytes > 1 << 20) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(replica.snapshots.received.lock()[0].0 > 1 << 20);
    replica.quic.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_of_a_snapshot_is_told_before_its_connection_ends() {
    let mut replica = Node::listening(own_key());
    let Opened { connection, .. } = &Opened::at(&replica).await;
    let (main, _) = replica.accepted();
    replica.quic.send(main, taken());

    let snapshot = numbers(1000);
    let mut stream = connection.open_uni().await.unwrap();
    let mut first = Vec::new();
    SnapshotStream::Part { snapshot, offset: 0 }.encode(&mut first);
    first.extend([0; 100]);
    stream.write_all(&first).await.unwrap();
    // No more comes, and the connection stands; only so that a broken node fails instead of hanging, it ends.
    let closing = connection.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        closing.close(0_u8.into(), b"nothing was told");
    });
    loop {
        match replica.queue.next_input() {
            Some(Input::PartialKept { partial: Some(kept) }) if kept.bytes == 100 => {
                assert_eq!(kept.snapshot, snapshot);
                break;
            }
            Some(Input::PartialKept { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(connection.close_reason().is_none());
    replica.quic.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_do_not_keep_a_node_out() {
    let mut replica = Node::listening(own_key());
    let mut silent = Vec::new();
    let mut refused = 0;
    for _ in 0..HANDSHAKES_MAX * 2 {
        match raw_client(replica.address(), "mgnode", &newest_alpn(), None).await {
            Ok(connection) => silent.push(connection),
            Err(_) => refused += 1,
        }
    }
    assert!(silent.len() >= HANDSHAKES_MAX && refused > 0, "{} stand, {refused} refused", silent.len());
    let mut main = Node::new(own_key());
    for attempt in 0.. {
        match main.dial(replica.port) {
            Ok(_) => break,
            Err(e) => assert!(attempt < 100, "still kept out: {e}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    replica.accepted();
    main.quic.stop();
    replica.quic.stop();
}

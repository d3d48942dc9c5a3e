//! Engines stepped message by message: one rule a test.

use super::*;

#[path = "commit_tests.rs"]
mod commits;
#[path = "member_tests.rs"]
mod members;
#[path = "snapshot_tests.rs"]
mod snapshots;

use crate::replication::{Line, Message, RefusalReason};
use crate::storage::Transaction;
use crate::types::{CommitRecord, EnumSpec, Names, NodeId, SyncMode};

const PORT: u16 = 10_000;
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// An engine whose effects lie open.
struct Node {
    engine: Engine,
    out: Vec<Effect>,
    token: u64,
    answers_notes: bool,
}

fn recovered(node: u64) -> Recovered {
    Recovered {
        state: NodeState::fresh(NodeId(node)),
        graph: Arc::new(Graph::new(Arc::new(Names::default()))),
        last: Position::default(),
        chain: 0,
        ts: 0,
        history: History::default(),
        wal_from: Lsn(1),
        noted: None,
        held: Vec::new(),
        snapshots: Vec::new(),
        partial: None,
    }
}

impl Node {
    fn main(node: u64) -> Node {
        Node::with(node, EngineConfig::default())
    }

    fn with(node: u64, config: EngineConfig) -> Node {
        let mut out = Vec::new();
        let engine = Engine::start(Time(0), config, recovered(node), &mut out);
        Node { engine, out, token: 0, answers_notes: true }
    }

    fn replica(node: u64) -> Node {
        let mut start = recovered(node);
        start.state.role = Role::Replica { port: PORT };
        let mut out = Vec::new();
        let engine = Engine::start(Time(0), EngineConfig::default(), start, &mut out);
        Node { engine, out: Vec::new(), token: 0, answers_notes: true }
    }

    fn step(&mut self, input: Input) -> &mut Node {
        let now = self.engine.now;
        self.engine.step(now, input, &mut self.out);
        self.answer_notes()
    }

    fn wait(&mut self, duration: std::time::Duration) -> &mut Node {
        let now = self.engine.now + duration;
        self.engine.step(now, Input::Tick, &mut self.out);
        self.answer_notes()
    }

    /// Notes of what may be shown are answered at once, as the hands do, but for the first.
    fn answer_notes(&mut self) -> &mut Node {
        let note = self.out.iter().position(|e| matches!(e, Effect::NoteDecided { is_first: false, .. }));
        let Some(at) = note.filter(|_| self.answers_notes) else { return self };
        let Effect::NoteDecided { lsn, .. } = self.out.remove(at) else { unreachable!("looked at before") };
        self.step(Input::DecidedNoted { lsn })
    }

    fn admin(&mut self, command: Admin) -> &mut Node {
        self.token += 1;
        let token = Token(self.token);
        self.step(Input::Admin { token, command })
    }

    fn propose(&mut self) -> Token {
        self.propose_what(|tx| {
            let label = tx.names().label("City");
            tx.create_vertex(&[label], Vec::new()).expect("an empty graph takes it");
        })
    }

    /// Proposes what only programs of protocol 3 can read.
    fn propose_enum(&mut self, name: &str) -> Token {
        self.propose_what(|tx| tx.set_enum(EnumSpec { name: name.into(), values: vec!["A".into()] }))
    }

    fn propose_what(&mut self, write: impl FnOnce(&mut Transaction)) -> Token {
        let graph = self.engine.graph.clone();
        let mut tx = graph.begin(true);
        write(&mut tx);
        let commit = tx.finish().expect("nothing is wrong with it").expect("it writes");
        self.token += 1;
        self.step(Input::Propose { token: Token(self.token), commit });
        Token(self.token)
    }

    /// Answers every state file and every sync that waits.
    fn disk(&mut self) -> &mut Node {
        loop {
            let at = self.out.iter().position(|e| {
                matches!(
                    e,
                    Effect::SaveState { .. }
                        | Effect::SyncWal { .. }
                        | Effect::Listen { .. }
                        | Effect::NoteDecided { is_first: true, .. }
                )
            });
            let Some(at) = at else { return self };
            match self.out.remove(at) {
                Effect::SaveState { id, .. } => self.step(Input::StateSaved { id, result: Ok(()) }),
                Effect::SyncWal { lsn } => self.step(Input::WalSynced { lsn }),
                Effect::Listen { .. } => self.step(Input::Listening { result: Ok(()) }),
                Effect::NoteDecided { lsn, .. } => self.step(Input::DecidedNoted { lsn }),
                _ => unreachable!("looked at before"),
            };
        }
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        let mut found = Vec::new();
        self.out.retain(|e| match e {
            Effect::Resolve { outcome, .. } => {
                found.push(outcome.clone());
                false
            }
            _ => true,
        });
        found
    }

    fn answers(&mut self) -> Vec<Result<AdminAnswer, AdminError>> {
        let mut found = Vec::new();
        self.out.retain(|e| match e {
            Effect::Answer { result, .. } => {
                found.push(result.clone());
                false
            }
            _ => true,
        });
        found
    }

    fn sent(&mut self) -> Vec<Message> {
        let mut found = Vec::new();
        self.out.retain(|e| match e {
            Effect::Send { message, .. } => {
                found.push(message.clone());
                false
            }
            _ => true,
        });
        found
    }
}

/// Carries messages between MAIN, which dialled as `at`, and a REPLICA, which accepted as 1.
fn talk(main: &mut Node, at: PeerId, replica: &mut Node) {
    loop {
        let (down, up) = (main.sent(), replica.sent());
        if down.is_empty() && up.is_empty() {
            return;
        }
        for message in down {
            replica.step(Input::Message { peer: PeerId(1), message }).disk();
        }
        for message in up {
            main.step(Input::Message { peer: at, message }).disk();
        }
    }
}

fn dialled(main: &mut Node) -> PeerId {
    let at = main.out.iter().position(|e| matches!(e, Effect::Dial { .. })).expect("MAIN dials");
    match main.out.remove(at) {
        Effect::Dial { peer, .. } => peer,
        _ => unreachable!("looked at before"),
    }
}

fn register(main: &mut Node, mode: SyncMode, replica: &mut Node) -> PeerId {
    register_as("r", main, mode, replica)
}

fn register_as(name: &str, main: &mut Node, mode: SyncMode, replica: &mut Node) -> PeerId {
    let address = format!("{name}:10000");
    main.admin(Admin::Register { name: name.into(), mode, address }).disk();
    let peer = dialled(main);
    replica.step(Input::PeerUp { peer: PeerId(1), dialled: false, line: Line::default() });
    main.step(Input::PeerUp { peer, dialled: true, line: Line::default() });
    talk(main, peer, replica);
    peer
}

fn pair(mode: SyncMode) -> (Node, Node, PeerId) {
    pair_with(mode, EngineConfig::default())
}

fn pair_with(mode: SyncMode, config: EngineConfig) -> (Node, Node, PeerId) {
    let (mut main, mut replica) = (Node::with(1, config), Node::replica(2));
    let peer = register(&mut main, mode, &mut replica);
    assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);
    (main, replica, peer)
}

//! Which message may come when, for either side.
//!
//! ```text
//!             HELLO          LOGON (5.1)        RUN              PULL, DISCARD to the end
//!  Connected -------> Authentication -> Ready <-----> Streaming ------------> Ready
//!                              ^ LOGOFF  | ^
//!                              +---------+ | COMMIT, ROLLBACK
//!                                  BEGIN | |
//!                                        v |          RUN
//!                                      TxReady <-----------> TxStreaming
//!  any failure -> Failed: everything is ignored until RESET -> Ready
//!  RESET on its way -> Interrupted: everything before it is ignored
//!  a message that has no place where it came -> FAILURE, and the connection ends
//! ```

use crate::Version;
use crate::message::{RequestKind, Response};
use std::collections::VecDeque;

/// Where a connection stands, seen by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Waits for HELLO.
    Connected,
    /// Waits for LOGON.
    Authentication,
    Ready,
    /// An auto-commit result has rows left.
    Streaming,
    /// Inside a transaction, no result open.
    TxReady,
    /// Inside a transaction, results open.
    TxStreaming,
    Failed,
    Interrupted,
    /// The connection ends.
    Defunct,
}

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serves it, then says how that ended with [`ServerMachine::served`].
    Serve,
    /// Answers IGNORED.
    Ignore,
    /// Answers FAILURE and closes: it has no place here.
    Violation,
    /// Closes without an answer.
    Close,
}

/// How a request that was served ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// SUCCESS; for PULL and DISCARD: the result is at its end.
    Success,
    /// SUCCESS, and the result has rows left.
    HasMore,
    Failure,
}

/// The server's side of one connection.
#[derive(Debug)]
pub struct ServerMachine {
    version: Version,
    state: ServerState,
    /// Results open in a transaction.
    open: usize,
    /// RESETs that arrived and were not yet served.
    resets: usize,
}

impl ServerMachine {
    /// Begins after the handshake.
    pub fn new(version: Version) -> ServerMachine {
        ServerMachine { version, state: ServerState::Connected, open: 0, resets: 0 }
    }

    /// Returns where the connection stands.
    pub fn state(&self) -> ServerState {
        if self.resets > 0 && self.state != ServerState::Defunct {
            ServerState::Interrupted
        } else {
            self.state
        }
    }

    /// Whether a client has authenticated.
    pub fn is_logged_on(&self) -> bool {
        !matches!(self.state, ServerState::Connected | ServerState::Authentication | ServerState::Defunct)
    }

    /// Notes that a RESET has arrived behind requests that are not served yet.
    pub fn interrupt(&mut self) {
        self.resets += 1;
    }

    /// Says what to do with the next request.
    pub fn judge(&mut self, kind: RequestKind) -> Verdict {
        use RequestKind as R;
        use ServerState as S;
        let verdict = match (self.state, kind) {
            (S::Defunct, _) | (_, R::Goodbye) => Verdict::Close,
            (S::Connected, R::Hello) => Verdict::Serve,
            (S::Connected, _) => Verdict::Violation,
            (_, R::Reset) => Verdict::Serve,
            (S::Authentication, R::Logon) => Verdict::Serve,
            (S::Authentication, _) => Verdict::Violation,
            (S::Failed | S::Interrupted, _) => Verdict::Ignore,
            _ if self.resets > 0 => Verdict::Ignore,
            (S::Ready, R::Run | R::Begin | R::Route | R::Telemetry) => Verdict::Serve,
            (S::Ready, R::Logoff) if self.version.has_logon() => Verdict::Serve,
            (S::Streaming, R::Pull | R::Discard) => Verdict::Serve,
            (S::TxReady, R::Run | R::Commit | R::Rollback) => Verdict::Serve,
            // COMMIT with results open first runs them to their end; ROLLBACK forgets them.
            (S::TxStreaming, R::Run | R::Pull | R::Discard | R::Commit | R::Rollback) => Verdict::Serve,
            _ => Verdict::Violation,
        };
        if matches!(verdict, Verdict::Violation | Verdict::Close) {
            self.state = S::Defunct;
        }
        verdict
    }

    /// Notes how a served request ended.
    pub fn served(&mut self, kind: RequestKind, ended: Ended) {
        use RequestKind as R;
        use ServerState as S;
        if ended == Ended::Failure {
            // A client that cannot authenticate is not kept.
            self.state = match kind {
                R::Hello | R::Logon | R::Reset => S::Defunct,
                _ => S::Failed,
            };
            self.open = 0;
            return;
        }
        self.state = match (self.state, kind) {
            (_, R::Hello) if self.version.has_logon() => S::Authentication,
            (_, R::Hello | R::Logon | R::Commit | R::Rollback) => {
                self.open = 0;
                S::Ready
            }
            (_, R::Logoff) => S::Authentication,
            (state, R::Reset) => {
                self.resets = self.resets.saturating_sub(1);
                self.open = 0;
                if state == S::Authentication { S::Authentication } else { S::Ready }
            }
            (_, R::Begin) => S::TxReady,
            (S::Ready, R::Run) => S::Streaming,
            (_, R::Run) => {
                self.open += 1;
                S::TxStreaming
            }
            (state, R::Pull | R::Discard) if ended == Ended::HasMore => state,
            (S::Streaming, R::Pull | R::Discard) => S::Ready,
            (_, R::Pull | R::Discard) => {
                self.open = self.open.saturating_sub(1);
                if self.open == 0 { S::TxReady } else { S::TxStreaming }
            }
            (state, R::Route | R::Telemetry | R::Goodbye) => state,
        };
    }
}

/// A message that has no place in the conversation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("the server sent {0} although nothing was asked")]
    Unasked(&'static str),
    #[error("the server answered {request} with {answer}")]
    WrongAnswer { request: &'static str, answer: &'static str },
    #[error("{request} cannot be sent in Bolt {version}")]
    UnknownRequest { request: &'static str, version: Version },
}

/// The client's side of one connection: which request each answer belongs to.
#[derive(Debug)]
pub struct ClientMachine {
    version: Version,
    waiting: VecDeque<RequestKind>,
    failed: bool,
}

impl ClientMachine {
    /// Begins after the handshake.
    pub fn new(version: Version) -> ClientMachine {
        ClientMachine { version, waiting: VecDeque::new(), failed: false }
    }

    /// Notes a request that is sent. Several may wait for their answers.
    pub fn sent(&mut self, kind: RequestKind) -> Result<(), ProtocolError> {
        if !kind.exists_in(self.version) {
            return Err(ProtocolError::UnknownRequest { request: kind.name(), version: self.version });
        }
        if kind != RequestKind::Goodbye {
            self.waiting.push_back(kind);
        }
        Ok(())
    }

    /// Returns the request that an answer belongs to. Records belong to the first one that waits;
    /// any other answer is its last.
    pub fn received(&mut self, response: &Response) -> Result<RequestKind, ProtocolError> {
        let answer = match response {
            Response::Success(_) => "SUCCESS",
            Response::Record(_) => "RECORD",
            Response::Failure { .. } => "FAILURE",
            Response::Ignored => "IGNORED",
        };
        let request = *self.waiting.front().ok_or(ProtocolError::Unasked(answer))?;
        match response {
            Response::Record(_) if matches!(request, RequestKind::Pull | RequestKind::Discard) => {
                return Ok(request);
            }
            Response::Record(_) => {
                return Err(ProtocolError::WrongAnswer { request: request.name(), answer });
            }
            Response::Failure { .. } => self.failed = true,
            Response::Success(_) if request == RequestKind::Reset => self.failed = false,
            Response::Success(_) | Response::Ignored => {}
        }
        self.waiting.pop_front();
        Ok(request)
    }

    /// Whether a request failed and no RESET has been answered since.
    pub fn needs_reset(&self) -> bool {
        self.failed
    }

    /// Whether every request has its answer.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Request;
    use crate::value::Map;
    use RequestKind as R;
    use proptest::prelude::*;

    const KINDS: [R; 13] = [
        R::Hello,
        R::Logon,
        R::Logoff,
        R::Goodbye,
        R::Reset,
        R::Run,
        R::Begin,
        R::Commit,
        R::Rollback,
        R::Pull,
        R::Discard,
        R::Route,
        R::Telemetry,
    ];

    fn ready(version: Version) -> ServerMachine {
        let mut m = ServerMachine::new(version);
        serve(&mut m, R::Hello, Ended::Success);
        if version.has_logon() {
            serve(&mut m, R::Logon, Ended::Success);
        }
        assert_eq!(m.state(), ServerState::Ready);
        m
    }

    fn serve(m: &mut ServerMachine, kind: R, ended: Ended) {
        assert_eq!(m.judge(kind), Verdict::Serve, "{kind:?}");
        m.served(kind, ended);
    }

    #[test]
    fn auto_commit_streams_until_its_end() {
        let mut m = ready(Version::V4_4);
        serve(&mut m, R::Run, Ended::Success);
        serve(&mut m, R::Pull, Ended::HasMore);
        assert_eq!(m.state(), ServerState::Streaming);
        serve(&mut m, R::Discard, Ended::Success);
        assert_eq!(m.state(), ServerState::Ready);
    }

    #[test]
    fn a_transaction_may_hold_several_results() {
        let mut m = ready(Version::V5_4);
        serve(&mut m, R::Begin, Ended::Success);
        serve(&mut m, R::Run, Ended::Success);
        serve(&mut m, R::Run, Ended::Success);
        serve(&mut m, R::Pull, Ended::Success);
        assert_eq!(m.state(), ServerState::TxStreaming);
        serve(&mut m, R::Pull, Ended::Success);
        assert_eq!(m.state(), ServerState::TxReady);
        serve(&mut m, R::Commit, Ended::Success);
        assert_eq!(m.state(), ServerState::Ready);
    }

    #[test]
    fn after_a_failure_everything_is_ignored_until_reset() {
        let mut m = ready(Version::V5_4);
        serve(&mut m, R::Run, Ended::Failure);
        assert_eq!(m.judge(R::Pull), Verdict::Ignore);
        assert_eq!(m.judge(R::Begin), Verdict::Ignore);
        serve(&mut m, R::Reset, Ended::Success);
        assert_eq!(m.state(), ServerState::Ready);
    }

    #[test]
    fn a_reset_on_its_way_makes_what_is_before_it_ignored() {
        let mut m = ready(Version::V5_4);
        serve(&mut m, R::Run, Ended::Success);
        m.interrupt();
        assert_eq!(m.state(), ServerState::Interrupted);
        assert_eq!(m.judge(R::Pull), Verdict::Ignore);
        serve(&mut m, R::Reset, Ended::Success);
        assert_eq!(m.state(), ServerState::Ready);
        assert_eq!(m.judge(R::Run), Verdict::Serve);
    }

    #[test]
    fn out_of_place_is_a_failure_and_the_end() {
        for (state, wrong) in [(ready(Version::V5_4), R::Pull), (ServerMachine::new(Version::V5_4), R::Run)] {
            let mut m = state;
            assert_eq!(m.judge(wrong), Verdict::Violation);
            assert_eq!(m.judge(R::Reset), Verdict::Close);
        }
        let mut m = ServerMachine::new(Version::V5_4);
        serve(&mut m, R::Hello, Ended::Success);
        assert!(!m.is_logged_on());
        serve(&mut m, R::Logon, Ended::Failure);
        assert_eq!(m.judge(R::Logon), Verdict::Close);
    }

    proptest! {
        /// Nothing is served before a client has authenticated, whatever it sends.
        #[test]
        fn no_query_without_authentication(
            kinds in prop::collection::vec((0..KINDS.len(), 0..3usize, any::<bool>()), 0..40),
        ) {
            let mut m = ServerMachine::new(Version::V5_4);
            let mut logged_on = false;
            for (kind, ended, reset_ahead) in kinds {
                let kind = KINDS[kind];
                if reset_ahead && kind == R::Reset {
                    m.interrupt();
                }
                if m.judge(kind) != Verdict::Serve {
                    continue;
                }
                let before_logon = matches!(kind, R::Hello | R::Logon | R::Reset);
                prop_assert!(logged_on || before_logon, "{:?}", kind);
                let ended = [Ended::Success, Ended::HasMore, Ended::Failure][ended];
                m.served(kind, ended);
                if ended != Ended::Failure {
                    logged_on = (logged_on || kind == R::Logon) && kind != R::Logoff;
                }
            }
        }
    }

    #[test]
    fn a_client_knows_what_each_answer_belongs_to() {
        let mut m = ClientMachine::new(Version::V5_4);
        let run = Request::Run { query: "x".into(), parameters: Map::new(), extra: Default::default() };
        m.sent(run.kind()).unwrap();
        m.sent(RequestKind::Pull).unwrap();
        assert_eq!(m.received(&Response::Success(Map::new())), Ok(R::Run));
        assert_eq!(m.received(&Response::Record(vec![])), Ok(R::Pull));
        assert!(!m.is_idle());
        let failure = Response::Failure {
            code: "c".into(),
            message: "m".into(),
            status: crate::Status::UNEXPECTED,
            position: None,
        };
        assert_eq!(m.received(&failure), Ok(R::Pull));
        assert!(m.is_idle() && m.needs_reset());
        m.sent(RequestKind::Reset).unwrap();
        assert_eq!(m.received(&Response::Success(Map::new())), Ok(R::Reset));
        assert!(!m.needs_reset());
        assert_eq!(m.received(&Response::Ignored), Err(ProtocolError::Unasked("IGNORED")));
        m.sent(run.kind()).unwrap();
        assert!(matches!(m.received(&Response::Record(vec![])), Err(ProtocolError::WrongAnswer { .. })));
        let mut old = ClientMachine::new(Version::V4_4);
        assert!(matches!(old.sent(RequestKind::Logon), Err(ProtocolError::UnknownRequest { .. })));
    }
}

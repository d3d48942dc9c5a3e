//! A client that costs next to nothing: the bytes of its one query are made once, and answers are
//! looked at only as far as it takes to know that each is a yes.

use mgbolt::{ALL, Auth, Map, NotificationFilter, PackValue, Request, Stream, TransactionExtra, handshake};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);
const QUERY: &str = "CREATE (:W {id: $id, s: $s})";
/// The first id. All are so large that each takes the same nine bytes.
const FIRST_ID: i64 = 1 << 40;
const SUCCESS: u8 = 0x70;
/// What a commit says that was not confirmed by its SYNC replica.
const DEGRADED: &[u8] = b"SyncReplicationFailure";

/// What a measurement gave.
pub(crate) struct Measured {
    pub(crate) times: Vec<Duration>,
    pub(crate) per_second: f64,
}

/// Loads a node that runs already, and prints how that went.
pub(crate) fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [address, clients, commits_in_all] = args else {
        return Err("usage: bench load HOST:PORT CLIENTS COMMITS".into());
    };
    let clients: usize = clients.parse()?;
    let count = commits_in_all.parse::<usize>()? / clients;
    let mut measured = commits(address.parse()?, clients, count, &mut 0)?;
    measured.times.sort_unstable();
    let at = |percent: usize| measured.times[(measured.times.len() - 1) * percent / 100];
    println!("{:.0} commits/s, p50 {:?}, p99 {:?}", measured.per_second, at(50), at(99));
    Ok(())
}

/// Commits one small vertex after the other: `count` by each of `clients`, all on one thread.
pub(crate) fn commits(
    address: SocketAddr,
    clients: usize,
    count: usize,
    next: &mut i64,
) -> Result<Measured, Box<dyn Error>> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::open(address, FIRST_ID + *next)?);
        *next += i64::try_from(count)?;
    }
    let start = Instant::now();
    let times = match &mut connections[..] {
        [one] => one.commits(count)?,
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            let all = connections.into_iter().map(|connection| connection.commits_beside_others(count));
            runtime.block_on(futures_util::future::try_join_all(all))?.concat()
        }
    };
    let per_second = times.len() as f64 / start.elapsed().as_secs_f64();
    Ok(Measured { times, per_second })
}

/// Commits one after the other until told that it is enough, at least once.
pub(crate) fn commits_until(
    address: SocketAddr,
    next: &mut i64,
    is_enough: &AtomicBool,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut connection = Connection::open(address, FIRST_ID + *next)?;
    let mut times = Vec::new();
    loop {
        times.append(&mut connection.commits(1)?);
        if is_enough.load(Ordering::Acquire) {
            *next += i64::try_from(times.len())?;
            return Ok(times);
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// RUN and PULL in one piece.
    request: Vec<u8>,
    /// Where the id stands in it.
    id_at: usize,
    id: i64,
}

impl Connection {
    fn open(address: SocketAddr, id: i64) -> Result<Connection, Box<dyn Error>> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(&handshake::proposals())?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        let version = handshake::accept(answer)?;
        let agent = "mg-bench".to_owned();
        let hello = Request::Hello {
            user_agent: Some(agent.clone()),
            auth: Auth::none(),
            routing: None,
            bolt_agent: Some(Map::new().with("product", agent)),
            filter: NotificationFilter::default(),
        };
        let mut greeting = Vec::new();
        hello.write(&mut greeting, version)?;
        let mut answers = 1;
        if version.has_logon() {
            Request::Logon(Auth::none()).write(&mut greeting, version)?;
            answers += 1;
        }
        stream.write_all(&greeting)?;
        let parameters =
            Map::from_iter([("id", PackValue::Int(id)), ("s", PackValue::String("x".repeat(80)))]);
        let mut request = Vec::new();
        Request::Run { query: QUERY.to_owned(), parameters, extra: TransactionExtra::default() }
            .write(&mut request, version)?;
        let id_at = request
            .windows(8)
            .position(|bytes| bytes == id.to_be_bytes())
            .ok_or("the id is not where it was expected in the request")?;
        Request::Pull(Stream { n: ALL, qid: None }).write(&mut request, version)?;
        let mut connection = Connection { stream, request, id_at, id };
        connection.read_answers(answers)?;
        Ok(connection)
    }

    fn next_request(&mut self) {
        self.request[self.id_at..self.id_at + 8].copy_from_slice(&self.id.to_be_bytes());
        self.id += 1;
    }

    fn read_answers(&mut self, count: usize) -> io::Result<()> {
        let mut answers = Answers::new(count);
        while !answers.are_complete()? {
            let n = self.stream.read(answers.room())?;
            answers.took(n)?;
        }
        Ok(())
    }

    fn commits(&mut self, count: usize) -> io::Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            self.next_request();
            let start = Instant::now();
            self.stream.write_all(&self.request)?;
            self.read_answers(2)?;
            times.push(start.elapsed());
        }
        Ok(times)
    }

    async fn commits_beside_others(mut self, count: usize) -> io::Result<Vec<Duration>> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        self.stream.set_nonblocking(true)?;
        let mut stream = tokio::net::TcpStream::from_std(self.stream.try_clone()?)?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            self.next_request();
            let start = Instant::now();
            stream.write_all(&self.request).await?;
            let mut answers = Answers::new(2);
            while !answers.are_complete()? {
                let n = stream.read(answers.room()).await?;
                answers.took(n)?;
            }
            times.push(start.elapsed());
        }
        Ok(times)
    }
}

/// The answers to one request, as they come in.
struct Answers {
    bytes: [u8; 1024],
    filled: usize,
    wanted: usize,
}

impl Answers {
    fn new(wanted: usize) -> Answers {
        Answers { bytes: [0; 1024], filled: 0, wanted }
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    fn took(&mut self, n: usize) -> io::Result<()> {
        self.filled += n;
        match n {
            0 => Err(io::Error::other("the node ended the connection, or its answer is too long")),
            _ => Ok(()),
        }
    }

    /// Returns whether all are there. An answer that is no plain yes is an error.
    fn are_complete(&self) -> io::Result<bool> {
        let bytes = &self.bytes[..self.filled];
        let (mut at, mut complete, mut is_first_chunk) = (0, 0, true);
        while let Some(length) = bytes.get(at..at + 2) {
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            at += 2;
            if length == 0 {
                // Outside of a message it only says that the node lives.
                complete += usize::from(!is_first_chunk);
                is_first_chunk = true;
                continue;
            }
            if is_first_chunk && bytes.get(at + 1).is_some_and(|tag| *tag != SUCCESS) {
                return Err(io::Error::other(format!("refused: {}", String::from_utf8_lossy(bytes))));
            }
            is_first_chunk = false;
            at += length;
        }
        if complete < self.wanted {
            return Ok(false);
        }
        if bytes.windows(DEGRADED.len()).any(|text| text == DEGRADED) {
            return Err(io::Error::other("a replica did not confirm a commit: nothing to measure"));
        }
        Ok(true)
    }
}

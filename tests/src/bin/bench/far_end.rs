//! The far end of a floor: this program once more, in a process of its own, as a replica is.
//!
//! It says where it listens and who it is, and ends when its input does.

use crate::floor::Crypto;
use quinn::{Endpoint, ServerConfig};
use rustls::pki_types::CertificateDer;
use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The argument that makes this program a far end; which one comes next.
pub(crate) const ARGUMENT: &str = "far-end";

/// A far end that runs, seen from the near one.
pub(crate) struct FarEnd {
    child: Child,
    said: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: CertificateDer<'static>,
}

impl FarEnd {
    pub(crate) fn start(arguments: &[&OsStr]) -> Result<FarEnd, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().ok_or("its output is a pipe")?);
        let mut address = String::new();
        said.read_line(&mut address)?;
        let mut length = [0; 4];
        said.read_exact(&mut length)?;
        let mut certificate = vec![0; u32::from_le_bytes(length) as usize];
        said.read_exact(&mut certificate)?;
        let (address, certificate) = (address.trim().parse()?, CertificateDer::from(certificate));
        Ok(FarEnd { child, said, address, certificate })
    }

    /// Returns the next line that it says.
    pub(crate) fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        // Its input ends with this, and so does it.
        drop(self.child.stdin.take());
        match self.child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => eprintln!("the far end ended with {status}"),
            Err(e) => eprintln!("the far end cannot be waited for: {e}"),
        }
    }
}

/// Opens the far end's port and tells the near end of it.
pub(crate) fn listen(crypto: &Crypto, server: ServerConfig) -> Result<Endpoint, Box<dyn Error>> {
    let endpoint = Endpoint::server(server, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", endpoint.local_addr()?)?;
    out.write_all(&u32::try_from(crypto.certificate.len())?.to_le_bytes())?;
    out.write_all(&crypto.certificate)?;
    out.flush()?;
    Ok(endpoint)
}

/// Waits until the near end needs it no longer.
pub(crate) fn wait_for_the_end() -> std::io::Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

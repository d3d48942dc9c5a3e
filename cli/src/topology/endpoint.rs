//! Where something listens: a host by address or by name, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A host and a port. A name stays a name: whoever connects looks it up anew each time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// An address or a host name; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `HOST` or `HOST:PORT`, with an IPv6 address in brackets where a port follows; without a port it is
    /// `port`. `None` for what is no such thing.
    pub fn parse(text: &str, port: u16) -> Option<Endpoint> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                (host, if rest.is_empty() { port } else { parse_port(rest.strip_prefix(':')?)? })
            }
            None if text.parse::<Ipv6Addr>().is_ok() => (text, port),
            None => match text.split_once(':') {
                Some((host, port)) => (host, parse_port(port)?),
                None => (text, port),
            },
        };
        (host.parse::<IpAddr>().is_ok() || is_host_name(host))
            .then(|| Endpoint { host: host.to_owned(), port })
    }

    /// Returns the host as it stands before a port: an IPv6 address in brackets.
    pub fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels = name.strip_suffix('.').unwrap_or(name);
    // All digits and dots: an address that was mistyped.
    name.len() <= 253
        && labels.split('.').all(is_label)
        && !labels.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Endpoint {
        Endpoint { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.bracketed_host(), self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_names_and_a_port_may_be_left_out() {
        for (text, shown) in [
            ("10.0.0.5", "10.0.0.5:7687"),
            ("10.0.0.5:17687", "10.0.0.5:17687"),
            ("m1.graph.example.com", "m1.graph.example.com:7687"),
            ("m1:1", "m1:1"),
            ("::1", "[::1]:7687"),
            ("[fd00::2]", "[fd00::2]:7687"),
            ("[fd00::2]:9", "[fd00::2]:9"),
        ] {
            let endpoint = Endpoint::parse(text, 7687).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(Endpoint::parse(shown, 0).as_ref(), Some(&endpoint), "{shown} reads back");
        }
        for text in [
            "",
            ":7687",
            "h:",
            "h:0",
            "h:070",
            "h:65536",
            "h:x",
            "h:+1",
            "10.0.0.256",
            "1.2.3",
            "a b",
            "a/b",
            "../x",
            "[::1",
            "[h]:1",
            "[::1]x",
            "bolt://h",
            "h:1:2",
            "-a",
            "a..b",
            "a\n",
        ] {
            assert_eq!(Endpoint::parse(text, 7687), None, "{text:?}");
        }
        assert_eq!(Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 1))).to_string(), "127.0.0.1:1");
    }
}

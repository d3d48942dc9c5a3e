//! Which port of this machine a node's Bolt is published on.

use crate::topology::{BoltPort, Instance, Topology};
use std::collections::BTreeSet;
use std::net::{IpAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// How many ports from the first one on are tried.
const TRIES_MAX: u16 = 200;

/// Ports that this process has given out, so that two nodes that are made side by side get two.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<BTreeSet<u16>>);

impl Ports {
    /// Chooses a port: the one asked for, or the next free one, or any. `is_taken` knows of ports that
    /// others hold; `None` where no port is free, or none is wanted.
    pub(super) fn choose(
        &self,
        topology: &Topology,
        instance: &Instance,
        is_taken: &dyn Fn(u16) -> bool,
    ) -> Option<u16> {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked_by_others: BTreeSet<u16> = topology
            .instances
            .iter()
            .filter(|i| i.name != instance.name)
            .filter_map(|i| match i.bolt {
                BoltPort::Fixed(port) | BoltPort::From(port) => Some(port),
                BoltPort::Random | BoltPort::None => None,
            })
            .collect();
        let port = match instance.bolt {
            BoltPort::None => return None,
            BoltPort::Fixed(port) => port,
            BoltPort::From(first) => (first..first.saturating_add(TRIES_MAX))
                .find(|p| *p == first || !asked_by_others.contains(p))
                .filter(|p| !given.contains(p) && !is_taken(*p))
                .or_else(|| {
                    (first..first.saturating_add(TRIES_MAX))
                        .find(|p| !asked_by_others.contains(p) && !given.contains(p) && !is_taken(*p))
                })?,
            BoltPort::Random => TcpListener::bind((topology.bind, 0)).ok()?.local_addr().ok()?.port(),
        };
        given.insert(port);
        Some(port)
    }
}

/// Returns true if something on this machine listens there.
pub(super) fn is_bound(bind: IpAddr, port: u16) -> bool {
    TcpListener::bind((bind, port)).is_err_and(|e| e.kind() == std::io::ErrorKind::AddrInUse)
}

//! One connection: what is under way in each direction, in order.

use crate::disk::SnapshotFile;
use mgnode_core::engine::PeerId;
use mgnode_core::replication::Message;
use std::collections::VecDeque;

/// Something on its way.
#[derive(Debug)]
pub(crate) enum Parcel {
    Message(Message),
    Snapshot(SnapshotFile),
    /// The connection is over.
    End(&'static str),
}

/// A connection. End 0 dialled, end 1 accepted.
#[derive(Debug)]
pub struct Wire {
    ends: [(usize, PeerId); 2],
    is_open: [bool; 2],
    under_way: [VecDeque<Parcel>; 2],
    pub(crate) is_held: bool,
}

impl Wire {
    pub(crate) fn new(ends: [(usize, PeerId); 2]) -> Wire {
        Wire { ends, is_open: [true; 2], under_way: Default::default(), is_held: false }
    }

    /// Returns the node at each end, and what it calls the connection.
    pub fn ends(&self) -> [(usize, PeerId); 2] {
        self.ends
    }

    /// Returns how much is under way to an end.
    pub fn waiting(&self, end: usize) -> usize {
        self.under_way[end].len()
    }

    /// Returns the messages under way to an end.
    pub fn messages(&self, end: usize) -> impl Iterator<Item = &Message> {
        self.under_way[end].iter().filter_map(|parcel| match parcel {
            Parcel::Message(message) => Some(message),
            _ => None,
        })
    }

    /// Returns whether both ends hold on to it and no end is under way.
    pub fn is_whole(&self) -> bool {
        let ends = |parcels: &VecDeque<Parcel>| parcels.iter().any(|p| matches!(p, Parcel::End(_)));
        self.is_open == [true; 2] && !self.under_way.iter().any(ends)
    }

    /// Returns whether nothing can come through it any more.
    pub fn is_over(&self) -> bool {
        self.is_open == [false; 2]
    }

    pub(crate) fn put(&mut self, end: usize, parcel: Parcel) {
        if self.is_open[end] {
            self.under_way[end].push_back(parcel);
        }
    }

    pub(crate) fn take(&mut self, end: usize) -> Option<Parcel> {
        if self.is_held {
            return None;
        }
        let parcel = self.under_way[end].pop_front()?;
        if let Parcel::End(_) = parcel {
            self.abandon(end);
        }
        Some(parcel)
    }

    /// This end is gone and says so.
    pub(crate) fn close(&mut self, end: usize, reason: &'static str) {
        self.put(1 - end, Parcel::End(reason));
        self.abandon(end);
    }

    /// This end is gone and says nothing.
    pub(crate) fn abandon(&mut self, end: usize) {
        self.is_open[end] = false;
        self.under_way[end].clear();
    }
}

//! Identifiers. Each is a newtype, so that one cannot stand where another is meant.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $raw:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $raw);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A vertex, the same number on every node of a cluster. Given out in rising order and never
    /// reused. At most 2^40 - 1.
    VertexId, u64
}
id! {
    /// An edge, the same number on every node of a cluster. Given out in rising order and never
    /// reused. At most 2^40 - 1.
    EdgeId, u64
}
id! {
    /// An interned label; the number is local to one process, see [`Names`](super::Names).
    LabelId, u32
}
id! {
    /// An interned edge type; the number is local to one process. At most 65,535 of them.
    EdgeTypeId, u16
}
id! {
    /// An interned property key; the number is local to one process.
    PropertyKeyId, u32
}

/// A node of a cluster: 64 random bits drawn at its first start and kept in its data directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub u64);

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for NodeId {
    type Err = std::num::ParseIntError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(s, 16).map(NodeId)
    }
}

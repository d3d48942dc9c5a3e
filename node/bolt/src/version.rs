//! Which Bolt is spoken on a connection, and what that changes.

use std::fmt;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub major: u8,
    pub minor: u8,
}

impl Version {
    pub const V4_1: Version = Version::new(4, 1);
    pub const V4_3: Version = Version::new(4, 3);
    pub const V4_4: Version = Version::new(4, 4);
    pub const V5_0: Version = Version::new(5, 0);
    pub const V5_1: Version = Version::new(5, 1);
    pub const V5_2: Version = Version::new(5, 2);
    pub const V5_3: Version = Version::new(5, 3);
    pub const V5_4: Version = Version::new(5, 4);

    /// Every version that is served, oldest first.
    pub const SERVED: [Version; 8] = [
        Version::V4_1,
        Version::V4_3,
        Version::V4_4,
        Version::V5_0,
        Version::V5_1,
        Version::V5_2,
        Version::V5_3,
        Version::V5_4,
    ];

    /// Makes a version.
    pub const fn new(major: u8, minor: u8) -> Version {
        Version { major, minor }
    }

    /// Whether nodes and relationships carry element ids, and date-times count in UTC: from 5.0.
    pub fn has_element_ids(self) -> bool {
        self >= Version::V5_0
    }

    /// Whether date-times travel as UTC seconds ('I', 'i') rather than local ones ('F', 'f').
    pub fn has_utc_datetimes(self) -> bool {
        self >= Version::V5_0
    }

    /// Whether HELLO is followed by LOGON: from 5.1. Before, HELLO itself authenticates.
    pub fn has_logon(self) -> bool {
        self >= Version::V5_1
    }

    /// Whether ROUTE exists: from 4.3.
    pub fn has_route(self) -> bool {
        self >= Version::V4_3
    }

    /// Whether ROUTE's third field is a map: from 4.4. Before, it is the database's name.
    pub fn has_route_extra(self) -> bool {
        self >= Version::V4_4
    }

    /// Whether TELEMETRY exists: from 5.4.
    pub fn has_telemetry(self) -> bool {
        self >= Version::V5_4
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

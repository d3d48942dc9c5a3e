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
    pub const V5_5: Version = Version::new(5, 5);
    pub const V5_6: Version = Version::new(5, 6);
    pub const V5_7: Version = Version::new(5, 7);
    pub const V5_8: Version = Version::new(5, 8);

    /// Every version that is served, oldest first.
    pub const SERVED: [Version; 12] = [
        Version::V4_1,
        Version::V4_3,
        Version::V4_4,
        Version::V5_0,
        Version::V5_1,
        Version::V5_2,
        Version::V5_3,
        Version::V5_4,
        Version::V5_5,
        Version::V5_6,
        Version::V5_7,
        Version::V5_8,
    ];

    /// The newest of [`SERVED`](Version::SERVED).
    pub const NEWEST: Version = Version::V5_8;

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

    /// Whether a client may say which notifications it does without: from 5.2.
    pub fn has_notification_filter(self) -> bool {
        self >= Version::V5_2
    }

    /// Whether a summary has `statuses` of GQL in place of `notifications`: from 5.5.
    pub fn has_statuses(self) -> bool {
        self >= Version::V5_5
    }

    /// Whether a status has a title, and a description beside that of its code: from 5.6.
    pub fn has_titled_statuses(self) -> bool {
        self >= Version::V5_6
    }

    /// Whether a FAILURE has a status of GQL, and its code is called `neo4j_code`: from 5.7.
    pub fn has_gql_failures(self) -> bool {
        self >= Version::V5_7
    }

    /// Whether BEGIN and RUN are answered with the database that they got: from 5.8.
    pub fn tells_database(self) -> bool {
        self >= Version::V5_8
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

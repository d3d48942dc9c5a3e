//! WAL, snapshots, the state file and recovery, as pure codecs and rules over bytes.

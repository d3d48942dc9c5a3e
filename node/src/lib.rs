//! mgnode.

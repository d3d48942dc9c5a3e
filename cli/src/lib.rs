//! mgctl.

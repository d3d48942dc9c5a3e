//! Tests of the room as a whole.

mod model;
mod rules;
mod threads;

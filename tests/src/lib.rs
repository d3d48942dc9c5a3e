//! Library of whole-product tests.

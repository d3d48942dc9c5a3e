//! The properties of one object as one small block of bytes.
//!
//! `(key id as varint, value)*`, rising by key id; values are written as in [`super::codec`]. Key
//! ids are local to the process, so this form never leaves it. No properties, no allocation.

use super::codec::{Reader, write_value, write_varint};
use crate::types::{PropertyKeyId, Value};
use std::cmp::Ordering;
use std::ops::Range;

/// The properties of one object.
pub(super) type Block = Box<[u8]>;

/// Room for what most objects have.
const USUAL_BYTES: usize = 256;

const WRITTEN_HERE: &str = "property blocks are written by this module";

/// Makes a block of properties that rise by key.
pub(super) fn block<'a>(properties: impl IntoIterator<Item = &'a (PropertyKeyId, Value)>) -> Block {
    let mut properties = properties.into_iter().peekable();
    if properties.peek().is_none() {
        return Block::default();
    }
    // Copied to what it takes: a larger one cut down leaves a hole behind it.
    let mut out = Vec::with_capacity(USUAL_BYTES);
    for (key, value) in properties {
        write_varint(&mut out, u64::from(key.0));
        write_value(&mut out, value);
    }
    Block::from(out.as_slice())
}

/// Returns a value, Null where there is none.
#[inline]
pub(super) fn get(block: &[u8], wanted: PropertyKeyId) -> Value {
    let mut r = Reader::new(block);
    while !r.is_empty() {
        match key(&mut r).cmp(&wanted) {
            Ordering::Less => r.skip_value().expect(WRITTEN_HERE),
            Ordering::Equal => return r.value().expect(WRITTEN_HERE),
            Ordering::Greater => break,
        }
    }
    Value::Null
}

/// Appends the values of keys that rise, Null for one that is not there, in one pass.
#[inline]
pub(super) fn each(block: &[u8], keys: &[PropertyKeyId], out: &mut Vec<Value>) {
    match keys {
        [wanted] => out.push(get(block, *wanted)),
        _ => several(block, keys, out),
    }
}

fn several(block: &[u8], keys: &[PropertyKeyId], out: &mut Vec<Value>) {
    let mut r = Reader::new(block);
    let mut found = None;
    for wanted in keys {
        // A key that was read and is above the last one that was wanted waits for its turn.
        while !r.is_empty() || found.is_some() {
            let here = *found.get_or_insert_with(|| key(&mut r));
            match here.cmp(wanted) {
                Ordering::Less => {
                    r.skip_value().expect(WRITTEN_HERE);
                    found = None;
                }
                Ordering::Equal | Ordering::Greater => break,
            }
        }
        if found == Some(*wanted) {
            out.push(r.value().expect(WRITTEN_HERE));
            found = None;
        } else {
            out.push(Value::Null);
        }
    }
}

/// Returns all properties, by key.
pub(super) fn all(block: &[u8]) -> Vec<(PropertyKeyId, Value)> {
    let mut r = Reader::new(block);
    let mut properties = Vec::new();
    while !r.is_empty() {
        let key = key(&mut r);
        properties.push((key, r.value().expect(WRITTEN_HERE)));
    }
    properties
}

/// Returns the block with one property set, or removed where the value is Null; nothing where a
/// property is to be removed that is not there.
pub(super) fn with(block: &[u8], key: PropertyKeyId, value: &Value) -> Option<Block> {
    let range = match find(block, key) {
        Ok(range) => range,
        Err(_) if value.is_null() => return None,
        Err(at) => at..at,
    };
    let mut out = Vec::with_capacity(block.len() + 16);
    out.extend_from_slice(&block[..range.start]);
    if !value.is_null() {
        write_varint(&mut out, u64::from(key.0));
        write_value(&mut out, value);
    }
    out.extend_from_slice(&block[range.end..]);
    Some(out.into_boxed_slice())
}

/// Finds where a property stands, or where it would.
fn find(block: &[u8], wanted: PropertyKeyId) -> Result<Range<usize>, usize> {
    let mut r = Reader::new(block);
    while !r.is_empty() {
        let start = r.at();
        let found = key(&mut r);
        match found.cmp(&wanted) {
            Ordering::Greater => return Err(start),
            Ordering::Equal => {
                r.skip_value().expect(WRITTEN_HERE);
                return Ok(start..r.at());
            }
            Ordering::Less => r.skip_value().expect(WRITTEN_HERE),
        }
    }
    Err(block.len())
}

#[inline]
fn key(r: &mut Reader<'_>) -> PropertyKeyId {
    PropertyKeyId(u32::try_from(r.varint().expect(WRITTEN_HERE)).expect(WRITTEN_HERE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_block_behaves_as_a_map(
            writes in proptest::collection::vec((0u32..300, proptest::option::of((any::<i64>(), ".{0,5}"))), 0..40),
        ) {
            let mut expected: BTreeMap<PropertyKeyId, Value> = BTreeMap::new();
            let mut actual: Block = Box::default();
            for (key, value) in writes {
                let key = PropertyKeyId(key);
                let value = value.map_or(Value::Null, |(i, s)| Value::list([Value::Int(i), Value::string(s)]));
                let next = with(&actual, key, &value);
                if value.is_null() {
                    prop_assert_eq!(next.is_some(), expected.remove(&key).is_some());
                } else {
                    prop_assert!(next.is_some());
                    expected.insert(key, value.clone());
                }
                actual = next.unwrap_or(actual);
                prop_assert_eq!(get(&actual, key), value);
            }
            for keys in [&[][..], &[0, 1, 2], &[7, 120, 128, 299], &[250], &(0..300).collect::<Vec<_>>()] {
                let keys: Vec<_> = keys.iter().copied().map(PropertyKeyId).collect();
                let mut values = Vec::new();
                each(&actual, &keys, &mut values);
                let one_by_one: Vec<_> = keys.iter().map(|key| get(&actual, *key)).collect();
                prop_assert_eq!(values, one_by_one);
            }
            let expected: Vec<_> = expected.into_iter().collect();
            prop_assert_eq!(&block(&expected), &actual);
            prop_assert_eq!(all(&actual), expected);
        }
    }
}

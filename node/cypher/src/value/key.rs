//! Values as keys of hash tables, by equivalence.

use super::order::equivalent;
use mgnode_core::types::Value;
use std::hash::{Hash, Hasher};

/// One or more values that group together where they are equivalent.
#[derive(Clone, Debug)]
pub struct Key(pub Box<[Value]>);

/// A borrowed [`Key`].
#[derive(Clone, Copy)]
pub struct KeyRef<'a>(pub &'a [Value]);

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        KeyRef(&self.0) == KeyRef(&other.0)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        KeyRef(&self.0).hash(state);
    }
}

impl PartialEq for KeyRef<'_> {
    fn eq(&self, other: &KeyRef<'_>) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(other.0).all(|(a, b)| equivalent(a, b))
    }
}

impl Eq for KeyRef<'_> {}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for v in self.0 {
            hash_value(v, state);
        }
    }
}

/// Hashes a value so that equivalent values agree.
pub fn hash_value<H: Hasher>(v: &Value, h: &mut H) {
    match v {
        Value::Null => h.write_u8(0),
        Value::Bool(b) => b.hash(h),
        Value::Int(i) => {
            h.write_u8(2);
            i.hash(h);
        }
        Value::Float(f) => {
            h.write_u8(2);
            // A float that is a whole number hashes as the integer it equals.
            let whole = *f as i64;
            if whole as f64 == *f {
                whole.hash(h);
            } else if f.is_nan() {
                h.write_u64(u64::MAX);
            } else {
                f.to_bits().hash(h);
            }
        }
        Value::String(s) => s.hash(h),
        Value::List(items) => {
            h.write_usize(items.len());
            for i in items.iter() {
                hash_value(i, h);
            }
        }
        Value::Map(map) => {
            h.write_usize(map.len());
            for (k, i) in map.iter() {
                k.hash(h);
                hash_value(i, h);
            }
        }
        Value::Bytes(b) => b.hash(h),
        Value::Date(d) => d.hash(h),
        Value::LocalTime(t) => t.hash(h),
        Value::Time(t) => t.hash(h),
        Value::LocalDateTime(t) => t.hash(h),
        Value::DateTime(t) => t.hash(h),
        Value::Duration(d) => d.hash(h),
        Value::Point(p) => (p.srid, p.x.to_bits(), p.y.to_bits()).hash(h),
        Value::Enum(e) => e.hash(h),
        Value::Vertex(id) => {
            h.write_u8(3);
            id.hash(h);
        }
        Value::Edge(id) => {
            h.write_u8(4);
            id.hash(h);
        }
        Value::Path(p) => p.hash(h),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn equivalent_values_are_one_key() {
        let mut set = HashSet::new();
        for v in
            [Value::Int(1), Value::Float(1.0), Value::Float(f64::NAN), Value::Float(-f64::NAN), Value::Null]
        {
            set.insert(Key(Box::new([v])));
        }
        assert_eq!(set.len(), 3);
        assert!(set.contains(&Key(Box::new([Value::Null]))));
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(Key(Box::new([Value::Float(-0.0)])), Key(Box::new([Value::Int(0)])));
    }
}

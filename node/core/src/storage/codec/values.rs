//! Numbers, texts and values, written and read.

use super::{DecodeError, INT, NESTING_MAX, STRING};
use crate::types::{Date, DateTime, Duration, EnumValue, LocalDateTime, LocalTime, OffsetTime, Point, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn write_names(out: &mut Vec<u8>, names: impl ExactSizeIterator<Item = Arc<str>>) {
    write_varint(out, names.len() as u64);
    for name in names {
        write_bytes(out, name.as_bytes());
    }
}

/// Appends an unsigned LEB128 varint.
pub(in crate::storage) fn write_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(super) fn write_signed(out: &mut Vec<u8>, n: i64) {
    write_varint(out, ((n << 1) ^ (n >> 63)).cast_unsigned());
}

pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn write_f64(out: &mut Vec<u8>, f: f64) {
    out.extend_from_slice(&f.to_bits().to_le_bytes());
}

/// Appends a value that has passed [`check_value`](super::check_value).
pub(in crate::storage) fn write_value(out: &mut Vec<u8>, value: &Value) {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Null => out.push(0),
            Value::Bool(b) => out.push(1 + u8::from(*b)),
            Value::Int(i) => {
                out.push(INT);
                write_signed(out, *i);
            }
            Value::Float(f) => {
                out.push(4);
                write_f64(out, *f);
            }
            Value::String(s) => {
                out.push(5);
                write_bytes(out, s.as_bytes());
            }
            Value::List(items) => {
                out.push(6);
                write_varint(out, items.len() as u64);
                waiting.extend(items.iter().rev());
            }
            Value::Map(map) => {
                out.push(7);
                write_varint(out, map.len() as u64);
                for key in map.keys() {
                    write_bytes(out, key.as_bytes());
                }
                waiting.extend(map.values().rev());
            }
            Value::Bytes(b) => {
                out.push(8);
                write_bytes(out, b);
            }
            Value::Date(d) => {
                out.push(9);
                write_signed(out, d.0);
            }
            Value::LocalTime(t) => {
                out.push(10);
                write_signed(out, t.0);
            }
            Value::Time(t) => {
                out.push(11);
                write_signed(out, t.nanos);
                write_signed(out, i64::from(t.offset_seconds));
            }
            Value::LocalDateTime(t) => {
                out.push(12);
                write_signed(out, t.seconds);
                write_varint(out, u64::from(t.nanos));
            }
            Value::DateTime(t) => {
                out.push(13);
                write_signed(out, t.seconds);
                write_varint(out, u64::from(t.nanos));
                write_signed(out, i64::from(t.offset_seconds));
                match &t.zone {
                    None => out.push(0),
                    Some(zone) => {
                        out.push(1);
                        write_bytes(out, zone.as_bytes());
                    }
                }
            }
            Value::Duration(d) => {
                out.push(14);
                write_signed(out, d.months);
                write_signed(out, d.days);
                write_signed(out, d.seconds);
                write_signed(out, i64::from(d.nanos));
            }
            Value::Point(p) => {
                out.push(15);
                write_varint(out, u64::from(p.srid));
                write_f64(out, p.x);
                write_f64(out, p.y);
                match p.z {
                    None => out.push(0),
                    Some(z) => {
                        out.push(1);
                        write_f64(out, z);
                    }
                }
            }
            Value::Enum(e) => {
                out.push(16);
                write_bytes(out, e.enum_name.as_bytes());
                write_bytes(out, e.value.as_bytes());
            }
            Value::Vertex(_) | Value::Edge(_) | Value::Path(_) => {
                unreachable!("check_value refuses run-time values before they get here")
            }
        }
    }
}

/// Reads what the writers above wrote.
pub(in crate::storage) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(in crate::storage) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(in crate::storage) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(in crate::storage) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { what, at: self.at }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.error("an early end"))?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        if length > self.left() {
            return Err(self.error("an early end"));
        }
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    #[inline]
    pub(in crate::storage) fn varint(&mut self) -> Result<u64, DecodeError> {
        // Most numbers are small.
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    pub(super) fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            n |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(self.error("a number beyond 64 bits"))
    }

    #[inline]
    pub(super) fn signed(&mut self) -> Result<i64, DecodeError> {
        let n = self.varint()?;
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    pub(super) fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        let n = self.varint()?;
        T::try_from(n).map_err(|_| self.error("a number out of range"))
    }

    pub(super) fn narrow_signed<T: TryFrom<i64>>(&mut self) -> Result<T, DecodeError> {
        let n = self.signed()?;
        T::try_from(n).map_err(|_| self.error("a number out of range"))
    }

    /// Reads how many things follow, each of at least `least` bytes.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = self.narrow::<usize>()?;
        if count > self.left() / least {
            return Err(self.error("a count beyond what is there"));
        }
        Ok(count)
    }

    pub(super) fn sized(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.narrow::<usize>()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.sized()?;
        std::str::from_utf8(bytes).map_err(|_| self.error("text that is not UTF-8"))
    }

    pub(super) fn f64(&mut self) -> Result<f64, DecodeError> {
        let bytes = self.take(8)?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes.try_into().expect("eight were taken"))))
    }

    pub(super) fn nanos(&mut self) -> Result<u32, DecodeError> {
        match self.varint()? {
            n @ 0..=999_999_999 => Ok(u32::try_from(n).expect("checked by the pattern")),
            _ => Err(self.error("nanoseconds beyond a second")),
        }
    }

    pub(super) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.error("a flag that is neither 0 nor 1")),
        }
    }

    pub(super) fn names<T>(&mut self, intern: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, DecodeError> {
        let count = self.count(1)?;
        let mut ids = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            let name = self.text()?;
            ids.push(intern(name).ok_or_else(|| self.error("one edge type too many"))?);
        }
        Ok(ids)
    }

    /// Reads one value.
    #[inline]
    pub(in crate::storage) fn value(&mut self) -> Result<Value, DecodeError> {
        if self.bytes.get(self.at) == Some(&INT) {
            self.at += 1;
            return Ok(Value::Int(self.signed()?));
        }
        self.any_value()
    }

    pub(super) fn any_value(&mut self) -> Result<Value, DecodeError> {
        // What is being filled, outermost first; its length is the nesting.
        enum Open<'a> {
            List { items: Vec<Value>, left: usize },
            Map { keys: std::vec::IntoIter<&'a str>, values: BTreeMap<Arc<str>, Value> },
        }
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            let kind = self.byte()?;
            let mut done = match kind {
                6 | 7 if open.len() == NESTING_MAX => return Err(self.error("nesting too deep")),
                6 => {
                    let left = self.count(1)?;
                    if left > 0 {
                        open.push(Open::List { items: Vec::with_capacity(left.min(1024)), left });
                        continue;
                    }
                    Value::list([])
                }
                7 => {
                    let count = self.count(2)?;
                    let mut keys = Vec::with_capacity(count.min(1024));
                    for _ in 0..count {
                        let key = self.text()?;
                        if keys.last().is_some_and(|last| *last >= key) {
                            return Err(self.error("map keys that do not rise"));
                        }
                        keys.push(key);
                    }
                    if count > 0 {
                        open.push(Open::Map { keys: keys.into_iter(), values: BTreeMap::new() });
                        continue;
                    }
                    Value::Map(Arc::default())
                }
                kind => self.simple(kind)?,
            };
            // The value may be the last one of what is open, and that the last one of what is around it.
            loop {
                match open.last_mut() {
                    None => return Ok(done),
                    Some(Open::List { items, left }) => {
                        items.push(done);
                        *left -= 1;
                        if *left > 0 {
                            break;
                        }
                        done = Value::list(std::mem::take(items));
                    }
                    Some(Open::Map { keys, values }) => {
                        let key = keys.next().expect("a map is open while keys are left");
                        values.insert(key.into(), done);
                        if !keys.as_slice().is_empty() {
                            break;
                        }
                        done = Value::Map(Arc::new(std::mem::take(values)));
                    }
                }
                open.pop();
            }
        }
    }

    pub(super) fn simple(&mut self, kind: u8) -> Result<Value, DecodeError> {
        Ok(match kind {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            INT => Value::Int(self.signed()?),
            4 => Value::Float(self.f64()?),
            STRING => Value::string(self.text()?),
            8 => Value::Bytes(self.sized()?.into()),
            9 => Value::Date(Date(i64::from(self.narrow_signed::<i32>()?))),
            10 => Value::LocalTime(LocalTime(self.signed()?)),
            11 => Value::Time(OffsetTime { nanos: self.signed()?, offset_seconds: self.narrow_signed()? }),
            12 => Value::LocalDateTime(LocalDateTime { seconds: self.signed()?, nanos: self.nanos()? }),
            13 => Value::DateTime(Arc::new(DateTime {
                seconds: self.signed()?,
                nanos: self.nanos()?,
                offset_seconds: self.narrow_signed()?,
                zone: if self.flag()? { Some(self.text()?.into()) } else { None },
            })),
            14 => Value::Duration(Arc::new(Duration {
                months: self.signed()?,
                days: self.signed()?,
                seconds: self.signed()?,
                nanos: self.narrow_signed()?,
            })),
            15 => Value::Point(Arc::new(Point {
                srid: self.narrow()?,
                x: self.f64()?,
                y: self.f64()?,
                z: if self.flag()? { Some(self.f64()?) } else { None },
            })),
            16 => Value::Enum(Arc::new(EnumValue {
                enum_name: self.text()?.into(),
                value: self.text()?.into(),
            })),
            _ => return Err(self.error("an unknown kind of value")),
        })
    }

    /// Steps over one value.
    #[inline]
    pub(in crate::storage) fn skip_value(&mut self) -> Result<(), DecodeError> {
        match self.bytes.get(self.at) {
            Some(&INT) => {
                self.at += 1;
                self.varint().map(drop)
            }
            Some(&STRING) => {
                self.at += 1;
                self.sized().map(drop)
            }
            _ => self.skip_any_value(),
        }
    }

    pub(super) fn skip_any_value(&mut self) -> Result<(), DecodeError> {
        let mut waiting = 1usize;
        while waiting > 0 {
            waiting -= 1;
            match self.byte()? {
                0..=2 => {}
                3 | 9 | 10 => drop(self.varint()?),
                4 => drop(self.take(8)?),
                5 | 8 => drop(self.sized()?),
                6 => waiting += self.count(1)?,
                7 => {
                    let count = self.count(2)?;
                    for _ in 0..count {
                        self.sized()?;
                    }
                    waiting += count;
                }
                11 | 12 => {
                    self.varint()?;
                    self.varint()?;
                }
                16 => {
                    self.sized()?;
                    self.sized()?;
                }
                kind => drop(self.simple(kind)?),
            }
        }
        Ok(())
    }
}

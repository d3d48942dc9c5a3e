//! Functions on numbers and points.

use super::{Scope, refuse};
use crate::error::CypherError;
use crate::fail;
use mgnode_core::types::{Point, Value};
use std::sync::Arc;

type Answer = Result<Value, CypherError>;

fn number(function: &str, v: &Value) -> Result<f64, CypherError> {
    match v {
        Value::Int(i) => Ok(*i as f64),
        Value::Float(f) => Ok(*f),
        other => Err(refuse(function, other)),
    }
}

macro_rules! real {
    ($($name:ident $shown:literal = $f:expr;)*) => {
        $(pub(super) fn $name(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
            let f: fn(f64) -> f64 = $f;
            Ok(Value::Float(f(number($shown, &args[0])?)))
        })*
    };
}

real! {
    ceil "ceil" = f64::ceil;
    floor "floor" = f64::floor;
    sqrt "sqrt" = f64::sqrt;
    exp "exp" = f64::exp;
    log "log" = f64::ln;
    log10 "log10" = f64::log10;
    log2 "log2" = f64::log2;
    sin "sin" = f64::sin;
    cos "cos" = f64::cos;
    tan "tan" = f64::tan;
    cot "cot" = |x| 1.0 / x.tan();
    asin "asin" = f64::asin;
    acos "acos" = f64::acos;
    atan "atan" = f64::atan;
    sinh "sinh" = f64::sinh;
    cosh "cosh" = f64::cosh;
    tanh "tanh" = f64::tanh;
    degrees "degrees" = f64::to_degrees;
    radians "radians" = f64::to_radians;
    haversin "haversin" = |x| (1.0 - x.cos()) / 2.0;
}

pub(super) fn abs(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Int(i) => i
            .checked_abs()
            .map(Value::Int)
            .ok_or_else(|| fail::arithmetic("NumberOutOfRange", format!("integer overflow: abs({i})"))),
        other => Ok(Value::Float(number("abs", other)?.abs())),
    }
}

pub(super) fn sign(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Int(match &args[0] {
        Value::Int(i) => i.signum(),
        other => match number("sign", other)? {
            f if f > 0.0 => 1,
            f if f < 0.0 => -1,
            _ => 0,
        },
    }))
}

/// `round(x [, precision [, mode]])`; without a mode ties go up.
pub(super) fn round(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let x = number("round", &args[0])?;
    let precision = match args.get(1) {
        None => 0,
        Some(Value::Int(p)) if (0..=15).contains(p) => *p as i32,
        Some(Value::Int(p)) => {
            return Err(fail::argument(
                "NumberOutOfRange",
                format!("`round()` takes a precision from 0 to 15, not {p}"),
            ));
        }
        Some(other) => return Err(refuse("round", other)),
    };
    let scale = 10_f64.powi(precision);
    let scaled = x * scale;
    let ties_up = |v: f64| if v - v.floor() >= 0.5 { v.floor() + 1.0 } else { v.floor() };
    let rounded = match args.get(2) {
        None => ties_up(scaled),
        Some(Value::String(mode)) => match mode.to_ascii_uppercase().as_str() {
            "UP" => {
                if scaled < 0.0 {
                    scaled.floor()
                } else {
                    scaled.ceil()
                }
            }
            "DOWN" => scaled.trunc(),
            "CEILING" => scaled.ceil(),
            "FLOOR" => scaled.floor(),
            "HALF_UP" => scaled.round(),
            "HALF_DOWN" => {
                if (scaled - scaled.trunc()).abs() > 0.5 {
                    scaled.round()
                } else {
                    scaled.trunc()
                }
            }
            "HALF_EVEN" => scaled.round_ties_even(),
            other => return Err(fail::value(format!("`round()` knows no mode `{other}`"))),
        },
        Some(other) => return Err(refuse("round", other)),
    };
    Ok(Value::Float(if scaled.is_finite() { rounded / scale } else { x }))
}

pub(super) fn atan2(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Float(number("atan2", &args[0])?.atan2(number("atan2", &args[1])?)))
}

pub(super) fn is_nan(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Bool(number("isNaN", &args[0])?.is_nan()))
}

pub(super) fn pi(_: &mut Scope<'_>, _: &mut [Value]) -> Answer {
    Ok(Value::Float(std::f64::consts::PI))
}

pub(super) fn e(_: &mut Scope<'_>, _: &mut [Value]) -> Answer {
    Ok(Value::Float(std::f64::consts::E))
}

const WGS_84: u32 = 4326;
const WGS_84_3D: u32 = 4979;
const CARTESIAN: u32 = 7203;
const CARTESIAN_3D: u32 = 9157;

/// `point({x, y [, z]})`, `point({longitude, latitude [, height]})`, either with `srid` or `crs`.
pub(super) fn point(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let Value::Map(map) = &args[0] else { return Err(refuse("point", &args[0])) };
    let get = |name: &str| -> Result<Option<f64>, CypherError> {
        map.get(name).filter(|v| !v.is_null()).map(|v| number("point", v)).transpose()
    };
    let either = |a: &str, b: &str| -> Result<Option<f64>, CypherError> { Ok(get(a)?.or(get(b)?)) };
    if map.values().any(Value::is_null) {
        return Ok(Value::Null);
    }
    let geographic = map.contains_key("longitude") || map.contains_key("latitude");
    let (Some(x), Some(y)) = (either("x", "longitude")?, either("y", "latitude")?) else {
        return Err(fail::value("`point()` needs `x` and `y`, or `longitude` and `latitude`"));
    };
    let z = either("z", "height")?;
    let named = match map.get("crs") {
        Some(Value::String(name)) => Some(match name.to_ascii_lowercase().as_str() {
            "wgs-84" => WGS_84,
            "wgs-84-3d" => WGS_84_3D,
            "cartesian" => CARTESIAN,
            "cartesian-3d" => CARTESIAN_3D,
            other => return Err(fail::value(format!("`point()` knows no coordinate system `{other}`"))),
        }),
        Some(other) => return Err(refuse("point", other)),
        None => match map.get("srid") {
            Some(Value::Int(i)) => Some(
                u32::try_from(*i)
                    .ok()
                    .filter(|s| [WGS_84, WGS_84_3D, CARTESIAN, CARTESIAN_3D].contains(s))
                    .ok_or_else(|| fail::value(format!("`point()` knows no srid {i}")))?,
            ),
            Some(other) => return Err(refuse("point", other)),
            None => None,
        },
    };
    let srid = named.unwrap_or(match (geographic, z.is_some()) {
        (true, false) => WGS_84,
        (true, true) => WGS_84_3D,
        (false, false) => CARTESIAN,
        (false, true) => CARTESIAN_3D,
    });
    if z.is_some() != matches!(srid, WGS_84_3D | CARTESIAN_3D) {
        return Err(fail::value("the number of coordinates does not fit the point's coordinate system"));
    }
    if matches!(srid, WGS_84 | WGS_84_3D) && (!(-180.0..=180.0).contains(&x) || !(-90.0..=90.0).contains(&y))
    {
        return Err(fail::value("longitude must be within -180 and 180, latitude within -90 and 90"));
    }
    Ok(Value::Point(Arc::new(Point { srid, x, y, z })))
}

/// Metres on the globe, or units of the plane; Null between different systems.
pub(super) fn distance(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let (Value::Point(a), Value::Point(b)) = (&args[0], &args[1]) else {
        let wrong = if matches!(args[0], Value::Point(_)) { &args[1] } else { &args[0] };
        return Err(refuse("point.distance", wrong));
    };
    if a.srid != b.srid {
        return Ok(Value::Null);
    }
    let dz = a.z.unwrap_or(0.0) - b.z.unwrap_or(0.0);
    Ok(Value::Float(if matches!(a.srid, CARTESIAN | CARTESIAN_3D) {
        ((a.x - b.x).powi(2) + (a.y - b.y).powi(2) + dz.powi(2)).sqrt()
    } else {
        const EARTH_METRES: f64 = 6_378_140.0;
        let (p1, p2) = (a.y.to_radians(), b.y.to_radians());
        let half = |d: f64| (d / 2.0).sin().powi(2);
        let h = half(p2 - p1) + p1.cos() * p2.cos() * half((b.x - a.x).to_radians());
        let radius = EARTH_METRES + (a.z.unwrap_or(0.0) + b.z.unwrap_or(0.0)) / 2.0;
        let arc = 2.0 * radius * h.sqrt().min(1.0).asin();
        (arc.powi(2) + dz.powi(2)).sqrt()
    }))
}

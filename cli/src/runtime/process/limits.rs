//! Limits of the system for a node that is a process: written down by mgctl, and set by the node itself before it
//! does anything else, so that nothing of it ever runs without them.

use crate::topology::Ulimit;
use std::collections::BTreeMap;

/// Writes limits as `core=0:0,nofile=1024:65536`.
pub(super) fn to_text(limits: &BTreeMap<String, Ulimit>) -> String {
    let each = limits.iter().map(|(name, limit)| format!("{name}={}:{}", limit.soft, limit.hard));
    each.collect::<Vec<_>>().join(",")
}

/// Reads what [`to_text`] wrote.
fn parse(text: &str) -> Option<Vec<(&str, Ulimit)>> {
    let of = |part| {
        let (name, limit): (&str, &str) = str::split_once(part, '=')?;
        let (soft, hard) = limit.split_once(':')?;
        Some((name, Ulimit { soft: soft.parse().ok()?, hard: hard.parse().ok()? }))
    };
    text.split(',').filter(|part| !part.is_empty()).map(of).collect()
}

/// Sets the limits of this process, or says which one cannot be set.
#[cfg(target_os = "linux")]
pub(super) fn apply(text: &str) -> Result<(), String> {
    use rustix::process::{Rlimit, getrlimit, setrlimit};
    let limits = parse(text).ok_or_else(|| format!("limits `{text}` cannot be read"))?;
    for (name, limit) in limits {
        let resource = resource(name).ok_or_else(|| format!("this system has no limit `{name}`"))?;
        let of = |number: i64| u64::try_from(number).ok();
        setrlimit(resource, Rlimit { current: of(limit.soft), maximum: of(limit.hard) }).map_err(
            |error| {
                let may =
                    getrlimit(resource).maximum.map_or_else(|| "no limit".to_owned(), |n| n.to_string());
                format!("ulimit {name} cannot be set to {limit}: {error} (this user may have up to {may})")
            },
        )?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn apply(text: &str) -> Result<(), String> {
    match parse(text).is_some_and(|limits| limits.is_empty()) {
        true => Ok(()),
        false => Err(format!("limits (`{text}`) are set on Linux only; remove `ulimits`")),
    }
}

#[cfg(target_os = "linux")]
fn resource(name: &str) -> Option<rustix::process::Resource> {
    use rustix::process::Resource as R;
    Some(match name {
        "core" => R::Core,
        "cpu" => R::Cpu,
        "data" => R::Data,
        "fsize" => R::Fsize,
        "locks" => R::Locks,
        "memlock" => R::Memlock,
        "msgqueue" => R::Msgqueue,
        "nice" => R::Nice,
        "nofile" => R::Nofile,
        "nproc" => R::Nproc,
        "rss" => R::Rss,
        "rtprio" => R::Rtprio,
        "rttime" => R::Rttime,
        "sigpending" => R::Sigpending,
        "stack" => R::Stack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        let limits = BTreeMap::from([
            ("core".to_owned(), Ulimit { soft: 0, hard: -1 }),
            ("nofile".to_owned(), Ulimit { soft: 1024, hard: 65536 }),
        ]);
        let text = to_text(&limits);
        assert_eq!(text, "core=0:-1,nofile=1024:65536");
        let read = parse(&text).unwrap().into_iter().map(|(name, limit)| (name.to_owned(), limit));
        assert_eq!(read.collect::<BTreeMap<_, _>>(), limits);
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("nofile=x:1"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn every_limit_of_a_topology_is_one_of_this_system() {
        let names = crate::topology::ULIMITS;
        assert!(names.iter().all(|name| resource(name).is_some()));
        assert!(apply("spoons=1:1").unwrap_err().contains("no limit `spoons`"));
    }
}

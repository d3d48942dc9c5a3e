//! Ranges of addresses: which are free for a cluster's network, and which address in it is a node's.

use crate::cluster::Subnetwork;
use crate::error::{CliError, Exit};
use crate::topology::{Instance, Subnet, Topology};
use bollard::models::Network;
use std::net::Ipv4Addr;

/// Says with what a range overlaps, of networks with a name and routes without one, and which range is free.
pub(super) fn overlap(
    topology: &Topology,
    wanted: Subnet,
    taken: &[(Option<String>, Subnet)],
) -> Option<CliError> {
    let (name, other) = taken.iter().find(|(_, other)| other.overlaps(wanted))?;
    let what = match name {
        Some(name) => format!("{wanted} overlaps network `{name}` ({other})"),
        None => format!("{wanted} overlaps {other}, to which this machine has a route, as to a VPN"),
    };
    let mut free = free_subnets(&topology.name).filter(|s| !taken.iter().any(|(_, t)| t.overlaps(*s)));
    let error = CliError::new(Exit::Conflict, what).code("MG021").at(topology.place.clone());
    Some(match free.next() {
        Some(free) => error.help(format!("leave `network.subnet` out, or set it to a free range, as {free}")),
        None => error.help("remove networks that are not used: docker network prune"),
    })
}

/// Returns the ranges of a network that have the form of IPv4.
pub(super) fn subnets(network: &Network) -> Vec<Subnet> {
    let configs = network.ipam.as_ref().and_then(|i| i.config.as_ref());
    configs.into_iter().flatten().filter_map(|c| Subnet::parse(c.subnet.as_deref()?)).collect()
}

/// Returns the address in a network that a node keeps.
pub(super) fn static_address(
    topology: &Topology,
    instance: &Instance,
    network: &Subnetwork,
) -> Result<Option<Ipv4Addr>, CliError> {
    let Some(subnet) = network.subnet else { return Ok(instance.ip) };
    let place = topology.instances.iter().position(|i| i.name == instance.name);
    let address = topology.addresses(subnet).and_then(|all| place.and_then(|p| all.get(p).copied()));
    match address {
        Some(ip) => Ok(Some(ip)),
        None => Err(CliError::new(
            Exit::Conflict,
            format!("subnet {subnet} has no address left for `{}`", instance.name),
        )
        .code("MG020")
        .at(instance.place.clone())
        .help("set `network.subnet` to a larger range")),
    }
}

/// Ranges to try for a cluster: those of 172.28.0.0/14, then of 10.128.0.0/9, from a place of its own on.
pub(super) fn free_subnets(cluster: &str) -> impl Iterator<Item = Subnet> {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(cluster.as_bytes());
    let seed = u32::from(u16::from_be_bytes([digest[0], digest[1]]));
    let range = |base: [u8; 4], count: u32| {
        (0..count).filter_map(move |i| {
            let offset = ((seed + i) % count) << 8;
            Subnet::new(Ipv4Addr::from(u32::from(Ipv4Addr::from(base)) + offset), 24)
        })
    };
    range([172, 28, 0, 0], 1 << 10).chain(range([10, 128, 0, 0], 1 << 15))
}

/// Ranges that this machine has routes to, as a VPN's; engines do not look at those.
pub(super) fn local_routes() -> Vec<Subnet> {
    let Ok(text) = std::fs::read_to_string("/proc/net/route") else { return Vec::new() };
    parse_routes(&text)
}

fn parse_routes(text: &str) -> Vec<Subnet> {
    let hex = |field: Option<&str>| u32::from_str_radix(field?, 16).ok().map(u32::swap_bytes);
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let base = hex(fields.nth(1))?;
            let mask = hex(fields.nth(5))?;
            let bits = u8::try_from(mask.count_ones()).ok()?;
            Subnet::new(Ipv4Addr::from(base), bits)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::demo;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn routes_of_the_kernel_are_read() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            tun0\t00001CAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert_eq!(parse_routes(text), [Subnet::parse("172.28.0.0/16").unwrap()]);
    }

    #[test]
    fn a_range_that_overlaps_names_the_network_and_a_free_range() {
        let subnet = |text| Subnet::parse(text).unwrap();
        let taken = [(Some("kind".to_owned()), subnet("172.28.0.0/15")), (None, subnet("10.8.0.0/16"))];
        let of = |wanted| overlap(&demo(""), subnet(wanted), &taken).map(|error| error.to_string());
        assert_eq!(
            of("172.28.37.0/24").unwrap(),
            "error[MG021]: 172.28.37.0/24 overlaps network `kind` (172.28.0.0/15)\n  --> demo.yaml:1:7\n\
             help: leave `network.subnet` out, or set it to a free range, as 172.30.151.0/24"
        );
        assert!(
            of("10.8.3.0/24")
                .unwrap()
                .contains("10.8.3.0/24 overlaps 10.8.0.0/16, to which this machine has a route")
        );
        assert_eq!(of("172.30.0.0/24"), None);
    }

    #[test]
    fn a_cluster_always_tries_the_same_ranges_first() {
        let first = free_subnets("demo").next().unwrap();
        assert_eq!(Some(first), free_subnets("demo").next());
        assert!(Subnet::parse("172.28.0.0/14").unwrap().contains(first.base()));
        assert_eq!(
            free_subnets("demo").take(1024).map(|s| s.to_string()).collect::<BTreeSet<_>>().len(),
            1024
        );
    }
}

//! A cluster's network, and which nodes are on it.

use super::engine::{self, answer, call};
use super::ranges::{free_subnets, local_routes, overlap, static_address, subnets};
use super::{CLUSTER, Docker, absent_is_none, gone, labels};
use crate::cluster::{Subnetwork, container_name};
use crate::error::{CliError, Exit};
use crate::topology::{Addressing, Driver, Instance, Subnet, Topology};
use bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, Network, NetworkConnectRequest,
    NetworkCreateRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::ListNetworksOptions;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The option of a network that says how large its packets are.
const MTU: &str = "com.docker.network.driver.mtu";

impl Docker {
    pub(super) async fn networks(&self, filters: Option<(&str, String)>) -> Result<Vec<Network>, CliError> {
        let filters = filters.map(|(key, value)| HashMap::from([(key.to_owned(), vec![value])]));
        call("list its networks", self.api.list_networks(Some(ListNetworksOptions { filters }))).await
    }

    /// Returns the cluster's own network, or the `external` one of that name: the oldest, should there be several.
    pub(in crate::runtime) async fn network(
        &self,
        cluster: &str,
        external: Option<&str>,
    ) -> Result<Option<(String, Subnetwork)>, CliError> {
        let mut found = match external {
            None => self.networks(Some(("label", format!("{CLUSTER}={cluster}")))).await?,
            Some(name) => self.networks(Some(("name", format!("^{name}$")))).await?,
        };
        found.retain(|n| match external {
            None => self.made(n.labels.as_ref()),
            Some(name) => n.name.as_deref() == Some(name),
        });
        found.sort_by_key(|n| (n.created.clone(), n.id.clone()));
        Ok(found.into_iter().next().map(|n| {
            let mtu = n.options.as_ref().and_then(|o| o.get(MTU)?.parse().ok());
            let network = Subnetwork {
                subnet: subnets(&n).first().copied(),
                name: n.name.unwrap_or_default(),
                driver: n.driver,
                mtu,
                is_external: external.is_some(),
            };
            (n.id.unwrap_or_default(), network)
        }))
    }

    pub(in crate::runtime) async fn network_of(
        &self,
        topology: &Topology,
    ) -> Result<Option<(String, Subnetwork)>, CliError> {
        self.network(&topology.name, external(topology)).await
    }

    pub(super) async fn create_network(
        &self,
        topology: &Topology,
        wanted: Option<Subnet>,
    ) -> Result<String, CliError> {
        let _one_at_a_time = self.making_network.lock().await;
        let name = &topology.network.name;
        let doing = format!("create network `{name}`");
        let networks = self.networks(None).await?;
        let named = |n: &Network| subnets(n).into_iter().map(|s| (n.name.clone(), s)).collect::<Vec<_>>();
        // An engine has routes to its own networks; those have names.
        let mut owned: Vec<(Option<String>, Subnet)> = networks.iter().flat_map(named).collect();
        let routes = local_routes().into_iter().filter(|r| !owned.iter().any(|(_, s)| s == r));
        let routes: Vec<(Option<String>, Subnet)> = routes.map(|route| (None, route)).collect();
        owned.extend(routes);
        if let Some(error) = wanted.and_then(|wanted| overlap(topology, wanted, &owned)) {
            return Err(error);
        }
        let taken: Vec<Subnet> = owned.iter().map(|(_, subnet)| *subnet).collect();
        let candidates: Vec<Subnet> = match wanted {
            Some(subnet) => vec![subnet],
            None => free_subnets(&topology.name)
                .filter(|s| !taken.iter().any(|t| t.overlaps(*s)))
                .take(32)
                .collect(),
        };
        let mut last = None;
        for subnet in candidates {
            let request = NetworkCreateRequest {
                name: name.clone(),
                driver: Some(topology.network.driver.to_string()),
                // Else only a swarm's own services could be in it.
                attachable: (topology.network.driver == Driver::Overlay).then_some(true),
                options: topology.network.mtu.map(|mtu| HashMap::from([(MTU.to_owned(), mtu.to_string())])),
                ipam: Some(Ipam {
                    config: Some(vec![IpamConfig {
                        subnet: Some(subnet.to_string()),
                        gateway: Some(subnet.gateway().to_string()),
                        ..IpamConfig::default()
                    }]),
                    ..Ipam::default()
                }),
                labels: Some(labels(topology)),
                ..NetworkCreateRequest::default()
            };
            let made = tokio::time::timeout(engine::CALL_TIME_MAX, self.api.create_network(request));
            match made.await {
                Err(_) => return call(&doing, std::future::pending::<Result<String, _>>()).await,
                Ok(Err(error)) => {
                    let overlaps = answer(&error).is_some_and(|(_, m)| m.contains("overlaps"));
                    let translated = engine::translate(&doing, &error);
                    if !overlaps || wanted.is_some() {
                        return Err(translated);
                    }
                    last = Some(translated);
                }
                Ok(Ok(made)) => {
                    // Engines before 23 make two networks of one name for two callers; the older one stays.
                    if let Some((id, network)) = self.network(&topology.name, None).await?
                        && id != made.id
                    {
                        call("remove a network made twice", self.api.remove_network(&made.id)).await?;
                        return Ok(format!("made by another mgctl: {}", network.name));
                    }
                    return Ok(format!("created {subnet}"));
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            CliError::new(Exit::Conflict, "no /24 in 172.28.0.0/14 and 10.128.0.0/9 is free")
                .code("MG021")
                .help("set `network.subnet`, or remove networks that are not used: docker network prune")
        }))
    }

    pub(super) async fn disconnect(&self, topology: &Topology, instance: &str) -> Result<String, CliError> {
        let cluster = &topology.name;
        let name = container_name(cluster, instance);
        let found = self.own(cluster, instance).await?.ok_or_else(|| gone(cluster, instance))?;
        let (network_id, network) =
            self.network_of(topology).await?.ok_or_else(|| gone(cluster, "its network"))?;
        let request = NetworkDisconnectRequest { container: found.id.unwrap_or_default(), force: Some(true) };
        let doing = format!("take container `{name}` off network `{}`", network.name);
        call(&doing, self.api.disconnect_network(&network_id, request)).await?;
        Ok(format!("off {}", network.name))
    }

    pub(super) async fn connect_again(
        &self,
        topology: &Topology,
        instance: &Instance,
    ) -> Result<String, CliError> {
        let cluster = &topology.name;
        let name = container_name(cluster, &instance.name);
        let found = self.own(cluster, &instance.name).await?.ok_or_else(|| gone(cluster, &instance.name))?;
        let (network_id, network) =
            self.network_of(topology).await?.ok_or_else(|| gone(cluster, "its network"))?;
        let address = match topology.addressing {
            Addressing::Static => static_address(topology, instance, &network)?,
            _ => instance.ip,
        };
        let request = NetworkConnectRequest {
            container: found.id.unwrap_or_default(),
            endpoint_config: Some(endpoint(cluster, instance, address)),
        };
        let doing = format!("put container `{name}` on network `{}`", network.name);
        match call(&doing, self.api.connect_network(&network_id, request)).await {
            Err(error) if error.to_string().contains("already exists in network") => {}
            other => other?,
        }
        Ok(format!("on {}", network.name))
    }

    pub(super) async fn remove_network(&self, cluster: &str) -> Result<String, CliError> {
        let Some((id, network)) = self.network(cluster, None).await? else { return Ok("is gone".into()) };
        call(&format!("remove network `{}`", network.name), absent_is_none(self.api.remove_network(&id)))
            .await?;
        Ok("removed".into())
    }
}

/// A node's place in its network: its address, and the names by which others find it.
pub(super) fn endpoint(cluster: &str, instance: &Instance, address: Option<Ipv4Addr>) -> EndpointSettings {
    EndpointSettings {
        ipam_config: address.map(|ip| EndpointIpamConfig {
            ipv4_address: Some(ip.to_string()),
            ..EndpointIpamConfig::default()
        }),
        aliases: Some(vec![instance.name.clone(), format!("{}.{cluster}.mgctl", instance.name)]),
        ..EndpointSettings::default()
    }
}

/// Returns the name of the network that the cluster shares with others.
pub(super) fn external(topology: &Topology) -> Option<&str> {
    topology.network.is_external.then_some(topology.network.name.as_str())
}

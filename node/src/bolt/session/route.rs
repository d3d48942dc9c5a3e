//! ROUTE: where clients of each kind go.

use super::Session;
use crate::bolt::Core;
use crate::bolt::statement::DATABASE;
use crate::bolt::texts::Failure;
use mgbolt::{Map, PackValue, Route};
use mgnode_core::engine;

/// How long a routing table is good for.
const ROUTING_SECONDS: i64 = 300;

impl<C: Core> Session<C> {
    /// Names the nodes of the cluster for what each can do, by addresses of the place that this client is in:
    /// the one where the address that it used is some node's.
    pub(super) fn route(&self, route: Route) -> Result<Map, Failure> {
        let used = route.routing.get("address").and_then(PackValue::as_str).map(str::to_owned);
        let used = used.or_else(|| self.reached_as.clone());
        let nodes = self.services.core.routes();
        let place = used.as_ref().and_then(|used| {
            nodes.iter().find_map(|node| node.bolt.iter().position(|address| address == used))
        });
        let address = |node: &engine::Route| {
            let told = node.bolt.get(place.unwrap_or(0)).or(node.bolt.first()).cloned();
            told.or_else(|| used.clone().filter(|_| node.is_here))
        };
        let of = |wanted: &dyn Fn(&engine::Route) -> bool| -> Vec<PackValue> {
            nodes.iter().filter(|node| wanted(node)).filter_map(address).map(PackValue::from).collect()
        };
        let (writers, replicas, all) = (of(&|node| node.is_main), of(&|node| !node.is_main), of(&|_| true));
        if all.is_empty() {
            return Err(Failure::client(
                "This node does not know by which address clients reach it; start it with \
                 `--bolt-advertised-address=host:port`.",
            ));
        }
        let readers = if replicas.is_empty() { writers.clone() } else { replicas };
        let servers: Vec<PackValue> = [("WRITE", writers), ("READ", readers), ("ROUTE", all)]
            .into_iter()
            .filter(|(_, addresses)| !addresses.is_empty())
            .map(|(role, addresses)| Map::new().with("addresses", addresses).with("role", role).into())
            .collect();
        let db = route.db.unwrap_or_else(|| DATABASE.to_owned());
        Ok(Map::new()
            .with("rt", Map::new().with("ttl", ROUTING_SECONDS).with("db", db).with("servers", servers)))
    }
}

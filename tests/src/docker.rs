//! The Docker engine, where one answers.

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use std::net::IpAddr;
use std::time::Duration;

/// A connection to the engine, with a runtime of its own.
pub struct Engine {
    runtime: tokio::runtime::Runtime,
    docker: Docker,
}

impl Engine {
    /// Connects, or says why no engine answers.
    pub fn connect() -> Result<Engine, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let docker = runtime.block_on(async {
            let docker = Docker::connect_with_defaults().map_err(|e| e.to_string())?;
            match tokio::time::timeout(Duration::from_secs(5), docker.ping()).await {
                Ok(Ok(_)) => Ok(docker),
                Ok(Err(e)) => Err(format!("no Docker engine answers: {e}")),
                Err(_) => Err("the Docker engine says nothing".to_owned()),
            }
        })?;
        Ok(Engine { runtime, docker })
    }

    /// `docker run -d --name NAME IMAGE`, on the default bridge and with nothing else.
    pub fn run(&self, name: &str, image: &str) -> Container<'_> {
        let container = Container { engine: self, name: name.to_owned() };
        container.remove();
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let body = ContainerCreateBody { image: Some(image.to_owned()), ..Default::default() };
        self.runtime
            .block_on(self.docker.create_container(Some(options), body))
            .unwrap_or_else(|e| panic!("create {name}: {e}"));
        self.start(name);
        container
    }

    /// `docker start NAME`
    pub fn start(&self, name: &str) {
        self.runtime
            .block_on(self.docker.start_container(name, None))
            .unwrap_or_else(|e| panic!("start {name}: {e}"));
    }

    /// `docker stop NAME`
    pub fn stop(&self, name: &str) {
        self.runtime
            .block_on(self.docker.stop_container(name, None))
            .unwrap_or_else(|e| panic!("stop {name}: {e}"));
    }

    /// `docker kill NAME`
    pub fn kill(&self, name: &str) {
        self.runtime
            .block_on(self.docker.kill_container(name, None))
            .unwrap_or_else(|e| panic!("kill {name}: {e}"));
    }

    /// `docker inspect`: whether it runs, and whether the engine starts it again by itself.
    pub fn state(&self, name: &str) -> (bool, bool) {
        let found = self
            .runtime
            .block_on(self.docker.inspect_container(name, None))
            .unwrap_or_else(|e| panic!("inspect {name}: {e}"));
        let runs = found.state.and_then(|s| s.running).unwrap_or(false);
        let policy = found.host_config.and_then(|h| h.restart_policy?.name).map(|p| p.to_string());
        (runs, policy.is_some_and(|p| p == "unless-stopped"))
    }

    /// `docker pause NAME`
    pub fn pause(&self, name: &str) {
        self.runtime
            .block_on(self.docker.pause_container(name))
            .unwrap_or_else(|e| panic!("pause {name}: {e}"));
    }

    /// `docker inspect`: the container's id, or `None` where there is none of this name.
    pub fn id(&self, name: &str) -> Option<String> {
        self.runtime.block_on(self.docker.inspect_container(name, None)).ok().and_then(|c| c.id)
    }

    /// `docker inspect`: the address in the network of this name.
    pub fn ip(&self, name: &str, network: &str) -> IpAddr {
        let found = self
            .runtime
            .block_on(self.docker.inspect_container(name, None))
            .unwrap_or_else(|e| panic!("inspect {name}: {e}"));
        let networks = found.network_settings.and_then(|s| s.networks).unwrap_or_default();
        let address = networks.get(network).and_then(|n| n.ip_address.clone()).unwrap_or_default();
        address.parse().unwrap_or_else(|_| panic!("{name} has no address in {network}: {networks:?}"))
    }

    /// Whether a volume of this name is there.
    pub fn has_volume(&self, name: &str) -> bool {
        self.runtime.block_on(self.docker.inspect_volume(name)).is_ok()
    }

    /// Whether a network of this name is there.
    pub fn has_network(&self, name: &str) -> bool {
        self.runtime.block_on(self.docker.inspect_network(name, None)).is_ok()
    }
}

/// A container that a test started by hand; it goes with the test.
pub struct Container<'a> {
    engine: &'a Engine,
    name: String,
}

impl Container<'_> {
    /// The address on the default bridge.
    pub fn ip(&self) -> IpAddr {
        self.engine.ip(&self.name, "bridge")
    }

    fn remove(&self) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        // There may be none; one that stays is met by the next run, which removes it first.
        let _ = self.engine.runtime.block_on(self.engine.docker.remove_container(&self.name, Some(options)));
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

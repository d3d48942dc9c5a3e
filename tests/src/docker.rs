//! The Docker engine, where one answers.

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, HostConfig, Ipam, IpamConfig, LocalNodeState, NetworkCreateRequest, PortBinding,
    SwarmInitRequest, SwarmJoinRequest, SwarmSpec, SwarmSpecDispatcher,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, ImportImageOptionsBuilder,
    LeaveSwarmOptionsBuilder, ListConfigsOptions, ListContainersOptions, ListNetworksOptions,
    ListSecretsOptions, ListServicesOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptions, RemoveVolumeOptions, TagImageOptions, UpdateSecretOptions,
};
use futures_util::TryStreamExt;
use std::collections::HashMap;
use std::io::Read;
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

    /// Connects to the engine at a socket.
    pub fn at(socket: &std::path::Path) -> Result<Engine, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let docker = runtime.block_on(async {
            let path = socket.to_string_lossy();
            let docker = Docker::connect_with_unix(&path, 60, bollard::API_DEFAULT_VERSION)
                .map_err(|e| e.to_string())?;
            match tokio::time::timeout(Duration::from_secs(5), docker.ping()).await {
                Ok(Ok(_)) => Ok(docker),
                Ok(Err(e)) => Err(format!("no engine answers: {e}")),
                Err(_) => Err("the engine says nothing".to_owned()),
            }
        })?;
        Ok(Engine { runtime, docker })
    }

    /// `docker swarm init`; its managers miss a host after a few seconds. Returns the token for workers.
    pub fn begin_swarm(&self, address: &str) -> Result<String, String> {
        let dispatcher = SwarmSpecDispatcher { heartbeat_period: Some(1_000_000_000) };
        let request = SwarmInitRequest {
            listen_addr: Some("0.0.0.0:2377".to_owned()),
            advertise_addr: Some(address.to_owned()),
            spec: Some(SwarmSpec { dispatcher: Some(dispatcher), ..SwarmSpec::default() }),
            ..SwarmInitRequest::default()
        };
        self.runtime.block_on(async {
            self.docker.init_swarm(request).await.map_err(|e| format!("no swarm begins: {e}"))?;
            let swarm = self.docker.inspect_swarm().await.map_err(|e| e.to_string())?;
            swarm.join_tokens.and_then(|t| t.worker).ok_or_else(|| "the swarm gives no token".to_owned())
        })
    }

    /// `docker swarm join`
    pub fn join_swarm(&self, address: &str, manager: &str, token: &str) -> Result<(), String> {
        let request = SwarmJoinRequest {
            listen_addr: Some("0.0.0.0:2377".to_owned()),
            advertise_addr: Some(address.to_owned()),
            remote_addrs: Some(vec![format!("{manager}:2377")]),
            join_token: Some(token.to_owned()),
            ..SwarmJoinRequest::default()
        };
        self.runtime
            .block_on(self.docker.join_swarm(request))
            .map_err(|e| format!("{address} does not join: {e}"))
    }

    /// What a swarm keeps: names of its services, configs, secrets and overlay networks but its own.
    pub fn kept_by_swarm(&self) -> Vec<String> {
        let found = self.runtime.block_on(async {
            let services = self.docker.list_services(None::<ListServicesOptions>).await?;
            let configs = self.docker.list_configs(None::<ListConfigsOptions>).await?;
            let secrets = self.docker.list_secrets(None::<ListSecretsOptions>).await?;
            let networks = self.docker.list_networks(None::<ListNetworksOptions>).await?;
            let names = services.into_iter().filter_map(|s| s.spec?.name);
            let names = names.chain(configs.into_iter().filter_map(|c| c.spec?.name));
            let names = names.chain(secrets.into_iter().filter_map(|s| s.spec?.name));
            let overlays = networks.into_iter().filter(|n| n.driver.as_deref() == Some("overlay"));
            let overlays = overlays.filter_map(|n| n.name).filter(|n| n != "ingress");
            Ok::<_, bollard::errors::Error>(names.chain(overlays).collect())
        });
        found.unwrap_or_else(|e| panic!("what the swarm keeps: {e}"))
    }

    /// Changes a label of the secret whose name begins so.
    pub fn label_secret(&self, prefix: &str, label: &str, value: &str) {
        let changed = self.runtime.block_on(async {
            for secret in self.docker.list_secrets(None::<ListSecretsOptions>).await? {
                let mut spec = secret.spec.unwrap_or_default();
                let name = spec.name.clone().unwrap_or_default();
                if name.starts_with(prefix) {
                    spec.labels.get_or_insert_default().insert(label.to_owned(), value.to_owned());
                    let version = secret.version.and_then(|v| v.index).unwrap_or(0);
                    let options = UpdateSecretOptions { version: i64::try_from(version).unwrap_or(0) };
                    self.docker.update_secret(&name, spec, options).await?;
                    return Ok(true);
                }
            }
            Ok::<_, bollard::errors::Error>(false)
        });
        assert!(changed.unwrap_or_else(|e| panic!("label {prefix}: {e}")), "no secret is called {prefix}…");
    }

    /// `docker config rm NAME`
    pub fn remove_config(&self, name: &str) {
        self.runtime
            .block_on(self.docker.delete_config(name))
            .unwrap_or_else(|e| panic!("remove {name}: {e}"));
    }

    /// `docker volume rm NAME`; `Err` says why it stays.
    pub fn remove_volume(&self, name: &str) -> Result<(), String> {
        let removed = self.docker.remove_volume(name, None::<RemoveVolumeOptions>);
        self.runtime.block_on(removed).map_err(|e| e.to_string())
    }

    /// `docker ps`: the names of the containers that run.
    pub fn running(&self) -> Vec<String> {
        let found = self.runtime.block_on(self.docker.list_containers(None::<ListContainersOptions>));
        let found = found.unwrap_or_else(|e| panic!("list containers: {e}"));
        found.into_iter().flat_map(|c| c.names.unwrap_or_default()).collect()
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

    /// `docker inspect`: the image that a container was made of, by its name.
    pub fn image(&self, name: &str) -> String {
        let found = self
            .runtime
            .block_on(self.docker.inspect_container(name, None))
            .unwrap_or_else(|e| panic!("inspect {name}: {e}"));
        found.config.and_then(|c| c.image).unwrap_or_default()
    }

    /// `docker inspect`: all that the engine says of a container.
    pub fn inspect(&self, name: &str) -> serde_json::Value {
        let found = self
            .runtime
            .block_on(self.docker.inspect_container(name, None))
            .unwrap_or_else(|e| panic!("inspect {name}: {e}"));
        serde_json::to_value(found).expect("it came as JSON")
    }

    /// `docker tag IMAGE NAME:TAG`
    pub fn tag(&self, image: &str, name: &str) {
        let (repo, tag) = name.rsplit_once(':').expect("a name with a tag");
        let options = TagImageOptions { repo: Some(repo.to_owned()), tag: Some(tag.to_owned()) };
        self.runtime
            .block_on(self.docker.tag_image(image, Some(options)))
            .unwrap_or_else(|e| panic!("tag {image} as {name}: {e}"));
    }

    /// `docker inspect`: the id of an image, or `None` where there is none of this name.
    pub fn image_id(&self, name: &str) -> Option<String> {
        self.runtime.block_on(self.docker.inspect_image(name)).ok().and_then(|i| i.id)
    }

    /// `docker load -i FILE`
    pub fn load(&self, file: &std::path::Path) {
        let bytes = std::fs::read(file).expect("the file can be read");
        let body = bollard::body_full(bytes.into());
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let answers = self.docker.import_image(options, body, None).try_collect::<Vec<_>>();
        self.runtime.block_on(answers).unwrap_or_else(|e| panic!("load {}: {e}", file.display()));
    }

    /// `docker rmi NAME:TAG`; the image itself stays while another tag names it.
    pub fn untag(&self, name: &str) {
        self.runtime
            .block_on(self.docker.remove_image(name, None::<RemoveImageOptions>, None))
            .unwrap_or_else(|e| panic!("untag {name}: {e}"));
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

    /// Names of the volumes that a container has.
    pub fn volumes_of(&self, name: &str) -> Vec<String> {
        let found = self
            .runtime
            .block_on(self.docker.inspect_container(name, None))
            .unwrap_or_else(|e| panic!("inspect {name}: {e}"));
        found.mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.name).collect()
    }

    /// A file of a container, running or not: its mode, its owner, and what is in it.
    pub fn file(&self, name: &str, path: &str) -> Option<(u32, u64, Vec<u8>)> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let archive: Result<Vec<_>, _> =
            self.runtime.block_on(self.docker.download_from_container(name, Some(options)).try_collect());
        let archive = archive.ok()?.concat();
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut entry = archive.entries().expect("an archive").next()?.expect("a member");
        let (mode, owner) = (entry.header().mode().expect("a mode"), entry.header().uid().expect("an owner"));
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("memory takes it");
        Some((mode & 0o7777, owner, bytes))
    }

    /// What a container has said.
    pub fn log(&self, name: &str) -> String {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let lines: Vec<_> = self
            .runtime
            .block_on(self.docker.logs(name, Some(options)).try_collect())
            .unwrap_or_else(|e| panic!("log of {name}: {e}"));
        lines.iter().map(ToString::to_string).collect()
    }

    /// Makes this engine a swarm of one, unless it is in a swarm; `Err` says why it cannot have networks that
    /// reach over several hosts.
    pub fn swarm(&self) -> Result<Swarm<'_>, String> {
        let info = self.runtime.block_on(self.docker.info()).map_err(|e| e.to_string())?;
        let swarm = info.swarm.unwrap_or_default();
        match swarm.local_node_state {
            Some(LocalNodeState::ACTIVE) if swarm.control_available == Some(true) => {
                Ok(Swarm { engine: self, is_ours: false })
            }
            Some(LocalNodeState::INACTIVE) => {
                let request = SwarmInitRequest {
                    listen_addr: Some("127.0.0.1:2377".to_owned()),
                    advertise_addr: Some("127.0.0.1".to_owned()),
                    ..SwarmInitRequest::default()
                };
                self.runtime
                    .block_on(self.docker.init_swarm(request))
                    .map_err(|e| format!("the engine cannot begin a swarm: {e}"))?;
                Ok(Swarm { engine: self, is_ours: true })
            }
            other => Err(format!("the engine is in a swarm that it does not lead ({other:?})")),
        }
    }

    /// `docker network create --subnet SUBNET NAME`, anew.
    pub fn create_network(&self, name: &str, subnet: &str) {
        self.remove_network(name);
        let config = IpamConfig { subnet: Some(subnet.to_owned()), ..IpamConfig::default() };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
            ..NetworkCreateRequest::default()
        };
        self.runtime
            .block_on(self.docker.create_network(request))
            .unwrap_or_else(|e| panic!("create network {name}: {e}"));
    }

    /// `docker network rm NAME`, if it is there.
    pub fn remove_network(&self, name: &str) {
        let _ = self.runtime.block_on(self.docker.remove_network(name));
    }

    /// `docker network inspect`: all that the engine says of a network.
    pub fn inspect_network(&self, name: &str) -> serde_json::Value {
        let found = self
            .runtime
            .block_on(self.docker.inspect_network(name, None))
            .unwrap_or_else(|e| panic!("inspect network {name}: {e}"));
        serde_json::to_value(found).expect("it came as JSON")
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

/// An engine that is in a swarm; one that a test began ends with it.
pub struct Swarm<'a> {
    engine: &'a Engine,
    is_ours: bool,
}

impl Swarm<'_> {
    /// Makes a network over which containers of any host reach each other.
    pub fn overlay(&self, name: &str) -> Overlay<'_> {
        let overlay = Overlay { engine: self.engine, name: name.to_owned() };
        overlay.remove();
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("overlay".to_owned()),
            attachable: Some(true),
            ..NetworkCreateRequest::default()
        };
        self.engine
            .runtime
            .block_on(self.engine.docker.create_network(request))
            .unwrap_or_else(|e| panic!("create network {name}: {e}"));
        overlay
    }
}

impl Drop for Swarm<'_> {
    fn drop(&mut self) {
        if self.is_ours {
            let options = LeaveSwarmOptionsBuilder::default().force(true).build();
            let left = self.engine.runtime.block_on(self.engine.docker.leave_swarm(Some(options)));
            if let Err(e) = left {
                eprintln!("the swarm that this test began is still there: {e}");
            }
        }
    }
}

/// A network of a test; it goes with it.
pub struct Overlay<'a> {
    engine: &'a Engine,
    name: String,
}

impl Overlay<'_> {
    /// `docker run -d --name NAME --network THIS -p 127.0.0.1::7687 IMAGE FLAGS`. Returns where Bolt is published.
    pub fn run(&self, name: &str, image: &str, flags: &[&str]) -> (Container<'_>, String) {
        let container = Container { engine: self.engine, name: name.to_owned() };
        container.remove();
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            hostname: Some(name.to_owned()),
            cmd: Some(flags.iter().map(|f| (*f).to_owned()).collect()),
            exposed_ports: Some(vec!["7687/tcp".to_owned()]),
            host_config: Some(HostConfig {
                network_mode: Some(self.name.clone()),
                port_bindings: Some(HashMap::from([("7687/tcp".to_owned(), Some(vec![binding]))])),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let docker = &self.engine.docker;
        self.engine
            .runtime
            .block_on(docker.create_container(Some(options), body))
            .unwrap_or_else(|e| panic!("create {name}: {e}"));
        self.engine.start(name);
        let bolt = self.bolt(name);
        (container, bolt)
    }

    /// Where the Bolt of one of its containers is published; another place after each start.
    pub fn bolt(&self, name: &str) -> String {
        let found = self.engine.runtime.block_on(self.engine.docker.inspect_container(name, None));
        let found = found.unwrap_or_else(|e| panic!("inspect {name}: {e}"));
        let ports = found.network_settings.and_then(|s| s.ports).unwrap_or_default();
        let port = ports.get("7687/tcp").cloned().flatten().and_then(|b| b.first()?.host_port.clone());
        format!("127.0.0.1:{}", port.expect("Bolt is published"))
    }

    fn remove(&self) {
        // There may be none; and one that is still in use is met by the next run.
        let _ = self.engine.runtime.block_on(self.engine.docker.remove_network(&self.name));
    }
}

impl Drop for Overlay<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

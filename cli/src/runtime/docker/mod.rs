//! The only room that talks to a Docker engine.
//!
//! The engine holds all that mgctl knows: every object carries labels, and what has none of them is not
//! touched. A container is found by its labels, its network by id (two networks may have one name), its
//! addresses by inspection.
//!
//! | label | value |
//! |---|---|
//! | `dev.mgctl.managed` | `true` |
//! | `dev.mgctl.cluster`, `dev.mgctl.instance` | whose it is |
//! | `dev.mgctl.spec` | what it was made from, see [`Spec`] |
//! | `dev.mgctl.spec-hash`, `dev.mgctl.hash-version` | a short form of that, for people |
//! | `dev.mgctl.schema`, `dev.mgctl.version` | form of these labels; who wrote them |
//! | `dev.mgctl.config-file`, `dev.mgctl.created-at` | where it comes from |
//!
//! Labels cannot be changed once a container is made: a role that can move is not among them.

mod authority;
pub(super) mod container;
mod elf;
pub(super) mod engine;
pub mod image;
pub(super) mod lock;
pub(super) mod logs;
mod network;
mod ranges;
mod registry;
#[cfg(test)]
pub(crate) mod stand_in;
mod time;

use super::ports::{self, Ports};
use crate::authority::{Authority, Certificate};
use crate::cluster::{
    Action, Existing, Foreign, Machine, MachineState, Runtime, Spec, Subnetwork, container_name,
};
use crate::error::{CliError, Exit};
use crate::topology::{Container, Endpoint, Image, Instance, Restart, Topology};
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, ContainerUpdateBody, HostConfig,
    NetworkingConfig, RestartPolicy, RestartPolicyNameEnum, Volume, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, DownloadFromContainerOptions, EventsOptions,
    ImportImageOptions, KillContainerOptions, ListContainersOptions, ListVolumesOptions,
    RemoveContainerOptions, RemoveVolumeOptions, StopContainerOptions,
};
use engine::{answer, call, call_within};
use futures_util::future::{join_all, try_join_all};
use futures_util::{Stream, StreamExt, stream};
use network::{endpoint, external};
use ranges::static_address;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, OnceCell};

pub use lock::Lock;
pub use registry::name_and_tag;
pub(crate) use time::seconds;

pub(super) const MANAGED: &str = "dev.mgctl.managed";
pub(super) const CLUSTER: &str = "dev.mgctl.cluster";
pub(super) const INSTANCE: &str = "dev.mgctl.instance";
pub(super) const SPEC: &str = "dev.mgctl.spec";
/// Label: the runtime that made it, where that is not this one.
const RUNTIME: &str = "dev.mgctl.runtime";
const SWARM: &str = "swarm";

/// Where a node's Bolt listens inside its container.
pub(super) const BOLT: u16 = 7687;

/// Where a node's data are inside its container: the built-in one's, and Memgraph's.
pub(super) const DATA: [&str; 2] = ["/data", "/var/lib/memgraph"];

/// How long a killed container may take to be gone.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);

/// How long an engine may take to unpack the built-in image: a busy disk is slow.
const LOAD_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// How long a registry may take to hand over an image.
pub(super) const PULL_TIME_MAX: Duration = Duration::from_secs(15 * 60);

/// An engine.
pub struct Docker {
    pub(super) api: bollard::Docker,
    url: String,
    version: String,
    /// Whether it serves a swarm: what an engine has of one and of the other is of one cluster by its label only.
    is_of_swarm: bool,
    image: OnceCell<Arc<image::Image>>,
    ports: Ports,
    /// Held while a network is made: it is made by name, and names are not unique.
    making_network: Mutex<()>,
    /// Authorities that were read, by cluster; held while one is made.
    authorities: Mutex<BTreeMap<String, Arc<Authority>>>,
}

/// A cluster that an engine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub cluster: String,
    /// How many of its machines run.
    pub running: usize,
    /// How many there are.
    pub machines: usize,
    /// The topology file that it was made from, as it was named then.
    pub file: Option<String>,
}

impl Docker {
    /// Finds the engine and connects to it. `host` stands over everything else, then comes the docker context that
    /// a file names.
    pub async fn connect(host: Option<&str>, context: Option<&str>) -> Result<Docker, CliError> {
        let home = std::env::home_dir();
        let variable = |name: &str| std::env::var(name).ok();
        let address = engine::find(host, context, home.as_deref(), &variable, &|path| path.exists())?;
        let (api, version) = engine::connect(&address).await?;
        Ok(Docker {
            api,
            url: address.url,
            version,
            is_of_swarm: false,
            image: OnceCell::new(),
            ports: Ports::default(),
            making_network: Mutex::new(()),
            authorities: Mutex::default(),
        })
    }

    /// Has a swarm's volumes and networks for its own, and no others.
    pub(super) fn of_swarm(self) -> Docker {
        Docker { is_of_swarm: true, ..self }
    }

    /// Whether something of a cluster was made by this runtime.
    fn made(&self, labels: Option<&HashMap<String, String>>) -> bool {
        is_of_swarm(labels) == self.is_of_swarm
    }

    fn is_local(&self) -> bool {
        self.url.starts_with("unix://") || self.url.starts_with("npipe://")
    }

    /// Returns the built-in image, made when it is first asked for.
    pub async fn built_in(&self) -> Result<Arc<image::Image>, CliError> {
        let made = self.image.get_or_try_init(|| async {
            let made = tokio::task::spawn_blocking(image::of_this_executable).await;
            let made =
                made.map_err(|e| CliError::new(Exit::Other, format!("making the image failed: {e}")))?;
            made.map(Arc::new).map_err(|error| {
                CliError::new(Exit::Engine, format!("no image can be made of this executable: {error}"))
                    .code("MG062")
                    .help("name an image in the topology: `image: memgraph/memgraph:3.5.1`")
            })
        });
        made.await.cloned()
    }

    /// Makes the built-in image present and returns its tag.
    pub async fn load_built_in(&self) -> Result<String, CliError> {
        let image = self.built_in().await?;
        if self.has_image(&image.id).await? {
            return Ok(format!("{} present", image.tag));
        }
        let chunks: Vec<_> = image.archive.iter().cloned().map(Ok::<_, std::io::Error>).collect();
        let body = bollard::body_try_stream(stream::iter(chunks));
        let doing = format!("load image {}", image.tag);
        call_within(LOAD_TIME_MAX, &doing, async {
            let answers =
                self.api.import_image(ImportImageOptions { quiet: true, platform: None }, body, None);
            let mut answers = std::pin::pin!(answers);
            while let Some(answer) = answers.next().await {
                answer?;
            }
            Ok(())
        })
        .await?;
        if self.has_image(&image.id).await? {
            return Ok(format!("{} loaded", image.tag));
        }
        // An engine that stores images in another way calls this one by another id; the tag is ours alone.
        if self.has_image(&image.tag).await? {
            return Ok(format!("{} loaded", image.tag));
        }
        Err(CliError::new(Exit::Engine, format!("the engine took image {} and does not have it", image.tag))
            .code("MG062")
            .thing(self.url.clone()))
    }

    /// Whether the engine has an image of that name.
    pub async fn has_image(&self, name: &str) -> Result<bool, CliError> {
        call(&format!("look for image {name}"), absent_is_none(self.api.inspect_image(name)))
            .await
            .map(|found| found.is_some())
    }

    /// Returns the name by which containers are made of an image.
    async fn image_name(&self, image: &Image) -> Result<String, CliError> {
        Ok(match image {
            Image::BuiltIn => self.built_in().await?.tag.clone(),
            Image::Named(name) => name.clone(),
        })
    }

    async fn pull(&self, name: &str) -> Result<String, CliError> {
        let (repository, tag) = split_tag(name);
        let options = CreateImageOptions {
            from_image: Some(repository.to_owned()),
            tag: Some(tag.to_owned()),
            ..CreateImageOptions::default()
        };
        let doing = format!("pull image {name}");
        let pulled = call_within(PULL_TIME_MAX, &doing, async {
            let mut answers = std::pin::pin!(self.api.create_image(Some(options), None, None));
            while let Some(answer) = answers.next().await {
                answer?;
            }
            Ok(())
        });
        pulled.await.map_err(|error| {
            error
                .code("MG062")
                .help(format!("see that `{name}` is written right and that the engine reaches its registry"))
        })?;
        Ok("pulled".into())
    }

    /// Returns the clusters that this engine has containers of.
    pub async fn clusters(&self) -> Result<Vec<Found>, CliError> {
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        for container in self.containers(&[format!("{MANAGED}=true"), INSTANCE.to_owned()]).await? {
            let labels = container.labels.unwrap_or_default();
            let Some(cluster) = labels.get(CLUSTER) else { continue };
            let entry = found.entry(cluster.clone()).or_insert(Found {
                cluster: cluster.clone(),
                running: 0,
                machines: 0,
                file: labels.get("dev.mgctl.config-file").cloned(),
            });
            entry.machines += 1;
            let state = container.state.map(|s| s.to_string()).unwrap_or_default();
            entry.running += usize::from(state == "running");
        }
        Ok(found.into_values().collect())
    }

    async fn containers(
        &self,
        labels: &[String],
    ) -> Result<Vec<bollard::models::ContainerSummary>, CliError> {
        let filters = (!labels.is_empty()).then(|| HashMap::from([("label".to_owned(), labels.to_vec())]));
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        call("list its containers", self.api.list_containers(Some(options))).await
    }

    /// Returns the cluster's own volumes, and those of that name that a swarm's nodes have here.
    async fn volumes(&self, cluster: &str) -> Result<(BTreeSet<String>, Vec<Volume>), CliError> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{CLUSTER}={cluster}")])]);
        let options = ListVolumesOptions { filters: Some(filters) };
        let found = call("list its volumes", self.api.list_volumes(Some(options))).await?;
        let (own, others): (Vec<Volume>, Vec<Volume>) =
            found.volumes.unwrap_or_default().into_iter().partition(|v| self.made(Some(&v.labels)));
        Ok((own.into_iter().map(|v| v.name).collect(), others))
    }

    async fn inspect(&self, name: &str) -> Result<Option<ContainerInspectResponse>, CliError> {
        call(&format!("inspect container `{name}`"), absent_is_none(self.api.inspect_container(name, None)))
            .await
    }

    /// Returns the cluster's container of that name, and refuses one that is not its own.
    async fn own(&self, cluster: &str, instance: &str) -> Result<Option<ContainerInspectResponse>, CliError> {
        let name = container_name(cluster, instance);
        let Some(found) = self.inspect(&name).await? else { return Ok(None) };
        let labels = found.config.as_ref().and_then(|c| c.labels.as_ref());
        let is_own = labels.is_some_and(|l| {
            l.get(CLUSTER).is_some_and(|c| c == cluster) && l.get(INSTANCE).is_some_and(|i| i == instance)
        });
        if is_own {
            return Ok(Some(found));
        }
        let owner = owner_of(labels, found.config.as_ref().and_then(|c| c.image.as_deref()));
        Err(foreign("container", &name, &owner))
    }

    fn machine_of(
        &self,
        found: &ContainerInspectResponse,
        network_id: Option<&str>,
        image: Option<&str>,
    ) -> Machine {
        let name = found.name.as_deref().unwrap_or("").trim_start_matches('/').to_owned();
        let labels = found.config.as_ref().and_then(|c| c.labels.as_ref());
        let spec = labels.and_then(|l| l.get(SPEC)).and_then(|text| Spec::parse(text));
        let state = found.state.clone().unwrap_or_default();
        let settings = found.network_settings.as_ref();
        let networks = settings.and_then(|s| s.networks.as_ref());
        let endpoint = networks.and_then(|all| {
            all.values().find(|e| network_id.is_some() && e.network_id.as_deref() == network_id).or_else(
                || {
                    // A container that never ran does not know its network's id yet.
                    all.values().find(|e| e.network_id.as_deref().unwrap_or("").is_empty())
                },
            )
        });
        let parse = |ip: &Option<String>| ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        let address = endpoint.and_then(|e| {
            parse(&e.ip_address).or_else(|| e.ipam_config.as_ref().and_then(|c| parse(&c.ipv4_address)))
        });
        let running = settings.and_then(|s| s.ports.as_ref());
        let asked = found.host_config.as_ref().and_then(|h| h.port_bindings.as_ref());
        let published = [running, asked].into_iter().flatten().find_map(|map| {
            let binding = map.get(&format!("{BOLT}/tcp"))?.as_ref()?.first()?;
            let ip: IpAddr =
                binding.host_ip.as_deref().unwrap_or("").parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let ip = if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip };
            Some(SocketAddr::new(ip, binding.host_port.as_deref()?.parse().ok()?))
        });
        // Without a published port there is the container's own address, where containers share this
        // machine's kernel.
        let bolt = published.or_else(|| address.map(|ip| SocketAddr::new(ip, BOLT)));
        let exited = || MachineState::Exited {
            code: state.exit_code,
            out_of_memory: state.oom_killed.unwrap_or(false),
        };
        Machine {
            id: found.id.clone().unwrap_or_default(),
            name,
            state: match state.status {
                Some(ContainerStateStatusEnum::CREATED) => MachineState::Created,
                Some(ContainerStateStatusEnum::RUNNING) => MachineState::Running,
                Some(ContainerStateStatusEnum::PAUSED) => MachineState::Paused,
                Some(ContainerStateStatusEnum::RESTARTING) => MachineState::Restarting,
                _ => exited(),
            },
            spec,
            address,
            bolt: bolt.map(Endpoint::from),
            image_is_current: image.is_none_or(|image| found.image.as_deref() == Some(image)),
            started: state.started_at.as_deref().and_then(time::seconds),
            is_fenced: found
                .host_config
                .as_ref()
                .and_then(|h| h.restart_policy.as_ref()?.name)
                .is_some_and(|policy| policy == RestartPolicyNameEnum::NO),
            unhealthy: state.health.as_ref().and_then(container::unhealthy),
            host: None,
        }
    }

    async fn create_volume(&self, topology: &Topology, instance: &Instance) -> Result<String, CliError> {
        let name = instance.volume().expect("the plan makes volumes, and no folders");
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(labels_of(topology, instance)),
            ..VolumeCreateRequest::default()
        };
        let made = call(&format!("create volume `{name}`"), self.api.create_volume(request)).await?;
        // An engine answers with the volume that is there, whosever it is.
        if made.labels.get(CLUSTER).is_none_or(|c| *c != topology.name) || !self.made(Some(&made.labels)) {
            return Err(foreign("volume", name, &owner_of(Some(&made.labels), None)));
        }
        Ok(format!("created {name}"))
    }

    async fn taken_ports(&self) -> Result<BTreeMap<u16, String>, CliError> {
        let mut taken = BTreeMap::new();
        for container in self.containers(&[]).await? {
            let name =
                container.names.unwrap_or_default().first().map(|n| n.trim_start_matches('/').to_owned());
            let cluster = container.labels.unwrap_or_default().get(CLUSTER).cloned();
            let owner = match (name, cluster) {
                (Some(name), Some(cluster)) => format!("container `{name}` (cluster `{cluster}`)"),
                (Some(name), None) => format!("container `{name}`"),
                (None, _) => "a container".to_owned(),
            };
            for port in container.ports.unwrap_or_default().into_iter().filter_map(|p| p.public_port) {
                taken.insert(port, owner.clone());
            }
        }
        Ok(taken)
    }

    async fn create_machine(&self, topology: &Topology, instance: &Instance) -> Result<String, CliError> {
        let taken = self.taken_ports().await?;
        let held = |port: u16| {
            taken.contains_key(&port) || (self.is_local() && ports::is_bound(topology.bind, port))
        };
        let port = self.ports.choose(topology, instance, &held);
        if let Some(port) = port
            && held(port)
        {
            return Err(port_taken(topology, instance, "bolt", port, taken.get(&port).map(String::as_str)));
        }
        for (key, _, port) in instance.container.ports.published() {
            if held(port) {
                return Err(port_taken(topology, instance, key, port, taken.get(&port).map(String::as_str)));
            }
        }
        let (network_id, network) = self.network_of(topology).await?.ok_or_else(|| {
            CliError::new(Exit::NotFound, format!("network `{}` is gone", topology.network.name))
                .code("MG065")
                .help("`mgctl up` makes it again")
        })?;
        let body = self.container(topology, instance, port, &network_id, &network).await?;
        let name = container_name(&topology.name, &instance.name);
        let options =
            CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        let made = self.api.create_container(Some(options), body);
        match call(&format!("create container `{name}`"), made).await {
            Ok(_) => Ok(port.map_or_else(String::new, |p| format!("Bolt {}:{p}", topology.bind))),
            // Made by someone else meanwhile: by another mgctl, or not.
            Err(error) if error.exit() == Exit::Conflict => {
                match self.own(&topology.name, &instance.name).await? {
                    Some(_) => Ok("made by another mgctl".into()),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn container(
        &self,
        topology: &Topology,
        instance: &Instance,
        port: Option<u16>,
        network_id: &str,
        network: &Subnetwork,
    ) -> Result<ContainerCreateBody, CliError> {
        let image = self.image_name(&instance.image).await?;
        let is_ours =
            instance.image == Image::BuiltIn || image.starts_with(&format!("{}:", image::REPOSITORY));
        let address = match topology.addressing {
            crate::topology::Addressing::Static => static_address(topology, instance, network)?,
            _ => instance.ip,
        };
        let mut command: Vec<String> = Vec::new();
        if let (true, Some(port)) = (is_ours, port) {
            // For clients on the host, and for those on the network of the cluster by address and by name.
            let mut addresses = vec![SocketAddr::new(topology.bind, port).to_string()];
            addresses.extend(address.map(|ip| SocketAddr::new(ip.into(), BOLT).to_string()));
            addresses.push(format!("{}:{BOLT}", instance.name));
            command.push(format!("--bolt-advertised-address={}", addresses.join(",")));
        }
        if topology.cluster_tls && is_ours {
            command.extend(authority::flags());
        }
        command.extend(instance.flags.iter().map(|(name, value)| format!("--{name}={value}")));
        let memory = instance.memory_bytes.and_then(|m| i64::try_from(m).ok());
        let text = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<HashMap<_, _>>()
        };
        let host = HostConfig {
            mounts: Some(container::mounts(instance, if is_ours { DATA[0] } else { DATA[1] })),
            network_mode: Some(network_id.to_owned()),
            port_bindings: Some(container::bindings(topology, instance, port)),
            restart_policy: Some(container::restart_policy(instance.container.restart)),
            log_config: Some(container::log_config(&instance.container.logging)),
            ulimits: container::ulimits(&instance.container),
            memory,
            memory_swap: memory,
            nano_cpus: instance.nano_cpus.and_then(|n| i64::try_from(n).ok()),
            cap_drop: is_ours.then(|| vec!["ALL".to_owned()]),
            security_opt: is_ours.then(|| vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: is_ours.then_some(true),
            tmpfs: is_ours.then(|| text(&[("/tmp", "rw,nosuid,nodev,noexec,size=64m")])),
            ..HostConfig::default()
        };
        let endpoint = endpoint(&topology.name, instance, address);
        Ok(ContainerCreateBody {
            hostname: Some(instance.name.clone()),
            image: Some(image),
            cmd: (!command.is_empty()).then_some(command),
            env: Some(container::environment(instance)),
            exposed_ports: Some(container::exposed(instance)),
            labels: Some(container::labels(instance, labels_of(topology, instance))),
            healthcheck: container::healthcheck(&instance.container.healthcheck),
            stop_timeout: i64::try_from(container::seconds(instance.container.stop_grace)).ok(),
            host_config: Some(host),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(network_id.to_owned(), endpoint)])),
            }),
            ..ContainerCreateBody::default()
        })
    }

    async fn start_machine(&self, topology: &Topology, instance: &Instance) -> Result<String, CliError> {
        let cluster = &topology.name;
        let found = self.own(cluster, &instance.name).await?.ok_or_else(|| gone(cluster, &instance.name))?;
        let id = found.id.clone().unwrap_or_default();
        let machine = self.machine_of(&found, None, None);
        // A fence is kept: its policy is the mark that a failover had ended the node.
        let is_half_made = machine.state == MachineState::Created && !machine.is_fenced;
        let name = container_name(cluster, &instance.name);
        let started = call(&format!("start container `{name}`"), self.api.start_container(&id, None)).await;
        let Err(error) = started else { return Ok("running".into()) };
        if is_half_made {
            // It would be in the way of the next attempt, and nothing is in it.
            call(
                &format!("remove container `{name}`, which did not start"),
                absent_is_none(self.api.remove_container(
                    &id,
                    Some(RemoveContainerOptions { v: true, ..RemoveContainerOptions::default() }),
                )),
            )
            .await?;
        }
        if error.problem().code == Some("MG019") {
            let bolt = machine.bolt.map(|b| ("bolt", b.port));
            let more = instance.container.ports.published().map(|(key, _, port)| (key, port));
            let taken = self.taken_ports().await?;
            // The engine names the one that it could not have.
            let what = &error.problem().what;
            let is_named = |port: u16| [' ', ':'].iter().any(|end| what.contains(&format!(":{port}{end}")));
            let all: Vec<(&str, u16)> = bolt.into_iter().chain(more).collect();
            if let Some(&(key, port)) = all.iter().find(|(_, port)| is_named(*port)).or(all.first()) {
                return Err(port_taken(topology, instance, key, port, taken.get(&port).map(String::as_str)));
            }
        }
        Err(error)
    }

    async fn stop_machine(&self, cluster: &str, instance: &str) -> Result<String, CliError> {
        let Some(found) = self.own(cluster, instance).await? else { return Ok("is gone".into()) };
        let id = found.id.clone().unwrap_or_default();
        // The container knows how long it may take; the engine heeds that.
        let options = StopContainerOptions { t: None, signal: None };
        let spec = self.machine_of(&found, None, None).spec;
        let grace = spec.map_or(Container::STOP_GRACE, |spec| spec.stop_grace());
        let doing = format!("stop container `{}`", container_name(cluster, instance));
        call_within(
            grace + engine::CALL_TIME_MAX,
            &doing,
            absent_is_none(self.api.stop_container(&id, Some(options))),
        )
        .await?;
        Ok("stopped".into())
    }

    /// Ends a container so that it stays ended. Its policy comes first: an engine starts a crashed container again,
    /// and after its own restart every one that it finds with such a policy. It is killed and not stopped: a stop
    /// thaws a paused node and lets it write before it hears of its end.
    async fn fence_machine(&self, cluster: &str, instance: &str) -> Result<String, CliError> {
        let name = container_name(cluster, instance);
        let Some(found) = self.own(cluster, instance).await? else { return Ok("is gone".into()) };
        let id = found.id.clone().unwrap_or_default();
        let never = RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None };
        self.set_restart_policy(&name, &id, never).await?;
        let until = tokio::time::Instant::now() + KILL_TIME_MAX;
        let mut was_killed = false;
        loop {
            let Some(found) = self.inspect(&id).await? else { return Ok("is gone".into()) };
            let state = self.machine_of(&found, None, None).state;
            if matches!(state, MachineState::Exited { .. } | MachineState::Created) {
                return Ok(if was_killed { "killed" } else { "had ended" }.into());
            }
            if tokio::time::Instant::now() > until {
                return Err(CliError::new(
                    Exit::TimedOut,
                    format!(
                        "container `{name}` did not end within {}s: it is {state}",
                        KILL_TIME_MAX.as_secs()
                    ),
                )
                .code("MG076")
                .help(format!("look at the engine: docker inspect {name}")));
            }
            let options = KillContainerOptions { signal: "SIGKILL".into() };
            let killed = self.api.kill_container(&id, Some(options)).await;
            match killed {
                Ok(()) => was_killed = true,
                // It ended in between, or is between two starts; what it is now is looked at again.
                Err(error) if answer(&error).is_some_and(|(status, _)| status == 409 || status == 404) => {}
                Err(error) => return Err(engine::translate(&format!("kill container `{name}`"), &error)),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Writes what a stopped container's node keeps into a tar file; the engine packs it.
    async fn save_data(&self, cluster: &str, instance: &str, path: &Path) -> Result<String, CliError> {
        let name = container_name(cluster, instance);
        let found = self.own(cluster, instance).await?.ok_or_else(|| gone(cluster, instance))?;
        let mounts = found.mounts.unwrap_or_default();
        let mut folders = mounts.into_iter().filter_map(|m| m.destination);
        let folder = folders.find(|folder| DATA.contains(&folder.as_str())).ok_or_else(|| {
            CliError::new(Exit::NotFound, format!("container `{name}` has no data of its own")).code("MG065")
        })?;
        let unwritable = |error: std::io::Error| {
            CliError::new(Exit::Other, format!("cannot write `{}`: {error}", path.display()))
                .code("MG078")
                .note("nothing was deleted")
        };
        let doing = format!("pack the data of container `{name}`");
        let options = DownloadFromContainerOptions { path: folder };
        let mut chunks =
            std::pin::pin!(self.api.download_from_container(&found.id.unwrap_or_default(), Some(options)));
        let mut file = tokio::fs::File::create_new(path).await.map_err(unwritable)?;
        let mut bytes = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk =
                chunk.map_err(|error| engine::translate(&doing, &error).note("nothing was deleted"))?;
            bytes += chunk.len();
            tokio::io::AsyncWriteExt::write_all(&mut file, &chunk).await.map_err(unwritable)?;
        }
        file.sync_all().await.map_err(unwritable)?;
        Ok(format!("{} ({bytes} bytes)", path.display()))
    }

    /// Returns a stream that says something whenever the engine did something with a container of the cluster.
    pub fn changes(&self, cluster: &str) -> impl Stream<Item = ()> + use<'_> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![format!("{CLUSTER}={cluster}")]),
        ]);
        let options = EventsOptions { filters: Some(filters), ..EventsOptions::default() };
        self.api.events(Some(options)).filter_map(|event| async { event.ok().map(|_| ()) })
    }

    async fn unfence_machine(&self, cluster: &str, instance: &str) -> Result<String, CliError> {
        let name = container_name(cluster, instance);
        let found = self.own(cluster, instance).await?.ok_or_else(|| gone(cluster, instance))?;
        let spec = self.machine_of(&found, None, None).spec;
        let restart = spec.map_or_else(Restart::default, |spec| spec.restart());
        let id = found.id.unwrap_or_default();
        self.set_restart_policy(&name, &id, container::restart_policy(restart)).await?;
        Ok("starts by itself again".into())
    }

    async fn set_restart_policy(&self, name: &str, id: &str, policy: RestartPolicy) -> Result<(), CliError> {
        let body = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
        call(&format!("change the restart policy of container `{name}`"), self.api.update_container(id, body))
            .await
    }

    async fn remove_machine(&self, cluster: &str, instance: &str) -> Result<String, CliError> {
        let Some(found) = self.own(cluster, instance).await? else { return Ok("is gone".into()) };
        let id = found.id.unwrap_or_default();
        // `v` takes anonymous volumes along, which an image may declare; named ones stay.
        let options = RemoveContainerOptions { v: true, ..RemoveContainerOptions::default() };
        let doing = format!("remove container `{}`", container_name(cluster, instance));
        call(&doing, absent_is_none(self.api.remove_container(&id, Some(options)))).await?;
        Ok("removed".into())
    }

    async fn remove_volume(&self, cluster: &str, name: &str) -> Result<String, CliError> {
        let (own, others) = self.volumes(cluster).await?;
        if let Some(other) = others.iter().find(|v| v.name == name) {
            return Err(foreign("volume", name, &owner_of(Some(&other.labels), None)));
        }
        if !own.contains(name) {
            return Ok("is gone".into());
        }
        call(
            &format!("remove volume `{name}`"),
            absent_is_none(self.api.remove_volume(name, None::<RemoveVolumeOptions>)),
        )
        .await?;
        Ok("removed".into())
    }
}

impl Runtime for Docker {
    fn describe(&self) -> String {
        format!("docker {} {}", self.version, self.url)
    }

    async fn observe(&self, cluster: &str, topology: Option<&Topology>) -> Result<Existing, CliError> {
        let label = format!("{CLUSTER}={cluster}");
        let labels = [label.clone(), INSTANCE.to_owned()];
        let (containers, (volumes, others)) =
            tokio::try_join!(self.containers(&labels), self.volumes(cluster))?;
        if let (true, Some(first)) = (containers.is_empty(), others.first()) {
            return Err(of_a_swarm(cluster, &first.name));
        }
        let said = || {
            let labels = containers.iter().filter_map(|c| c.labels.as_ref()?.get(SPEC));
            labels.filter_map(|text| Some(Spec::parse(text)?.external_network()?.to_owned())).next()
        };
        let external = match topology {
            Some(topology) => external(topology).map(str::to_owned),
            None => said(),
        };
        let network = self.network(cluster, external.as_deref()).await?;
        let mut existing =
            Existing { network: network.as_ref().map(|(_, n)| n.clone()), volumes, ..Existing::default() };
        existing.has_authority = existing.volumes.contains(&authority::volume(cluster));
        let mut current: HashMap<String, String> = HashMap::new();
        if let Some(topology) = topology {
            (existing.images, current) = self.images_of(topology).await?;
        }

        let ids: Vec<String> = containers.into_iter().filter_map(|c| c.id).collect();
        let inspected = try_join_all(ids.iter().map(|id| self.inspect(id))).await?;
        let network_id = network.as_ref().map(|(id, _)| id.as_str());
        for found in inspected.into_iter().flatten() {
            let labels = found.config.as_ref().and_then(|c| c.labels.as_ref());
            let Some(instance) = labels.and_then(|l| l.get(INSTANCE)).cloned() else { continue };
            let image = topology
                .and_then(|t| t.instance(&instance))
                .and_then(|i| current.get(&i.image.to_string()))
                .map(String::as_str);
            existing.machines.insert(instance, self.machine_of(&found, network_id, image));
        }
        if let Some(topology) = topology {
            if topology.cluster_tls {
                existing.certificates = self.certificates_of(cluster, existing.machines.keys()).await?;
            }
            existing.foreign = self.foreign(topology, &existing).await?;
        }
        Ok(existing)
    }

    async fn certificates(&self, cluster: &str) -> Result<BTreeMap<String, Certificate>, CliError> {
        let containers = self.containers(&[format!("{CLUSTER}={cluster}"), INSTANCE.to_owned()]).await?;
        let names: Vec<String> =
            containers.iter().filter_map(|c| c.labels.as_ref()?.get(INSTANCE).cloned()).collect();
        self.certificates_of(cluster, names.iter()).await
    }

    async fn machine(&self, cluster: &str, instance: &str) -> Result<Option<Machine>, CliError> {
        let Some(found) = self.own(cluster, instance).await? else { return Ok(None) };
        let spec = self.machine_of(&found, None, None).spec;
        let external = spec.as_ref().and_then(Spec::external_network);
        let network = self.network(cluster, external).await?;
        let network_id = network.as_ref().map(|(id, _)| id.as_str());
        Ok(Some(self.machine_of(&found, network_id, None)))
    }

    async fn carry_out(&self, topology: &Topology, action: &Action) -> Result<String, CliError> {
        let cluster = &topology.name;
        let instance = |name: &str| topology.instance(name).ok_or_else(|| gone(cluster, name));
        match action {
            Action::LoadImage(Image::BuiltIn) => self.load_built_in().await,
            Action::LoadImage(Image::Named(name)) => self.pull(name).await,
            Action::CreateNetwork(subnet) => self.create_network(topology, *subnet).await,
            Action::CreateVolume(name) => self.create_volume(topology, instance(name)?).await,
            Action::CreateAuthority => self.create_authority(topology).await,
            Action::IssueCertificate(name) => self.issue_certificate(topology, name).await,
            Action::CreateMachine(name) => self.create_machine(topology, instance(name)?).await,
            Action::StartMachine(name) => self.start_machine(topology, instance(name)?).await,
            Action::UnpauseMachine(name) => {
                let found = self.own(cluster, name).await?.ok_or_else(|| gone(cluster, name))?;
                let id = found.id.unwrap_or_default();
                call(
                    &format!("unpause container `{}`", container_name(cluster, name)),
                    self.api.unpause_container(&id),
                )
                .await?;
                Ok("running".into())
            }
            Action::StopMachine(name) => self.stop_machine(cluster, name).await,
            Action::SaveData { instance, path } => self.save_data(cluster, instance, path).await,
            Action::FenceMachine(name) => self.fence_machine(cluster, name).await,
            Action::UnfenceMachine(name) => self.unfence_machine(cluster, name).await,
            Action::KillMachine(name) => {
                let found = self.own(cluster, name).await?.ok_or_else(|| gone(cluster, name))?;
                let options = KillContainerOptions { signal: "SIGKILL".into() };
                let killed = self.api.kill_container(found.id.as_deref().unwrap_or_default(), Some(options));
                call(&format!("kill container `{}`", container_name(cluster, name)), killed).await?;
                Ok("killed".into())
            }
            Action::PauseMachine(name) => {
                let found = self.own(cluster, name).await?.ok_or_else(|| gone(cluster, name))?;
                let paused = self.api.pause_container(found.id.as_deref().unwrap_or_default());
                call(&format!("pause container `{}`", container_name(cluster, name)), paused).await?;
                Ok("frozen".into())
            }
            Action::DisconnectMachine(name) => self.disconnect(topology, name).await,
            Action::ConnectMachine(name) => self.connect_again(topology, instance(name)?).await,
            Action::RemoveMachine(name) => self.remove_machine(cluster, name).await,
            Action::RemoveVolume(name) => self.remove_volume(cluster, name).await,
            Action::RemoveNetwork => self.remove_network(cluster).await,
            other => unreachable!("`{other}` is for nodes, not for machines"),
        }
    }

    async fn last_lines(&self, cluster: &str, instance: &str, lines: usize) -> Vec<String> {
        // They only illustrate another error: without them it is told all the same. A container between two
        // starts may give none, or not end; what came counts.
        let until = tokio::time::Instant::now() + Duration::from_secs(5);
        let mut found = Vec::new();
        while found.is_empty() && tokio::time::Instant::now() < until {
            let mut stream = std::pin::pin!(self.log_lines(cluster, instance, false, Some(lines as u64)));
            while let Ok(Some(line)) = tokio::time::timeout_at(until, stream.next()).await {
                found.extend(line.ok());
            }
            if found.is_empty() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        found
    }
}

impl Docker {
    /// Returns those images of a topology that are here, and what each stands for today, by id.
    pub(super) async fn images_of(
        &self,
        topology: &Topology,
    ) -> Result<(BTreeSet<String>, HashMap<String, String>), CliError> {
        let (mut here, mut current) = (BTreeSet::new(), HashMap::new());
        let names: BTreeSet<String> = topology.instances.iter().map(|i| i.image.to_string()).collect();
        for name in names {
            let asked = match name.as_str() {
                "built-in" => self.built_in().await?.id.clone(),
                named => named.to_owned(),
            };
            let found = absent_is_none(self.api.inspect_image(&asked));
            if let Some(found) = call(&format!("look for image {name}"), found).await? {
                here.insert(name.clone());
                current.insert(name, found.id.unwrap_or_default());
            } else if name == "built-in" {
                current.insert(name, asked);
            }
        }
        Ok((here, current))
    }

    /// Returns what has a name that the cluster needs and is not its own.
    pub(super) async fn foreign(
        &self,
        topology: &Topology,
        existing: &Existing,
    ) -> Result<Vec<Foreign>, CliError> {
        let mut found = Vec::new();
        let missing = topology.instances.iter().filter(|i| !existing.machines.contains_key(&i.name));
        let names: Vec<String> = missing.map(|i| container_name(&topology.name, &i.name)).collect();
        for (name, container) in names.iter().zip(join_all(names.iter().map(|n| self.inspect(n))).await) {
            if let Some(container) = container? {
                let config = container.config.as_ref();
                let owner =
                    owner_of(config.and_then(|c| c.labels.as_ref()), config.and_then(|c| c.image.as_deref()));
                found.push(Foreign { kind: "container", name: name.clone(), owner });
            }
        }
        if existing.network.is_none() && !topology.network.is_external {
            let name = &topology.network.name;
            let same = self.networks(Some(("name", format!("^{name}$")))).await?;
            for network in same.iter().filter(|n| n.name.as_ref() == Some(name)) {
                let owner = owner_of(network.labels.as_ref(), None);
                found.push(Foreign { kind: "network", name: name.clone(), owner });
            }
        }
        let authority_volume = topology.authority_volume();
        let missing: Vec<&str> = topology
            .instances
            .iter()
            .filter_map(Instance::volume)
            .chain(topology.cluster_tls.then_some(authority_volume.as_str()))
            .filter(|v| !existing.volumes.contains(*v))
            .collect();
        for name in missing {
            let volume =
                call(&format!("inspect volume `{name}`"), absent_is_none(self.api.inspect_volume(name)))
                    .await?;
            if let Some(volume) = volume {
                found.push(Foreign {
                    kind: "volume",
                    name: name.into(),
                    owner: owner_of(Some(&volume.labels), None),
                });
            }
        }
        Ok(found)
    }
}

/// Turns "no such object" into `None`, and "it is so already" into success.
pub(super) async fn absent_is_none<T>(
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<Option<T>, bollard::errors::Error> {
    match call.await {
        Ok(value) => Ok(Some(value)),
        Err(error) if answer(&error).is_some_and(|(status, _)| status == 404 || status == 304) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Splits `registry:5000/name:tag`; without a tag it is `latest`, a digest stays with its name.
fn split_tag(name: &str) -> (&str, &str) {
    if name.contains('@') {
        return (name, "");
    }
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

pub(super) fn owner_of(labels: Option<&HashMap<String, String>>, image: Option<&str>) -> String {
    let label = |name: &str| labels.and_then(|l| l.get(name));
    if let Some(cluster) = label(CLUSTER) {
        let of = if is_of_swarm(labels) { ", nodes of a swarm" } else { "" };
        return format!("belongs to cluster `{cluster}`{of}");
    }
    if let Some(project) = label("com.docker.compose.project") {
        return format!("belongs to compose project `{project}`");
    }
    match image {
        Some(image) => format!("of image {image}, without mgctl's labels"),
        None => "without mgctl's labels".into(),
    }
}

/// Whether something was made for nodes of a swarm.
fn is_of_swarm(labels: Option<&HashMap<String, String>>) -> bool {
    labels.and_then(|l| l.get(RUNTIME)).is_some_and(|runtime| runtime == SWARM)
}

/// The error for a cluster of which this engine has what a swarm's nodes left or use, and no container of its own.
fn of_a_swarm(cluster: &str, volume: &str) -> CliError {
    CliError::new(Exit::Conflict, format!("volume `{volume}` is of a node of a swarm"))
        .code("MG064")
        .thing(format!("cluster `{cluster}`"))
        .note("nothing was changed")
        .help("leave `runtime: swarm` in the file, and speak to a manager of that swarm")
        .help(format!("or, if its data are not needed any more: docker volume rm {volume}"))
}

pub(super) fn foreign(kind: &str, name: &str, owner: &str) -> CliError {
    CliError::new(Exit::Conflict, format!("{kind} `{name}` exists and is not mgctl's"))
        .code("MG064")
        .thing(owner.to_owned())
        .help("mgctl touches nothing that it did not make: rename or remove it, or give the cluster another `name:`")
}

pub(super) fn gone(cluster: &str, instance: &str) -> CliError {
    CliError::new(Exit::NotFound, format!("`{instance}` does not exist"))
        .code("MG065")
        .thing(format!("cluster `{cluster}`"))
        .help("`mgctl up` makes it")
}

pub(super) fn port_taken(
    topology: &Topology,
    instance: &Instance,
    key: &str,
    port: u16,
    owner: Option<&str>,
) -> CliError {
    let owner =
        owner.map_or_else(|| format!("a process outside Docker (ss -ltnp 'sport = :{port}')"), str::to_owned);
    CliError::new(Exit::Conflict, format!("{}:{port} is in use by {owner}", topology.bind))
        .code("MG019")
        .at(instance.place.clone())
        .thing(match key {
            "bolt" => format!("Bolt of `{}`", instance.name),
            _ => format!("{key} of `{}`", instance.name),
        })
        .help(match key {
            "bolt" => {
                format!(
                    "set instances.{}.ports.bolt to a free port, or `ports.strategy: auto`",
                    instance.name
                )
            }
            _ => format!("set instances.{}.ports.{key} to a free port, or remove it", instance.name),
        })
}

/// Returns the ports beside Bolt that a node publishes: inside, and on its host.
pub(super) fn published_elsewhere(instance: &Instance) -> impl Iterator<Item = (u16, u16)> {
    instance.container.ports.published().map(|(_, inside, host)| (inside, host))
}

pub(super) fn labels(topology: &Topology) -> HashMap<String, String> {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let runtime = topology.is_swarm().then(|| (RUNTIME.to_owned(), SWARM.to_owned()));
    let all = [
        (MANAGED, "true".to_owned()),
        (CLUSTER, topology.name.clone()),
        ("dev.mgctl.schema", "1".to_owned()),
        ("dev.mgctl.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("dev.mgctl.config-file", topology.place.file.to_string()),
        ("dev.mgctl.created-at", created.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    all.into_iter().chain(runtime).collect()
}

pub(super) fn labels_of(topology: &Topology, instance: &Instance) -> HashMap<String, String> {
    let spec = Spec::of(topology, instance);
    let mut all = labels(topology);
    for (name, value) in [
        (INSTANCE, instance.name.clone()),
        (SPEC, spec.to_text()),
        ("dev.mgctl.spec-hash", spec.hash()),
        ("dev.mgctl.hash-version", "2".to_owned()),
        ("dev.mgctl.declared-role", instance.role.to_string()),
        ("dev.mgctl.declared-mode", instance.mode.to_string()),
    ] {
        all.insert(name.to_owned(), value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_split_as_docker_splits_them() {
        assert_eq!(split_tag("memgraph/memgraph:3.5.1"), ("memgraph/memgraph", "3.5.1"));
        assert_eq!(split_tag("host:5000/memgraph"), ("host:5000/memgraph", "latest"));
        assert_eq!(split_tag("x@sha256:12"), ("x@sha256:12", ""));
    }

    pub(super) fn demo(more: &str) -> Topology {
        let text =
            format!("name: demo\n{more}\ninstances:\n  main: {{ role: main }}\n  r1: {{ role: replica }}\n");
        let source = crate::topology::Source { name: "demo.yaml".into(), directory: ".".into(), text };
        crate::topology::load(&source, &|_| None).unwrap().topology
    }

    const OF_SWARM: &str = r#"{"Volumes":[{"Name":"mgctl-demo-main-data","Driver":"local","Mountpoint":"","Scope":"local","Options":{},
        "Labels":{"dev.mgctl.cluster":"demo","dev.mgctl.runtime":"swarm"}}]}"#;
    const NETWORKS: &str = r#"[{"Id":"theirs","Name":"mgctl-demo","Created":"2026-11-27T10:00:00Z",
        "Labels":{"dev.mgctl.cluster":"demo","dev.mgctl.runtime":"swarm"}},
        {"Id":"ours","Name":"mgctl-demo","Created":"2026-11-27T10:00:01Z","Labels":{"dev.mgctl.cluster":"demo"}}]"#;

    #[tokio::test]
    async fn what_nodes_of_a_swarm_have_here_is_refused_by_name_and_stays() {
        let engine = stand_in::StandIn::start(vec![
            ("GET /containers/json", "[]"),
            ("GET /volumes", OF_SWARM),
            ("GET /networks", NETWORKS),
            ("DELETE /volumes/mgctl-demo-main-data", ""),
        ])
        .await;
        let docker = engine.docker();
        let error = docker.observe("demo", Some(&demo(""))).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("volume `mgctl-demo-main-data` is of a node of a swarm"), "{text}");
        let error = docker.remove_volume("demo", "mgctl-demo-main-data").await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("mgctl-demo-main-data") && text.contains("nodes of a swarm"), "{text}");
        assert!(engine.heard().iter().all(|asked| !asked.starts_with("DELETE")), "{:?}", engine.heard());
        // Each has the network that it made, and not the older one.
        assert_eq!(docker.network("demo", None).await.unwrap().unwrap().0, "ours");
        assert_eq!(docker.of_swarm().network("demo", None).await.unwrap().unwrap().0, "theirs");
    }

    /// What an engine says of a container that never ran.
    const CREATED: &str = r#"{"Id":"c1","State":{"Status":"created"},
        "Config":{"Labels":{"dev.mgctl.cluster":"demo","dev.mgctl.instance":"main"}},
        "HostConfig":{"RestartPolicy":{"Name":"unless-stopped"}}}"#;
    const CREATED_AND_FENCED: &str = r#"{"Id":"c1","State":{"Status":"created"},
        "Config":{"Labels":{"dev.mgctl.cluster":"demo","dev.mgctl.instance":"main"}},
        "HostConfig":{"RestartPolicy":{"Name":"no"}}}"#;

    #[tokio::test]
    async fn a_container_that_does_not_start_is_removed_unless_it_is_fenced() {
        for (found, is_removed) in [(CREATED, true), (CREATED_AND_FENCED, false)] {
            let inspect = ("GET /containers/mgctl-demo-main/json", found);
            let engine = stand_in::StandIn::start(vec![inspect, ("DELETE /containers/c1", "")]).await;
            let topology = demo("");
            engine.docker().start_machine(&topology, topology.main()).await.unwrap_err();
            let heard = engine.heard();
            assert!(heard.contains(&"POST /containers/c1/start".to_owned()), "{heard:?}");
            assert_eq!(heard.iter().any(|asked| asked.starts_with("DELETE")), is_removed, "{heard:?}");
        }
    }

    #[test]
    fn what_a_swarm_makes_says_so() {
        let swarm = "runtime: swarm\nports: { allow_public: true }";
        assert!(is_of_swarm(Some(&labels(&demo(swarm)))) && !is_of_swarm(Some(&labels(&demo("")))));
    }

    #[test]
    fn a_port_that_is_taken_is_named_with_its_key_and_its_owner() {
        let topology = demo("");
        let main = topology.main();
        assert_eq!(
            port_taken(&topology, main, "bolt", 7687, Some("container `other` (cluster `b`)")).to_string(),
            "error[MG019]: 127.0.0.1:7687 is in use by container `other` (cluster `b`)\n  \
             --> demo.yaml:4:3, Bolt of `main`\n\
             help: set instances.main.ports.bolt to a free port, or `ports.strategy: auto`"
        );
        assert_eq!(
            port_taken(&topology, main, "metrics", 9091, None).to_string(),
            "error[MG019]: 127.0.0.1:9091 is in use by a process outside Docker (ss -ltnp 'sport = :9091')\n  \
             --> demo.yaml:4:3, metrics of `main`\n\
             help: set instances.main.ports.metrics to a free port, or remove it"
        );
    }
}

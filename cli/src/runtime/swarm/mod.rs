//! Nodes as services of a swarm: the engines of several hosts, spoken to through a manager.
//!
//! ```text
//!             mgctl ── a manager's API ──► services, configs, secrets      (what should be)
//!               │                             │
//!               │ Bolt                        ▼
//!               ├────────► host a: one task = main,  volume      (what is, by the word of its host)
//!               └────────► host b: one task = r1,    volume ◄── overlay network ── by name
//! ```
//!
//! - A node is one service with one task at most, kept on the host where its volume is. The host is chosen once and
//!   kept in a config that stays as long as the volume: `down` and `up` find the data again.
//! - Others reach a node by its name, since each start gives it another address; mgctl reaches its Bolt on the host's
//!   own address, where it is published.
//! - Whether a machine runs is known from its host alone. Of a host that is not heard of nothing is: its machines are
//!   lost, which is neither running nor ended, and a failover asks for a word before it goes on.
//! - What is on another host only its own engine can do: images are loaded and volumes removed there, by hand.

mod hosts;
mod keep;
mod service;

pub use keep::Lock;

use super::docker::{self, Docker, Found, MANAGED, absent_is_none, foreign, gone, image, logs, owner_of};
use super::ports::Ports;
use crate::authority::{Authority, Certificate};
use crate::cluster::failover::UNSEEN_END;
use crate::cluster::{Action, Existing, Foreign, Machine, Runtime, Spec, container_name};
use crate::error::{CliError, Exit};
use crate::topology::{Container, Endpoint, Image, Instance, Topology};
use bollard::models::{LocalNodeState, Service, ServiceSpec, Task, TaskState};
use bollard::query_parameters::{
    ListServicesOptions, ListTasksOptions, RemoveVolumeOptions, UpdateServiceOptions,
};
use docker::engine::{CALL_TIME_MAX, answer, call, translate};
use futures_util::{Stream, StreamExt};
use hosts::Host;
use service::{ENDED, FENCED, Ground, Known, RUN, TOLD};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How often a manager is asked again while something is awaited.
const POLL: Duration = Duration::from_millis(100);

/// How long a swarm may look for a host that can take a task.
const PENDING_MAX: Duration = Duration::from_secs(5);

/// How long a host may take to start what it has.
const START_MAX: Duration = Duration::from_secs(120);

/// How long what is removed may still be in use: the tasks of a service end after it.
const IN_USE_MAX: Duration = Duration::from_secs(30);

/// How long a host may take to say whether something listens there.
const LISTEN_MAX: Duration = Duration::from_secs(2);

/// A swarm, as one of its managers knows it.
pub struct Swarm {
    docker: Docker,
    /// The id of the host that is spoken to.
    own: String,
    ports: Ports,
    /// Held while hosts are chosen, and while a running node is given another certificate.
    placing: Mutex<()>,
    /// Authorities that were read, by cluster; held while one is made.
    authorities: Mutex<BTreeMap<String, Arc<Authority>>>,
}

/// What a swarm has of a cluster.
struct Seen {
    hosts: Vec<Host>,
    /// With their tasks, by instance.
    services: BTreeMap<String, (Known, Vec<Task>)>,
}

impl Swarm {
    /// Finds the engine, which must manage a swarm. See [`Docker::connect`].
    pub async fn connect(host: Option<&str>, context: Option<&str>) -> Result<Swarm, CliError> {
        let docker = Docker::connect(host, context).await?;
        let described = docker.describe();
        Swarm::of(docker).await?.ok_or_else(|| {
            CliError::new(Exit::Engine, "the engine does not manage a swarm")
                .code("MG092")
                .thing(described)
                .help("begin a swarm: docker swarm init; or name one of its managers: --host")
        })
    }

    /// Returns the swarm that an engine manages, if it manages one.
    pub async fn of(docker: Docker) -> Result<Option<Swarm>, CliError> {
        let info = call("describe itself", docker.api.info()).await?.swarm.unwrap_or_default();
        let manages =
            info.local_node_state == Some(LocalNodeState::ACTIVE) && info.control_available == Some(true);
        let docker = docker.of_swarm();
        Ok(manages.then(|| Swarm {
            docker,
            own: info.node_id.unwrap_or_default(),
            ports: Ports::default(),
            placing: Mutex::new(()),
            authorities: Mutex::default(),
        }))
    }

    #[cfg(test)]
    fn at(docker: Docker) -> Swarm {
        Swarm {
            docker: docker.of_swarm(),
            own: "own".into(),
            ports: Ports::default(),
            placing: Mutex::new(()),
            authorities: Mutex::default(),
        }
    }

    /// Returns the clusters that it runs.
    pub async fn clusters(&self) -> Result<Vec<Found>, CliError> {
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        for service in self.services(&format!("{MANAGED}=true")).await? {
            let Some(known) = service::read(&service) else { continue };
            let entry = found.entry(known.cluster.clone()).or_insert(Found {
                cluster: known.cluster.clone(),
                running: 0,
                machines: 0,
                file: known.file.clone(),
            });
            entry.machines += 1;
        }
        for found in found.values_mut() {
            let seen = self.see(&found.cluster, None).await?;
            let machines = seen.services.values().map(|of| seen.machine(of, None));
            found.running = machines.filter(Machine::is_running).count();
        }
        Ok(found.into_values().collect())
    }

    /// Returns how its hosts are called, and which of them are heard of.
    pub async fn hosts(&self) -> Result<Vec<(String, bool)>, CliError> {
        let all = self.all_hosts().await?;
        Ok(all.iter().map(|host| (hosts::shown(&all, &host.id), host.is_ready)).collect())
    }

    /// Returns the built-in image, made when it is first asked for.
    pub async fn built_in(&self) -> Result<Arc<image::Image>, CliError> {
        self.docker.built_in().await
    }

    async fn all_hosts(&self) -> Result<Vec<Host>, CliError> {
        let nodes = call("list the hosts of its swarm", self.docker.api.list_nodes(None)).await?;
        Ok(nodes.iter().map(Host::of).collect())
    }

    async fn services(&self, label: &str) -> Result<Vec<Service>, CliError> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        let options = ListServicesOptions { filters: Some(filters), status: None };
        call("list its services", self.docker.api.list_services(Some(options))).await
    }

    async fn tasks_of(&self, services: Vec<String>) -> Result<Vec<Task>, CliError> {
        if services.is_empty() {
            return Ok(Vec::new());
        }
        let filters = HashMap::from([("service".to_owned(), services)]);
        let options = ListTasksOptions { filters: Some(filters) };
        call("list its tasks", self.docker.api.list_tasks(Some(options))).await
    }

    /// Returns the tasks of a node.
    async fn tasks(&self, cluster: &str, instance: &str) -> Result<Vec<Task>, CliError> {
        match self.own(cluster, instance).await? {
            Some((known, _, _)) => self.tasks_of(vec![known.id]).await,
            None => Ok(Vec::new()),
        }
    }

    /// Reads what there is of a cluster, or of one of its nodes.
    async fn see(&self, cluster: &str, only: Option<&str>) -> Result<Seen, CliError> {
        let label = format!("{}={cluster}", docker::CLUSTER);
        let (hosts, services) = tokio::try_join!(self.all_hosts(), self.services(&label))?;
        let known: Vec<Known> = services
            .iter()
            .filter_map(service::read)
            .filter(|k| k.cluster == cluster && only.is_none_or(|only| k.instance == only))
            .collect();
        let mut tasks: HashMap<String, Vec<Task>> = HashMap::new();
        for task in self.tasks_of(known.iter().map(|k| k.id.clone()).collect()).await? {
            tasks.entry(task.service_id.clone().unwrap_or_default()).or_default().push(task);
        }
        let mut seen = Seen { hosts, services: BTreeMap::new() };
        for mut known in known {
            let of = tasks.remove(&known.id).unwrap_or_default();
            // A swarm forgets the tasks of a host that it did not hear of; when the host is back, it is asked itself.
            let is_forgotten = !known.is_wanted && known.run == TOLD && !of.iter().any(service::may_run);
            if is_forgotten && seen.is_ready(&known.host) {
                known.may_listen = may_listen(seen.bolt(&known)).await;
            }
            seen.services.insert(known.instance.clone(), (known, of));
        }
        Ok(seen)
    }

    /// Returns the cluster's service of that name, its spec and its version, and refuses one that is not its own.
    async fn own(
        &self,
        cluster: &str,
        instance: &str,
    ) -> Result<Option<(Known, ServiceSpec, u64)>, CliError> {
        let name = container_name(cluster, instance);
        let doing = format!("inspect service `{name}`");
        let found = absent_is_none(self.docker.api.inspect_service(&name, None));
        let Some(found) = call(&doing, found).await? else { return Ok(None) };
        let known = service::read(&found).filter(|k| k.cluster == cluster && k.instance == instance);
        let version = found.version.and_then(|v| v.index).unwrap_or(0);
        let spec = found.spec.unwrap_or_default();
        match known {
            Some(known) => Ok(Some((known, spec, version))),
            None => Err(foreign("service", &name, &owner_of(spec.labels.as_ref(), None))),
        }
    }

    /// Changes a service, and returns what it is then.
    async fn update(
        &self,
        cluster: &str,
        instance: &str,
        change: impl Fn(&mut ServiceSpec),
    ) -> Result<Known, CliError> {
        let name = container_name(cluster, instance);
        let doing = format!("change service `{name}`");
        loop {
            let (_, mut spec, version) =
                self.own(cluster, instance).await?.ok_or_else(|| gone(cluster, instance))?;
            change(&mut spec);
            let options = UpdateServiceOptions {
                version: i32::try_from(version).unwrap_or(i32::MAX),
                ..UpdateServiceOptions::default()
            };
            let update = self.docker.api.update_service(&name, spec, options, None);
            match call(&doing, async { Ok(update.await) }).await? {
                Ok(_) => {
                    let found = self.own(cluster, instance).await?;
                    return found.map(|(known, _, _)| known).ok_or_else(|| gone(cluster, instance));
                }
                // Its manager wrote to it in between.
                Err(error) if answer(&error).is_some_and(|(_, m)| m.contains("out of sequence")) => {}
                Err(error) => return Err(translate(&doing, &error)),
            }
        }
    }

    /// Chooses the host of a node that has none yet, and keeps it.
    async fn choose_host(&self, topology: &Topology, instance: &Instance) -> Result<String, CliError> {
        let _one_at_a_time = self.placing.lock().await;
        let (places, _) = self.kept(&topology.name).await?;
        let volume = instance.volume().expect("the rules of a swarm refuse folders");
        let all = self.all_hosts().await?;
        if let Some(place) = places.get(volume) {
            return Ok(format!("on host {}", hosts::shown(&all, &place.host)));
        }
        let kept = places.into_values().map(|place| (place.instance, place.host)).collect();
        let host = hosts::place(topology, &all, &kept)?.remove(&instance.name).unwrap_or_default();
        self.keep_place(topology, instance, &host).await?;
        Ok(format!("on host {}", hosts::shown(&all, &host)))
    }

    async fn create_machine(&self, topology: &Topology, instance: &Instance) -> Result<String, CliError> {
        let name = container_name(&topology.name, &instance.name);
        let (places, _) = self.kept(&topology.name).await?;
        let place = instance.volume().and_then(|v| places.get(v)).ok_or_else(|| {
            CliError::new(Exit::NotFound, format!("on which host `{}` is to be is not kept", instance.name))
                .code("MG065")
                .help("`mgctl up` chooses one")
        })?;
        let all = self.all_hosts().await?;
        let host = all.iter().find(|h| h.id == place.host).ok_or_else(|| {
            CliError::new(Exit::Engine, format!("host `{}` is not in the swarm any more", place.host))
                .code("MG095")
                .thing(format!("`{}` of cluster `{}`, whose data are there", instance.name, topology.name))
                .help("let the host join again as it was")
                .help(format!(
                    "or give its data up, and have another host chosen: docker config rm {}",
                    place.config
                ))
                .help(format!(
                    "before that, on the other host: docker volume rm {}; one that is left there from before would be its data again",
                    instance.volume().unwrap_or_default()
                ))
        })?;
        let taken = self.taken_ports().await?;
        let held = |port: u16| taken.contains_key(&port);
        let port = self.ports.choose(topology, instance, &held);
        for (key, port) in port.map(|p| ("bolt", p)).into_iter().chain(more_ports(instance)) {
            if let Some(owner) = taken.get(&port) {
                return Err(docker::port_taken(topology, instance, key, port, Some(owner)));
            }
        }
        let network = self.docker.network_of(topology).await?;
        let (network, _) = network.ok_or_else(|| gone(&topology.name, "its network"))?;
        let image = self.image_name(&instance.image).await?;
        let is_ours =
            instance.image == Image::BuiltIn || image.starts_with(&format!("{}:", image::REPOSITORY));
        let ground = Ground {
            image: &image,
            is_ours,
            network: &network,
            host: &host.id,
            address: &host.address,
            bolt: port,
        };
        let spec = service::spec(topology, instance, &ground);
        match call(&format!("create service `{name}`"), self.docker.api.create_service(spec, None)).await {
            Ok(_) => Ok(format!("on host {}", hosts::shown(&all, &host.id))),
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

    /// The image as hosts find it: one that was loaded by its id, which no registry is asked for.
    async fn image_name(&self, image: &Image) -> Result<String, CliError> {
        Ok(match image {
            Image::BuiltIn => {
                let built_in = self.built_in().await?;
                match self.docker.has_image(&built_in.id).await? {
                    true => built_in.id.clone(),
                    // An engine that stores images in another way calls this one by another id.
                    false => built_in.tag.clone(),
                }
            }
            Image::Named(name) => name.clone(),
        })
    }

    /// The ports that services of the swarm publish, on whatever host, and whose they are.
    async fn taken_ports(&self) -> Result<BTreeMap<u16, String>, CliError> {
        let mut taken = BTreeMap::new();
        let all =
            call("list its services", self.docker.api.list_services(None::<ListServicesOptions>)).await?;
        for spec in all.into_iter().filter_map(|s| s.spec) {
            let owner = format!("service `{}`", spec.name.clone().unwrap_or_default());
            let ports = spec.endpoint_spec.and_then(|e| e.ports).unwrap_or_default();
            for port in ports.iter().filter_map(|p| u16::try_from(p.published_port?).ok()) {
                taken.insert(port, owner.clone());
            }
        }
        Ok(taken)
    }

    async fn start_machine(&self, topology: &Topology, name: &str) -> Result<String, CliError> {
        let before = self.tasks(&topology.name, name).await?;
        self.update(&topology.name, name, |spec| {
            spec.mode = Some(service::replicas(1));
            label(spec, RUN, TOLD);
        })
        .await?;
        self.await_running(topology, name, &before, None).await
    }

    /// Waits until a task of a node runs that is not among those of before, or one of them still does. With a `secret`
    /// only a new one that was given it will do.
    async fn await_running(
        &self,
        topology: &Topology,
        name: &str,
        before: &[Task],
        secret: Option<&str>,
    ) -> Result<String, CliError> {
        let cluster = &topology.name;
        let began = Instant::now();
        let is_new = |task: &Task| before.iter().all(|old| old.id != task.id);
        loop {
            let seen = self.see(cluster, Some(name)).await?;
            let (known, tasks) = seen.services.get(name).ok_or_else(|| gone(cluster, name))?;
            let host = hosts::shown(&seen.hosts, &known.host);
            // What its managers last heard of a host says nothing of what runs there.
            if !seen.is_ready(&known.host) {
                return Err(not_reached(cluster, name, &host));
            }
            if service::has_come(tasks, before, secret) {
                return Ok(format!("running on {host}"));
            }
            let fresh: Vec<Task> = tasks.iter().filter(|t| is_new(t)).cloned().collect();
            let last = service::newest(&fresh);
            let state = last.map_or(TaskState::NEW, service::state_of);
            let why = last.and_then(|t| t.status.as_ref()?.err.clone()).unwrap_or_default();
            if matches!(state, TaskState::FAILED | TaskState::REJECTED | TaskState::COMPLETE) {
                if state == TaskState::REJECTED {
                    // It never began, and would not the next time.
                    self.update(cluster, name, |spec| spec.mode = Some(service::replicas(0))).await?;
                }
                return Err(did_not_start(topology, name, known, &host, &why));
            }
            let is_stuck = state <= TaskState::PENDING && began.elapsed() > PENDING_MAX && !why.is_empty();
            // A named image comes from a registry first.
            let time_max = if known.image.starts_with("sha256:") { START_MAX } else { docker::PULL_TIME_MAX };
            // The old one ends first.
            let grace = known.spec.as_ref().map_or(Container::STOP_GRACE, Spec::stop_grace);
            let time_max = if secret.is_some() { time_max + grace } else { time_max };
            if is_stuck || began.elapsed() > time_max {
                let waited = began.elapsed().as_secs();
                return Err(CliError::new(
                    Exit::TimedOut,
                    format!("`{name}` does not run on host `{host}` after {waited}s: it is {state}"),
                )
                .code("MG076")
                .thing(format!("cluster `{cluster}`"))
                .note(if why.is_empty() { "the host says nothing of why".to_owned() } else { why })
                .help(format!(
                    "see what its swarm says: docker service ps --no-trunc {}",
                    container_name(cluster, name)
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Tells a service to run nothing, and waits until its host says that it does not.
    async fn end(&self, cluster: &str, name: &str, is_fence: bool) -> Result<String, CliError> {
        let Some((known, _, _)) = self.own(cluster, name).await? else { return Ok("is gone".into()) };
        let grace = known.spec.as_ref().map_or(Container::STOP_GRACE, Spec::stop_grace);
        let may_run = self.tasks_of(vec![known.id]).await?.iter().any(service::may_run);
        self.update(cluster, name, |spec| {
            service::tell_to_end(spec, may_run);
            if is_fence {
                label(spec, FENCED, "true");
            }
        })
        .await?;
        let began = Instant::now();
        loop {
            let seen = self.see(cluster, Some(name)).await?;
            let Some((known, tasks)) = seen.services.get(name) else { return Ok("is gone".into()) };
            let host = hosts::shown(&seen.hosts, &known.host);
            let is_ready = seen.is_ready(&known.host);
            if service::has_ended(known, tasks, is_ready) {
                if known.run == TOLD {
                    self.update(cluster, name, |spec| label(spec, RUN, ENDED)).await?;
                }
                return Ok(if is_fence { "ended" } else { "stopped" }.into());
            }
            // Whoever took the host out of the swarm has said what there is to say of it, but to a failover.
            if !is_fence && seen.hosts.iter().all(|h| h.id != known.host) {
                return Ok(format!("its host {host} is not in the swarm any more"));
            }
            if !is_ready || began.elapsed() > grace + CALL_TIME_MAX {
                return Err(unseen_end(cluster, name, &host, is_ready, is_fence));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sees that a node is not run again, and waits for nothing: its host is not heard of.
    async fn keep_down(&self, cluster: &str, name: &str) -> Result<String, CliError> {
        let may_run = self.tasks(cluster, name).await?.iter().any(service::may_run);
        self.update(cluster, name, |spec| {
            service::tell_to_end(spec, may_run);
            label(spec, FENCED, "true");
        })
        .await?;
        Ok("is not run again by itself; that it has ended nobody saw".into())
    }

    async fn unfence(&self, cluster: &str, name: &str) -> Result<String, CliError> {
        self.update(cluster, name, |spec| {
            if let Some(labels) = &mut spec.labels {
                labels.remove(FENCED);
            }
        })
        .await?;
        Ok("starts by itself again".into())
    }

    async fn remove_machine(&self, cluster: &str, instance: &str) -> Result<String, CliError> {
        let name = container_name(cluster, instance);
        if self.own(cluster, instance).await?.is_some() {
            call(&format!("remove service `{name}`"), absent_is_none(self.docker.api.delete_service(&name)))
                .await?;
        }
        self.remove_leaves(cluster, instance, None).await?;
        Ok("removed".into())
    }

    /// Removes a volume of this host, and forgets where it was. One of another host only that host can remove.
    async fn remove_volume(&self, topology: &Topology, volume: &str) -> Result<String, CliError> {
        let cluster = &topology.name;
        if volume == topology.authority_volume() {
            self.remove_authority(cluster, volume).await?;
            return Ok("removed".into());
        }
        let (places, _) = self.kept(cluster).await?;
        let Some(place) = places.get(volume) else { return Ok("is gone".into()) };
        if place.host != self.own {
            let all = self.all_hosts().await?;
            let host = hosts::shown(&all, &place.host);
            return Err(CliError::new(
                Exit::Degraded,
                format!("volume `{volume}` is on host `{host}`, and stays there"),
            )
            .code("MG097")
            .thing(format!("data of `{}`, cluster `{cluster}`", place.instance))
            .note("a manager of a swarm removes no volumes of other hosts")
            .help(format!("there: docker volume rm {volume}"))
            .help(format!(
                "then here, so that `up` does not look for it: docker config rm {}",
                place.config
            )));
        }
        let doing = format!("remove volume `{volume}`");
        let docker = &self.docker;
        patiently(&doing, async || docker.api.remove_volume(volume, None::<RemoveVolumeOptions>).await)
            .await?;
        self.remove_config(&place.config).await?;
        Ok("removed".into())
    }

    async fn remove_network(&self, topology: &Topology) -> Result<String, CliError> {
        let Some((id, network)) = self.docker.network(&topology.name, None).await? else {
            return Ok("is gone".into());
        };
        let docker = &self.docker;
        patiently(&format!("remove network `{}`", network.name), async || {
            docker.api.remove_network(&id).await
        })
        .await?;
        Ok("removed".into())
    }

    /// Returns the lines that a node logs, on whatever host it is: the last `tail`, and with `follow` those that come.
    pub fn log_lines(
        &self,
        cluster: &str,
        instance: &str,
        follow: bool,
        tail: Option<u64>,
    ) -> impl Stream<Item = Result<String, CliError>> + use<'_> {
        let name = container_name(cluster, instance);
        let doing = format!("read the log of service `{name}`");
        let options = logs::options(follow, tail);
        self.docker.api.service_logs(&name, Some(options)).map(move |said| logs::line(&doing, said))
    }
}

/// Sets a label of a service.
fn label(spec: &mut ServiceSpec, name: &str, value: &str) {
    spec.labels.get_or_insert_default().insert(name.to_owned(), value.to_owned());
}

/// The ports beside Bolt that a node publishes, by their keys.
fn more_ports(instance: &Instance) -> impl Iterator<Item = (&'static str, u16)> {
    instance.container.ports.published().map(|(key, _, port)| (key, port))
}

/// Removes what may be in use for a while: what used it ends after it was told to.
async fn patiently<T>(
    doing: &str,
    remove: impl AsyncFn() -> Result<T, bollard::errors::Error>,
) -> Result<(), CliError> {
    let until = Instant::now() + IN_USE_MAX;
    loop {
        match call(doing, async { Ok(absent_is_none(remove()).await) }).await? {
            Ok(_) => return Ok(()),
            Err(error) => {
                let is_in_use = answer(&error)
                    .is_some_and(|(_, m)| m.contains("in use") || m.contains("active endpoints"));
                if !is_in_use || Instant::now() > until {
                    return Err(translate(doing, &error));
                }
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The error for a node whose host is not heard of.
fn not_reached(cluster: &str, name: &str, host: &str) -> CliError {
    CliError::new(Exit::Degraded, format!("`{name}` is to run on host `{host}`, which is not reached"))
        .code("MG095")
        .thing(format!("cluster `{cluster}`"))
        .note("it starts by itself when the host is back")
        .help("bring the host back, then: mgctl up")
}

/// The error for a node that its host could not start.
fn did_not_start(topology: &Topology, name: &str, known: &Known, host: &str, why: &str) -> CliError {
    let cluster = &topology.name;
    if why.contains("No such image") {
        let built_in = topology.instance(name).is_none_or(|i| i.image == Image::BuiltIn);
        let error = CliError::new(Exit::Engine, format!("host `{host}` does not have the image of `{name}`"))
            .code("MG062")
            .thing(format!("{}, cluster `{cluster}`", known.image));
        return match built_in {
            true => error
                .note("a swarm hands no images on, and the built-in one is in no registry")
                .help("load it there: mgctl image save - | ssh HOST docker load; then: mgctl up"),
            false => error.help(format!("bring it there: docker pull {}; then: mgctl up", known.image)),
        };
    }
    if let (Some(instance), true) = (
        topology.instance(name),
        why.contains("address already in use") || why.contains("port is already allocated"),
    ) && let Some(port) = known.bolt
    {
        let owner = format!("something else on host `{host}`");
        return docker::port_taken(topology, instance, "bolt", port, Some(&owner));
    }
    let why = if why.is_empty() { "it ended, and its host does not say why" } else { why };
    CliError::new(Exit::Degraded, format!("`{name}` does not start on host `{host}`: {why}"))
        .code("MG070")
        .thing(format!("cluster `{cluster}`"))
        .help(format!("its last lines: mgctl logs {name}"))
}

/// The error for a node that was told to end, and of which nobody knows that it did.
fn unseen_end(cluster: &str, name: &str, host: &str, is_ready: bool, is_fence: bool) -> CliError {
    let why = match is_ready {
        true => "the host was told, and does not say that it did",
        false => "nobody hears of the host: what runs there may run on",
    };
    let error =
        CliError::new(Exit::Degraded, format!("whether `{name}` has ended on host `{host}` is not known"))
            .code(UNSEEN_END)
            .thing(format!("cluster `{cluster}`"))
            .note(why)
            .note("it is told to run no more, and the host hears of it when it is back");
    match is_fence {
        true => error,
        false => error.help(format!(
            "bring the host back; if it never comes: docker node rm --force {host}; then run this again"
        )),
    }
}

/// Whether something may still listen there. Only a host that is there refuses a connection.
async fn may_listen(bolt: Option<Endpoint>) -> bool {
    let Some(bolt) = bolt else { return false };
    let connect = tokio::net::TcpStream::connect((bolt.host.as_str(), bolt.port));
    match tokio::time::timeout(LISTEN_MAX, connect).await {
        Ok(Err(error)) => error.kind() != std::io::ErrorKind::ConnectionRefused,
        Ok(Ok(_)) | Err(_) => true,
    }
}

impl Seen {
    /// Where the Bolt of a node is, on its host.
    fn bolt(&self, known: &Known) -> Option<Endpoint> {
        let host = self.hosts.iter().find(|h| h.id == known.host)?;
        Some(Endpoint { host: host.address.clone(), port: known.bolt? })
    }

    fn is_ready(&self, id: &str) -> bool {
        self.hosts.iter().any(|h| h.id == id && h.is_ready)
    }

    /// What is known of a machine; `image` is what its image stands for today.
    fn machine(&self, (known, tasks): &(Known, Vec<Task>), image: Option<&[String]>) -> Machine {
        let host_name = hosts::shown(&self.hosts, &known.host);
        let state = service::machine_state(known, tasks, &host_name, self.is_ready(&known.host));
        let task = service::running(tasks);
        let started = task.and_then(|t| docker::seconds(t.status.as_ref()?.timestamp.as_deref()?));
        Machine {
            id: task.and_then(|t| t.id.clone()).unwrap_or_else(|| known.id.clone()),
            name: format!("service {} on host {host_name}", container_name(&known.cluster, &known.instance)),
            state,
            spec: known.spec.clone(),
            // Each start gives it another; the others go by its name.
            address: None,
            bolt: self.bolt(known),
            image_is_current: image.is_none_or(|names| names.contains(&known.image)),
            started,
            is_fenced: known.is_fenced,
            unhealthy: None,
            host: Some(host_name),
        }
    }
}

impl Swarm {
    /// Returns the certificates of these services' nodes.
    async fn certificates_of(
        &self,
        cluster: &str,
        services: &BTreeMap<String, (Known, Vec<Task>)>,
    ) -> Result<BTreeMap<String, Certificate>, CliError> {
        let given = self.certificates_given(cluster).await?;
        let of = |(name, (known, _)): (&String, &(Known, Vec<Task>))| {
            Some((name.clone(), known.secrets.iter().find_map(|s| given.get(s).cloned())?))
        };
        Ok(services.iter().filter_map(of).collect())
    }
}

impl Runtime for Swarm {
    fn describe(&self) -> String {
        format!("swarm by {}", self.docker.describe())
    }

    async fn observe(&self, cluster: &str, topology: Option<&Topology>) -> Result<Existing, CliError> {
        let seen = self.see(cluster, None).await?;
        let (places, has_authority) = self.kept(cluster).await?;
        let said = || seen.services.values().find_map(|(k, _)| k.spec.as_ref()?.external_network());
        let external = match topology {
            Some(topology) => topology.network.is_external.then_some(topology.network.name.as_str()),
            None => said(),
        };
        let network = self.docker.network(cluster, external).await?.map(|(_, n)| n);
        let mut existing = Existing {
            network,
            volumes: places.keys().cloned().collect(),
            volumes_elsewhere: places
                .iter()
                .filter(|(_, place)| place.host != self.own)
                .map(|(volume, place)| (volume.clone(), hosts::shown(&seen.hosts, &place.host)))
                .collect(),
            has_authority,
            ..Existing::default()
        };
        if has_authority {
            // It goes with the data.
            existing.volumes.insert(format!("mgctl-{cluster}-ca"));
        }
        let mut current: HashMap<String, Vec<String>> = HashMap::new();
        if let Some(topology) = topology {
            let (images, ids) = self.docker.images_of(topology).await?;
            existing.images = images;
            for image in topology.instances.iter().map(|i| &i.image).collect::<Vec<_>>() {
                let name = image.to_string();
                let id = ids.get(&name).cloned();
                current
                    .entry(name)
                    .or_insert(id.into_iter().chain([self.image_name(image).await?]).collect());
            }
        }
        for (name, of) in &seen.services {
            let image = topology
                .and_then(|t| t.instance(name))
                .and_then(|i| current.get(&i.image.to_string()))
                .map(Vec::as_slice);
            existing.machines.insert(name.clone(), seen.machine(of, image));
        }
        if let Some(topology) = topology {
            if topology.cluster_tls {
                existing.certificates = self.certificates_of(cluster, &seen.services).await?;
            }
            existing.foreign = self.docker.foreign(topology, &existing).await?;
            existing.foreign.extend(self.foreign_services(topology, &existing).await?);
            let kept = places.into_values().map(|place| (place.instance, place.host)).collect();
            existing.notes = hosts::notes(topology, &seen.hosts, &kept);
        }
        Ok(existing)
    }

    async fn certificates(&self, cluster: &str) -> Result<BTreeMap<String, Certificate>, CliError> {
        let seen = self.see(cluster, None).await?;
        self.certificates_of(cluster, &seen.services).await
    }

    async fn machine(&self, cluster: &str, instance: &str) -> Result<Option<Machine>, CliError> {
        let seen = self.see(cluster, Some(instance)).await?;
        Ok(seen.services.get(instance).map(|of| seen.machine(of, None)))
    }

    async fn carry_out(&self, topology: &Topology, action: &Action) -> Result<String, CliError> {
        let cluster = &topology.name;
        let instance = |name: &str| topology.instance(name).ok_or_else(|| gone(cluster, name));
        match action {
            Action::LoadImage(_) => {
                let done = self.docker.carry_out(topology, action).await?;
                Ok(format!("{done} on this host"))
            }
            Action::CreateNetwork(_) => self.docker.carry_out(topology, action).await,
            Action::CreateVolume(name) => self.choose_host(topology, instance(name)?).await,
            Action::CreateAuthority => {
                self.authority(topology).await?;
                Ok("kept by the managers".into())
            }
            Action::IssueCertificate(name) => self.issue_certificate(topology, name).await,
            Action::CreateMachine(name) => self.create_machine(topology, instance(name)?).await,
            Action::StartMachine(name) => self.start_machine(topology, name).await,
            Action::StopMachine(name) => self.end(cluster, name, false).await,
            Action::FenceMachine(name) => self.end(cluster, name, true).await,
            Action::KeepDown(name) => self.keep_down(cluster, name).await,
            Action::UnfenceMachine(name) => self.unfence(cluster, name).await,
            Action::RemoveMachine(name) => self.remove_machine(cluster, name).await,
            Action::RemoveVolume(name) => self.remove_volume(topology, name).await,
            Action::RemoveNetwork => self.remove_network(topology).await,
            Action::SaveData { .. }
            | Action::UnpauseMachine(_)
            | Action::KillMachine(_)
            | Action::PauseMachine(_)
            | Action::DisconnectMachine(_)
            | Action::ConnectMachine(_) => {
                Err(CliError::new(Exit::Usage, format!("a manager of a swarm cannot {action}"))
                    .code("MG092")
                    .thing(format!("cluster `{cluster}`, runtime `swarm`"))
                    .help("do it on the host where the node runs"))
            }
            other => unreachable!("`{other}` is for nodes, not for machines"),
        }
    }

    async fn last_lines(&self, cluster: &str, instance: &str, lines: usize) -> Vec<String> {
        // They only illustrate another error: without them it is told all the same.
        let until = Instant::now() + Duration::from_secs(3);
        let mut found = Vec::new();
        let mut stream = std::pin::pin!(self.log_lines(cluster, instance, false, Some(lines as u64)));
        while let Ok(Some(line)) = tokio::time::timeout_at(until, stream.next()).await {
            found.extend(line.ok());
        }
        found
    }
}

impl Swarm {
    /// Returns the services that have a name that the cluster needs and are not its own.
    async fn foreign_services(
        &self,
        topology: &Topology,
        existing: &Existing,
    ) -> Result<Vec<Foreign>, CliError> {
        let names: BTreeSet<String> = topology
            .instances
            .iter()
            .filter(|i| !existing.machines.contains_key(&i.name))
            .map(|i| container_name(&topology.name, &i.name))
            .collect();
        let all =
            call("list its services", self.docker.api.list_services(None::<ListServicesOptions>)).await?;
        let found = all.into_iter().filter_map(|s| s.spec).filter_map(|spec| {
            let name = spec.name.filter(|name| names.contains(name))?;
            Some(Foreign { kind: "service", name, owner: owner_of(spec.labels.as_ref(), None) })
        });
        Ok(found.collect())
    }
}

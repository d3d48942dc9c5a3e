//! What runs machines: containers of an engine, processes of this system, services of a swarm, or someone else.
//!
//! The first three do the same steps and keep the same promises; which one it is, the rest of mgctl does not know. The
//! last does none of them: see [`external`].

pub mod docker;
pub mod external;
mod ports;
pub mod process;
pub mod swarm;

use crate::authority::Certificate;
use crate::cluster::{Action, Existing, Machine, Runtime};
use crate::error::CliError;
use crate::topology::{Image, Topology};
use docker::Docker;
use external::External;
use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};
use process::Processes;
use std::collections::BTreeMap;
use std::time::Duration;
use swarm::Swarm;

/// One of the four.
pub enum Any {
    /// Containers of an engine.
    Docker(Box<Docker>),
    /// Processes of this system.
    Process(Processes),
    /// Services of a swarm.
    Swarm(Box<Swarm>),
    /// Someone else.
    External(External),
}

/// A claim on a cluster; to be given back with [`Any::unlock`].
#[must_use = "a claim that is not given back is in the way of others"]
pub enum Lock {
    Docker(docker::Lock),
    Process(process::Lock),
    Swarm(swarm::Lock),
}

impl Any {
    /// Claims a cluster, so that no other mgctl changes it, for at most `time_max`.
    pub async fn lock(&self, topology: &Topology, time_max: Duration) -> Result<Lock, CliError> {
        match self {
            Any::Swarm(swarm) => swarm.lock(&topology.name, time_max).await.map(Lock::Swarm),
            Any::Process(processes) => processes.lock(&topology.name).map(Lock::Process),
            Any::External(_) => Processes::of_this_user()?.lock(&topology.name).map(Lock::Process),
            Any::Docker(docker) => {
                // A claim is a container, and a container is of an image; any will do.
                let image = match &topology.main().image {
                    Image::BuiltIn => {
                        docker.load_built_in().await?;
                        docker.built_in().await?.tag.clone()
                    }
                    Image::Named(name) => {
                        let observed = docker.observe(&topology.name, Some(topology)).await?;
                        if !observed.images.contains(name) {
                            docker
                                .carry_out(topology, &Action::LoadImage(Image::Named(name.clone())))
                                .await?;
                        }
                        name.clone()
                    }
                };
                docker.lock(&topology.name, &image, time_max).await.map(Lock::Docker)
            }
        }
    }

    /// Returns a stream that says something whenever something may have changed. Of others than containers it says
    /// nothing.
    pub fn changes(&self, cluster: &str) -> LocalBoxStream<'_, ()> {
        match self {
            Any::Docker(docker) => docker.changes(cluster).chain(stream::pending()).boxed_local(),
            Any::Process(_) | Any::Swarm(_) | Any::External(_) => stream::pending().boxed_local(),
        }
    }

    /// Gives a claim back.
    pub async fn unlock(&self, lock: Lock) -> Result<(), CliError> {
        match (self, lock) {
            (Any::Docker(docker), Lock::Docker(lock)) => docker.unlock(lock).await,
            (Any::Swarm(swarm), Lock::Swarm(lock)) => swarm.unlock(lock).await,
            (_, lock) => {
                drop(lock);
                Ok(())
            }
        }
    }
}

impl Runtime for Any {
    fn describe(&self) -> String {
        match self {
            Any::Docker(it) => it.describe(),
            Any::Process(it) => it.describe(),
            Any::Swarm(it) => it.describe(),
            Any::External(it) => it.describe(),
        }
    }

    async fn observe(&self, cluster: &str, topology: Option<&Topology>) -> Result<Existing, CliError> {
        match self {
            Any::Docker(it) => it.observe(cluster, topology).await,
            Any::Process(it) => it.observe(cluster, topology).await,
            Any::Swarm(it) => it.observe(cluster, topology).await,
            Any::External(it) => it.observe(cluster, topology).await,
        }
    }

    async fn certificates(&self, cluster: &str) -> Result<BTreeMap<String, Certificate>, CliError> {
        match self {
            Any::Docker(it) => it.certificates(cluster).await,
            Any::Process(it) => it.certificates(cluster).await,
            Any::Swarm(it) => it.certificates(cluster).await,
            Any::External(it) => it.certificates(cluster).await,
        }
    }

    async fn machine(&self, cluster: &str, instance: &str) -> Result<Option<Machine>, CliError> {
        match self {
            Any::Docker(it) => it.machine(cluster, instance).await,
            Any::Process(it) => it.machine(cluster, instance).await,
            Any::Swarm(it) => it.machine(cluster, instance).await,
            Any::External(it) => it.machine(cluster, instance).await,
        }
    }

    async fn carry_out(&self, topology: &Topology, action: &Action) -> Result<String, CliError> {
        match self {
            Any::Docker(it) => it.carry_out(topology, action).await,
            Any::Process(it) => it.carry_out(topology, action).await,
            Any::Swarm(it) => it.carry_out(topology, action).await,
            Any::External(it) => it.carry_out(topology, action).await,
        }
    }

    async fn last_lines(&self, cluster: &str, instance: &str, lines: usize) -> Vec<String> {
        match self {
            Any::Docker(it) => it.last_lines(cluster, instance, lines).await,
            Any::Process(it) => it.last_lines(cluster, instance, lines).await,
            Any::Swarm(it) => it.last_lines(cluster, instance, lines).await,
            Any::External(it) => it.last_lines(cluster, instance, lines).await,
        }
    }
}

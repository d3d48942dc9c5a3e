//! One mgctl at a time for each cluster: a container that is never started.
//!
//! Its name is the claim: an engine gives a container name once, also to callers on two machines. It says
//! who holds it and until when at most, so that a holder that died is not waited for.

use super::engine::{answer, call, translate};
use super::{CLUSTER, Docker, MANAGED, absent_is_none};
use crate::cluster::container_name;
use crate::error::{CliError, Exit};
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions};
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const EXPIRES: &str = "dev.mgctl.lock.expires";
const HOLDER: &str = "dev.mgctl.lock.holder";

/// A claim on a cluster. Give it back with [`Docker::unlock`].
#[derive(Debug)]
#[must_use = "a lock that is not given back is in the way until it expires"]
pub struct Lock {
    id: String,
}

impl Docker {
    /// Claims a cluster for at most `time_max`. `image` is any image that is there.
    pub async fn lock(&self, cluster: &str, image: &str, time_max: Duration) -> Result<Lock, CliError> {
        let name = container_name(cluster, "lock");
        // The second attempt follows the removal of a claim that nobody holds any more.
        for attempt in 0..2 {
            let mut labels = labels(cluster, time_max);
            labels.insert(MANAGED.to_owned(), "true".to_owned());
            let body = ContainerCreateBody {
                image: Some(image.to_owned()),
                labels: Some(labels),
                network_disabled: Some(true),
                ..ContainerCreateBody::default()
            };
            let options =
                CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
            let made =
                call("claim the cluster", async { Ok(self.api.create_container(Some(options), body).await) });
            let error = match made.await? {
                Ok(made) => return Ok(Lock { id: made.id }),
                Err(error) => error,
            };
            if answer(&error).is_none_or(|(status, _)| status != 409) {
                return Err(translate(&format!("create container `{name}`"), &error));
            }
            let Some(held) = self.inspect(&name).await? else { continue };
            let labels = held.config.and_then(|c| c.labels).unwrap_or_default();
            let Some((holder, is_over)) = holder(&labels) else {
                return Err(super::foreign("container", &name, &super::owner_of(Some(&labels), None)));
            };
            if !is_over || attempt > 0 {
                let thing = format!("container `{name}`");
                return Err(self::held(cluster, &thing, &holder, &format!("docker rm {name}")));
            }
            let id = held.id.unwrap_or_default();
            call(
                "remove a claim that is over",
                absent_is_none(self.api.remove_container(&id, Some(with_volumes()))),
            )
            .await?;
        }
        Err(contended(cluster))
    }

    /// Gives a claim back.
    pub async fn unlock(&self, lock: Lock) -> Result<(), CliError> {
        call(
            "give the cluster back",
            absent_is_none(self.api.remove_container(&lock.id, Some(with_volumes()))),
        )
        .await
        .map(|_| ())
    }
}

/// The labels of a claim.
pub(in crate::runtime) fn labels(cluster: &str, time_max: Duration) -> HashMap<String, String> {
    HashMap::from([
        (CLUSTER.to_owned(), cluster.to_owned()),
        (EXPIRES.to_owned(), (now() + time_max.as_secs()).to_string()),
        (HOLDER.to_owned(), me()),
    ])
}

/// Who holds a claim, by its labels, and whether it is over; `None` where it is no claim.
pub(in crate::runtime) fn holder(labels: &HashMap<String, String>) -> Option<(String, bool)> {
    let (expires, holder) = (labels.get(EXPIRES)?, labels.get(HOLDER)?);
    let is_over = expires.parse::<u64>().is_ok_and(|at| at < now()) || is_dead(holder);
    Some((holder.clone(), is_over))
}

/// The error for a claim that another has; `thing` is what stands for it, `remove` what ends it.
pub(in crate::runtime) fn held(cluster: &str, thing: &str, holder: &str, remove: &str) -> CliError {
    CliError::new(Exit::Conflict, format!("another mgctl is at work on cluster `{cluster}`"))
        .code("MG090")
        .thing(format!("{thing}, held by {holder}"))
        .help(format!("wait for it; if it is gone, the claim ends by itself, or now: {remove}"))
}

/// The error for a claim that goes from hand to hand.
pub(in crate::runtime) fn contended(cluster: &str) -> CliError {
    CliError::new(Exit::Conflict, format!("several mgctl claim cluster `{cluster}` at once")).code("MG090")
}

/// An image may declare volumes, and then even a container that never runs has them.
fn with_volumes() -> RemoveContainerOptions {
    RemoveContainerOptions { v: true, ..RemoveContainerOptions::default() }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{} {}", name.trim(), boot.trim())
}

fn me() -> String {
    format!("process {} on {}", std::process::id(), host())
}

/// Returns true if the holder ran on this machine and does not any more.
fn is_dead(holder: &str) -> bool {
    let Some((process, machine)) = holder.strip_prefix("process ").and_then(|h| h.split_once(" on ")) else {
        return false;
    };
    // Two containers may share a kernel and not its processes: the name must be the same too.
    cfg!(target_os = "linux")
        && !machine.trim().is_empty()
        && machine == host()
        && process.parse::<u32>().is_ok_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
}

//! How a node's container is kept, in the words of the engine.

use super::BOLT;
use crate::topology::{Container, Data, Healthcheck, Instance, Logging, Mounted, Restart, Topology};
use bollard::models::{
    Health, HealthConfig, HealthStatusEnum, HostConfigLogConfig, Mount, MountType, PortBinding,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use std::collections::HashMap;
use std::time::Duration;

/// Where Memgraph's image has its log files and its settings.
const LOG: &str = "/var/log/memgraph";
const ETC: &str = "/etc/memgraph";

/// Returns what is put over folders of the image: the data at `data`, and what the file asks for besides.
pub(in crate::runtime) fn mounts(instance: &Instance, data: &str) -> Vec<Mount> {
    let mount = |typ, source: &str, target: &str| Mount {
        target: Some(target.to_owned()),
        source: Some(source.to_owned()),
        typ: Some(typ),
        ..Mount::default()
    };
    let mut mounts = vec![match &instance.data {
        Data::Volume(name) => mount(MountType::VOLUME, name, data),
        Data::Folder(path) => mount(MountType::BIND, path, data),
    }];
    let over = &instance.container.over;
    for (what, target, is_read) in [(&over.log, LOG, false), (&over.etc, ETC, true)] {
        match what {
            Mounted::Nothing => {}
            Mounted::Tmpfs => mounts.push(Mount {
                target: Some(target.to_owned()),
                typ: Some(MountType::TMPFS),
                ..Mount::default()
            }),
            Mounted::Folder(path) => mounts
                .push(Mount { read_only: is_read.then_some(true), ..mount(MountType::BIND, path, target) }),
        }
    }
    mounts
}

/// Returns the environment. Whoever may ask the engine sees it, secrets too.
pub(in crate::runtime) fn environment(instance: &Instance) -> Vec<String> {
    let plain = instance.env.iter().map(|(name, value)| format!("{name}={value}"));
    let secret = instance.secrets.iter().map(|(name, value)| format!("{name}={}", value.expose()));
    plain.chain(secret).collect()
}

/// Returns the ports of the container that are published, and where.
pub(super) fn bindings(
    topology: &Topology,
    instance: &Instance,
    bolt: Option<u16>,
) -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = |port: u16| {
        let binding =
            PortBinding { host_ip: Some(topology.bind.to_string()), host_port: Some(port.to_string()) };
        Some(vec![binding])
    };
    let more = instance.container.ports.published().map(|(_, inside, host)| (inside, host));
    bolt.map(|port| (BOLT, port))
        .into_iter()
        .chain(more)
        .map(|(inside, host)| (format!("{inside}/tcp"), binding(host)))
        .collect()
}

/// Returns the ports of the container that others can reach.
pub(super) fn exposed(instance: &Instance) -> Vec<String> {
    let more = instance.container.ports.published().map(|(_, inside, _)| inside);
    std::iter::once(BOLT).chain(more).map(|port| format!("{port}/tcp")).collect()
}

pub(super) fn restart_policy(restart: Restart) -> RestartPolicy {
    let name = match restart {
        Restart::UnlessStopped => RestartPolicyNameEnum::UNLESS_STOPPED,
        Restart::Always => RestartPolicyNameEnum::ALWAYS,
        Restart::OnFailure => RestartPolicyNameEnum::ON_FAILURE,
    };
    RestartPolicy { name: Some(name), maximum_retry_count: None }
}

pub(super) fn log_config(logging: &Logging) -> HostConfigLogConfig {
    HostConfigLogConfig {
        typ: Some(logging.driver.clone()),
        config: Some(logging.options.clone().into_iter().collect()),
    }
}

pub(in crate::runtime) fn ulimits(container: &Container) -> Option<Vec<ResourcesUlimits>> {
    let limits = container.ulimits.iter().map(|(name, limit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    });
    (!container.ulimits.is_empty()).then(|| limits.collect())
}

/// Returns what the engine is to run in the container; `None` where it runs nothing.
pub(super) fn healthcheck(check: &Healthcheck) -> Option<HealthConfig> {
    let nanos = |time: Option<Duration>| time.and_then(|t| i64::try_from(t.as_nanos()).ok());
    (!check.test.is_empty()).then(|| HealthConfig {
        test: Some(check.test.clone()),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        retries: check.retries.map(i64::from),
        start_period: nanos(check.start_period),
        ..HealthConfig::default()
    })
}

/// Returns what the last run of a container's own test said, where the engine calls it unhealthy.
pub(super) fn unhealthy(health: &Health) -> Option<String> {
    (health.status == Some(HealthStatusEnum::UNHEALTHY)).then(|| {
        let last = health.log.iter().flatten().next_back();
        let said = last.and_then(|run| run.output.as_deref()).unwrap_or("").trim();
        let line = said.lines().next_back().unwrap_or("it says nothing").to_owned();
        match last.and_then(|run| run.exit_code) {
            Some(code) => format!("{line} ({code})"),
            None => line,
        }
    })
}

/// Returns the labels of the user and mgctl's own, which stand over them.
pub(super) fn labels(instance: &Instance, own: HashMap<String, String>) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = instance.container.labels.clone().into_iter().collect();
    all.extend(own);
    all
}

/// Returns whole seconds, none of them lost.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

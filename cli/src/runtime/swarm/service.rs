//! A node as a service of a swarm: what it is made from, and how what its tasks say is read. Pure.
//!
//! A service has one task at most: it runs, or it is told to have none. Each start is another task, with another
//! container and another address; the host, its volume and the names in the network stay.

use super::super::docker::{
    BOLT, CLUSTER, DATA, INSTANCE, MANAGED, SPEC, container, labels, labels_of, published_elsewhere,
};
use crate::cluster::{MachineState, Spec, container_name};
use crate::topology::{Data, Instance, Restart, Topology};
use bollard::models::{
    EndpointPortConfig, EndpointPortConfigProtocolEnum, EndpointPortConfigPublishModeEnum, EndpointSpec,
    EndpointSpecModeEnum, Limit, Mount, MountTmpfsOptions, MountType, MountVolumeOptions,
    NetworkAttachmentConfig, Service, ServiceSpec, ServiceSpecMode, ServiceSpecModeReplicated,
    ServiceSpecUpdateConfig, ServiceSpecUpdateConfigOrderEnum, Task, TaskSpec, TaskSpecContainerSpec,
    TaskSpecContainerSpecFile, TaskSpecContainerSpecSecrets, TaskSpecLogDriver, TaskSpecPlacement,
    TaskSpecResources, TaskSpecRestartPolicy, TaskSpecRestartPolicyConditionEnum, TaskState,
};
use std::collections::HashMap;
use std::time::Duration;

/// Label: the id of the host that the node is kept on.
pub(super) const HOST: &str = "dev.mgctl.host";
/// Label: a failover ended the node, and it is not run again by itself.
pub(super) const FENCED: &str = "dev.mgctl.fenced";
/// Label: whether the node was ever told to run ([`TOLD`]), and whether its host has said that it ended ([`ENDED`]).
pub(super) const RUN: &str = "dev.mgctl.run";
pub(super) const TOLD: &str = "told";
pub(super) const ENDED: &str = "ended";

/// Between the end of a task and the next one.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Where the node finds its certificate and key, and the authority's certificate.
const LEAF: &str = "/run/secrets/node.pem";
const AUTHORITY: &str = "/run/secrets/ca.pem";

/// What a service is made from that the topology does not say.
pub(super) struct Ground<'a> {
    /// The image, as the hosts are to find it.
    pub(super) image: &'a str,
    /// Whether that is the built-in one, which knows mgctl's flags.
    pub(super) is_ours: bool,
    /// The id of the cluster's network.
    pub(super) network: &'a str,
    /// The id of the host, and where it is reached.
    pub(super) host: &'a str,
    pub(super) address: &'a str,
    /// Where Bolt is published there.
    pub(super) bolt: Option<u16>,
}

/// Returns the service of a node, told to run nothing yet.
pub(super) fn spec(topology: &Topology, instance: &Instance, ground: &Ground<'_>) -> ServiceSpec {
    let mut args: Vec<String> = Vec::new();
    if let (true, Some(port)) = (ground.is_ours, ground.bolt) {
        args.push(format!("--bolt-advertised-address={}:{port},{}:{BOLT}", ground.address, instance.name));
    }
    if topology.cluster_tls && ground.is_ours {
        args.extend([
            format!("--cluster-cert-file={LEAF}"),
            format!("--cluster-key-file={LEAF}"),
            format!("--cluster-ca-file={AUTHORITY}"),
        ]);
    }
    args.extend(instance.flags.iter().map(|(name, value)| format!("--{name}={value}")));
    let kept = &instance.container;
    let user: HashMap<String, String> = kept.labels.clone().into_iter().collect();
    let signed = |n: u64| i64::try_from(n).ok();
    let task = TaskSpec {
        container_spec: Some(TaskSpecContainerSpec {
            image: Some(ground.image.to_owned()),
            // None of mgctl's own: containers of that name and label are another runtime's.
            labels: (!user.is_empty()).then_some(user),
            args: (!args.is_empty()).then_some(args),
            hostname: Some(instance.name.clone()),
            env: Some(container::environment(instance)),
            mounts: Some(mounts(topology, instance, ground.is_ours)),
            stop_grace_period: i64::try_from(kept.stop_grace.as_nanos()).ok(),
            read_only: ground.is_ours.then_some(true),
            capability_drop: ground.is_ours.then(|| vec!["ALL".to_owned()]),
            ulimits: container::ulimits(kept),
            ..TaskSpecContainerSpec::default()
        }),
        resources: Some(TaskSpecResources {
            limits: Some(Limit {
                memory_bytes: instance.memory_bytes.and_then(signed),
                nano_cpus: instance.nano_cpus.and_then(signed),
                pids: None,
            }),
            ..TaskSpecResources::default()
        }),
        restart_policy: Some(TaskSpecRestartPolicy {
            condition: Some(match kept.restart {
                Restart::UnlessStopped | Restart::Always => TaskSpecRestartPolicyConditionEnum::ANY,
                Restart::OnFailure => TaskSpecRestartPolicyConditionEnum::ON_FAILURE,
            }),
            delay: i64::try_from(RESTART_DELAY.as_nanos()).ok(),
            ..TaskSpecRestartPolicy::default()
        }),
        placement: Some(TaskSpecPlacement {
            constraints: Some(vec![format!("node.id=={}", ground.host)]),
            ..TaskSpecPlacement::default()
        }),
        networks: Some(vec![NetworkAttachmentConfig {
            target: Some(ground.network.to_owned()),
            aliases: Some(vec![instance.name.clone(), format!("{}.{}.mgctl", instance.name, topology.name)]),
            driver_opts: None,
        }]),
        log_driver: Some(TaskSpecLogDriver {
            name: Some(kept.logging.driver.clone()),
            options: Some(kept.logging.options.clone().into_iter().collect()),
        }),
        ..TaskSpec::default()
    };
    let mut labels = labels_of(topology, instance);
    labels.insert(HOST.to_owned(), ground.host.to_owned());
    ServiceSpec {
        name: Some(container_name(&topology.name, &instance.name)),
        labels: Some(labels),
        task_template: Some(task),
        mode: Some(replicas(0)),
        // Two tasks of one node at once would be two nodes with one volume.
        update_config: Some(ServiceSpecUpdateConfig {
            parallelism: Some(1),
            order: Some(ServiceSpecUpdateConfigOrderEnum::STOP_FIRST),
            ..ServiceSpecUpdateConfig::default()
        }),
        // A virtual address would stand between the nodes, and not every kernel has them.
        endpoint_spec: Some(EndpointSpec {
            mode: Some(EndpointSpecModeEnum::DNSRR),
            ports: Some(ports(instance, ground.bolt)),
        }),
        ..ServiceSpec::default()
    }
}

pub(super) fn replicas(count: i64) -> ServiceSpecMode {
    ServiceSpecMode {
        replicated: Some(ServiceSpecModeReplicated { replicas: Some(count) }),
        ..ServiceSpecMode::default()
    }
}

/// Whether a service is told to run.
fn is_wanted(spec: &ServiceSpec) -> bool {
    spec.mode.as_ref().and_then(|m| m.replicated.as_ref()?.replicas) != Some(0)
}

/// Tells a service to run nothing. `may_run`: what its tasks said before. That it ended before, or never ran, counts no
/// more where somebody else had it run since: `docker service scale` leaves the label as it was.
pub(super) fn tell_to_end(spec: &mut ServiceSpec, may_run: bool) {
    if may_run || is_wanted(spec) {
        spec.labels.get_or_insert_default().insert(RUN.to_owned(), TOLD.to_owned());
    }
    spec.mode = Some(replicas(0));
}

/// Whether it is known that nothing of a node runs: its host says so now, or said so before and nobody had it run since.
pub(super) fn has_ended(known: &Known, tasks: &[Task], is_ready: bool) -> bool {
    let may_run = known.is_wanted || known.may_listen || tasks.iter().any(may_run);
    !may_run && (is_ready || known.run != TOLD)
}

fn mounts(topology: &Topology, instance: &Instance, is_ours: bool) -> Vec<Mount> {
    let mut mounts = container::mounts(instance, if is_ours { DATA[0] } else { DATA[1] });
    if let (Some(data), Data::Volume(_)) = (mounts.first_mut(), &instance.data) {
        // The engine of the host makes it, and writes these on it.
        data.volume_options =
            Some(MountVolumeOptions { labels: Some(labels(topology)), ..MountVolumeOptions::default() });
    }
    if is_ours {
        mounts.push(Mount {
            target: Some("/tmp".to_owned()),
            typ: Some(MountType::TMPFS),
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: Some(64 << 20),
                ..MountTmpfsOptions::default()
            }),
            ..Mount::default()
        });
    }
    mounts
}

/// Ports are those of the host: those of the whole swarm lead through addresses that not every kernel has.
fn ports(instance: &Instance, bolt: Option<u16>) -> Vec<EndpointPortConfig> {
    bolt.map(|port| (BOLT, port))
        .into_iter()
        .chain(published_elsewhere(instance))
        .map(|(inside, host)| EndpointPortConfig {
            name: None,
            protocol: Some(EndpointPortConfigProtocolEnum::TCP),
            target_port: Some(inside.into()),
            published_port: Some(host.into()),
            publish_mode: Some(EndpointPortConfigPublishModeEnum::HOST),
        })
        .collect()
}

/// Returns how a node is given its secrets: by id and name, as files of its user.
pub(super) fn secrets(
    leaf: (&str, &str),
    authority: (&str, &str),
    owner: u64,
) -> Vec<TaskSpecContainerSpecSecrets> {
    let secret = |(id, name): (&str, &str), path: &str| TaskSpecContainerSpecSecrets {
        file: Some(TaskSpecContainerSpecFile {
            name: Some(path.to_owned()),
            uid: Some(owner.to_string()),
            gid: Some(owner.to_string()),
            mode: Some(0o400),
        }),
        secret_id: Some(id.to_owned()),
        secret_name: Some(name.to_owned()),
    };
    vec![secret(leaf, LEAF), secret(authority, AUTHORITY)]
}

/// What a service says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) cluster: String,
    pub(super) instance: String,
    pub(super) spec: Option<Spec>,
    /// The id of its host.
    pub(super) host: String,
    pub(super) image: String,
    pub(super) is_fenced: bool,
    /// Whether it is told to run.
    pub(super) is_wanted: bool,
    /// [`RUN`]; empty for one that was never told to.
    pub(super) run: String,
    /// Whether something may listen at its Bolt although no task is known any more.
    pub(super) may_listen: bool,
    /// Where its Bolt is published on its host.
    pub(super) bolt: Option<u16>,
    /// The secrets that it is given, by name.
    pub(super) secrets: Vec<String>,
    pub(super) file: Option<String>,
}

/// Reads a service; `None` for one that is not mgctl's.
pub(super) fn read(service: &Service) -> Option<Known> {
    let spec = service.spec.as_ref()?;
    let labels = spec.labels.as_ref()?;
    let label = |name: &str| labels.get(name).cloned();
    label(MANAGED).filter(|is| is == "true")?;
    let container = spec.task_template.as_ref().and_then(|t| t.container_spec.as_ref());
    let ports = spec.endpoint_spec.as_ref().and_then(|e| e.ports.as_deref()).unwrap_or_default();
    let bolt = ports.iter().find(|p| p.target_port == Some(BOLT.into()));
    let secrets = container.and_then(|c| c.secrets.as_deref()).unwrap_or_default();
    Some(Known {
        id: service.id.clone()?,
        cluster: label(CLUSTER)?,
        instance: label(INSTANCE)?,
        spec: label(SPEC).and_then(|text| Spec::parse(&text)),
        host: label(HOST).unwrap_or_default(),
        image: container.and_then(|c| c.image.clone()).unwrap_or_default(),
        is_fenced: labels.contains_key(FENCED),
        is_wanted: is_wanted(spec),
        run: label(RUN).unwrap_or_default(),
        may_listen: false,
        bolt: bolt.and_then(|p| u16::try_from(p.published_port?).ok()),
        secrets: secrets.iter().filter_map(|s| s.secret_name.clone()).collect(),
        file: label("dev.mgctl.config-file"),
    })
}

/// Whether what a task ran has ended, by the word of its host. What its managers make up when they hear nothing is no
/// such word.
fn is_over(state: TaskState) -> bool {
    matches!(state, TaskState::COMPLETE | TaskState::SHUTDOWN | TaskState::FAILED | TaskState::REJECTED)
}

pub(super) fn state_of(task: &Task) -> TaskState {
    task.status.as_ref().and_then(|s| s.state).unwrap_or(TaskState::NEW)
}

/// Whether there may be a container of a task.
pub(super) fn may_run(task: &Task) -> bool {
    task.node_id.as_deref().is_some_and(|id| !id.is_empty()) && !is_over(state_of(task))
}

/// The task that was made last.
pub(super) fn newest(tasks: &[Task]) -> Option<&Task> {
    // Of one form and in UTC, they come in the order of their letters but for zeros at the end.
    tasks.iter().max_by_key(|t| (t.created_at.clone(), t.version.as_ref().and_then(|v| v.index)))
}

/// The task that runs.
pub(super) fn running(tasks: &[Task]) -> Option<&Task> {
    tasks.iter().find(|t| state_of(t) == TaskState::RUNNING && t.desired_state == Some(TaskState::RUNNING))
}

/// Whether a task runs that was waited for: any, or with a `secret` one that is not among those of before and has it.
pub(super) fn has_come(tasks: &[Task], before: &[Task], secret: Option<&str>) -> bool {
    let Some(secret) = secret else { return running(tasks).is_some() };
    let has_secret = |task: &Task| {
        let given = task.spec.as_ref().and_then(|s| s.container_spec.as_ref()?.secrets.as_ref());
        given.is_some_and(|all| all.iter().any(|s| s.secret_name.as_deref() == Some(secret)))
    };
    tasks.iter().any(|task| {
        let is_old = before.iter().any(|old| old.id == task.id);
        !is_old && has_secret(task) && running(std::slice::from_ref(task)).is_some()
    })
}

/// Returns what is known of a node's machine. `host` is how its host is called, `is_ready` whether it is heard of.
pub(super) fn machine_state(known: &Known, tasks: &[Task], host: &str, is_ready: bool) -> MachineState {
    let exited = |code| MachineState::Exited { code, out_of_memory: false };
    if !is_ready {
        return match known.run.as_str() {
            _ if !has_ended(known, tasks, is_ready) => MachineState::Lost { host: host.to_owned() },
            "" => MachineState::Created,
            _ => exited(None),
        };
    }
    if running(tasks).is_some() {
        return MachineState::Running;
    }
    let alive = known.may_listen || tasks.iter().any(may_run);
    let last = newest(tasks);
    let code = last.and_then(|t| t.status.as_ref()?.container_status.as_ref()?.exit_code);
    match (known.is_wanted, last) {
        // It is being ended, and has not yet.
        (false, _) if alive => MachineState::Running,
        (false, _) if known.run.is_empty() => MachineState::Created,
        (false, _) => exited(code),
        (true, Some(last)) if is_over(state_of(last)) => match last.desired_state {
            // It ended well, and its policy leaves it at that.
            Some(TaskState::SHUTDOWN) if state_of(last) == TaskState::COMPLETE => exited(code),
            _ => MachineState::Restarting,
        },
        (true, _) => MachineState::Starting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Source, load};
    use bollard::models::{ContainerStatus, TaskStatus};

    fn task(at: u32, state: TaskState, desired: TaskState) -> Task {
        let on_host = state > TaskState::PENDING;
        Task {
            id: Some(format!("t{at}")),
            created_at: Some(format!("2026-11-27T10:00:{at:02}.5Z")),
            node_id: on_host.then(|| "host".to_owned()),
            desired_state: Some(desired),
            status: Some(TaskStatus {
                state: Some(state),
                container_status: Some(ContainerStatus { exit_code: Some(3), ..ContainerStatus::default() }),
                ..TaskStatus::default()
            }),
            ..Task::default()
        }
    }

    fn seen(run: &str, wanted: bool, ready: bool, tasks: &[Task]) -> String {
        let known = Known { run: run.into(), is_wanted: wanted, ..Known::default() };
        machine_state(&known, tasks, "b", ready).to_string()
    }

    #[test]
    fn a_machine_runs_or_has_ended_only_by_the_word_of_its_host() {
        use TaskState::*;
        let runs = task(1, RUNNING, RUNNING);
        let ends = task(1, RUNNING, REMOVE);
        let failed = task(1, FAILED, SHUTDOWN);
        let next = task(2, PREPARING, RUNNING);
        assert_eq!(seen("", false, true, &[]), "created");
        assert_eq!(seen(TOLD, true, true, &[]), "starting");
        assert_eq!(seen(TOLD, true, true, std::slice::from_ref(&runs)), "running");
        assert_eq!(seen(TOLD, true, true, &[failed.clone(), next]), "starting");
        assert_eq!(seen(TOLD, true, true, std::slice::from_ref(&failed)), "restarting");
        assert_eq!(seen(TOLD, true, true, &[failed.clone(), task(2, RUNNING, RUNNING)]), "running");
        assert_eq!(seen(TOLD, true, true, &[task(1, COMPLETE, SHUTDOWN)]), "exited (3)");
        // Told to end: until its host says so, it runs.
        assert_eq!(seen(TOLD, false, true, std::slice::from_ref(&ends)), "running");
        assert_eq!(seen(TOLD, false, true, std::slice::from_ref(&failed)), "exited (3)");
        assert_eq!(seen(ENDED, false, true, &[]), "exited");
        let forgotten = Known { run: TOLD.into(), may_listen: true, ..Known::default() };
        assert_eq!(machine_state(&forgotten, &[], "b", true).to_string(), "running");
        // Its host is not heard of: what was said before it was told to run counts, and nothing after.
        let lost = "on a host that is not reached";
        assert_eq!(seen("", false, false, &[]), "created");
        assert_eq!(seen(ENDED, false, false, &[]), "exited");
        for tasks in [vec![runs], vec![ends], vec![failed], vec![], vec![task(1, ORPHANED, REMOVE)]] {
            assert_eq!(seen(TOLD, true, false, &tasks), lost);
            assert_eq!(seen(TOLD, false, false, &tasks), lost);
        }
        // Somebody else had it run since it ended, or before mgctl ever did: the label is old.
        let runs = [task(1, RUNNING, RUNNING)];
        for label in [ENDED, ""] {
            assert_eq!(seen(label, true, false, &runs), lost, "{label:?}");
            assert_eq!(seen(label, true, false, &[]), lost, "{label:?}");
            assert_eq!(seen(label, false, false, &[task(1, RUNNING, SHUTDOWN)]), lost, "{label:?}");
            assert_eq!(seen(label, true, true, &runs), "running", "{label:?}");
            assert_eq!(seen(label, false, true, &[task(1, RUNNING, SHUTDOWN)]), "running", "{label:?}");
        }
    }

    #[test]
    fn an_end_is_known_only_where_nobody_had_it_run_since() {
        use TaskState::*;
        let ended = |run: &str, wanted: bool, ready: bool, tasks: &[Task]| {
            has_ended(&Known { run: run.into(), is_wanted: wanted, ..Known::default() }, tasks, ready)
        };
        let may_run = [task(1, RUNNING, SHUTDOWN)];
        let is_over = [task(1, SHUTDOWN, SHUTDOWN)];
        for run in ["", TOLD, ENDED] {
            assert!(ended(run, false, true, &is_over), "{run:?}: the host says so");
            assert_eq!(ended(run, false, false, &is_over), run != TOLD, "{run:?}: it was said before");
            assert!(!ended(run, false, true, &may_run) && !ended(run, false, false, &may_run), "{run:?}");
            assert!(!ended(run, true, true, &[]) && !ended(run, true, false, &[]), "{run:?}");
        }
        // What `docker service scale` told to run is told as such before it is told to end.
        for (before, may_run, run) in [(1, false, TOLD), (0, true, TOLD), (0, false, ENDED)] {
            let labels = HashMap::from([(RUN.to_owned(), ENDED.to_owned())]);
            let mut spec =
                ServiceSpec { labels: Some(labels), mode: Some(replicas(before)), ..ServiceSpec::default() };
            tell_to_end(&mut spec, may_run);
            assert!(!is_wanted(&spec));
            assert_eq!(spec.labels.unwrap()[RUN], run, "{before} {may_run}");
        }
    }

    #[test]
    fn a_renewed_node_is_a_new_task_with_the_new_secret() {
        use TaskState::*;
        let with = |at: u32, state: TaskState, name: &str| {
            let container = TaskSpecContainerSpec {
                secrets: Some(secrets(("id", name), ("ca", "ca"), 1)),
                ..TaskSpecContainerSpec::default()
            };
            let spec = TaskSpec { container_spec: Some(container), ..TaskSpec::default() };
            Task { spec: Some(spec), ..task(at, state, RUNNING) }
        };
        let old = [with(1, RUNNING, "old")];
        assert!(has_come(&old, &old, None), "a start is content with one that runs");
        assert!(!has_come(&old, &old, Some("new")), "it runs on until it is told to end");
        assert!(!has_come(&[with(1, RUNNING, "new")], &old, Some("new")), "it was there before");
        assert!(!has_come(&[with(2, RUNNING, "old")], &old, Some("new")), "it was started by something else");
        assert!(!has_come(&[with(2, STARTING, "new")], &old, Some("new")));
        assert!(has_come(&[with(2, RUNNING, "new")], &old, Some("new")));
    }

    #[test]
    fn only_the_word_of_a_host_ends_a_task() {
        use TaskState::*;
        for state in [ASSIGNED, PREPARING, STARTING, RUNNING, ORPHANED, REMOVE] {
            assert!(may_run(&task(1, state, SHUTDOWN)), "{state}");
        }
        for state in [COMPLETE, SHUTDOWN, FAILED, REJECTED, NEW, PENDING] {
            assert!(!may_run(&task(1, state, SHUTDOWN)), "{state}");
        }
    }

    #[test]
    fn a_node_is_one_task_on_one_host_and_reads_back() {
        let text = "name: demo\nruntime: swarm\nports: { allow_public: true }\ndefaults: { memory: 1GiB, labels: { team: a } }\n\
                    instances:\n  main: { role: main }\n  r1: { role: replica }\n";
        let source = Source { name: "demo.yaml".into(), directory: ".".into(), text: text.into() };
        let topology = load(&source, &|_| None).unwrap().topology;
        let ground = Ground {
            image: "sha256:12",
            is_ours: true,
            network: "net",
            host: "h1",
            address: "10.0.0.1",
            bolt: Some(7688),
        };
        let spec = spec(&topology, topology.instance("r1").unwrap(), &ground);
        let service = Service { id: Some("s".into()), spec: Some(spec), ..Service::default() };
        let json = serde_json::to_value(&service).unwrap();
        let task = &json["Spec"]["TaskTemplate"];
        assert_eq!(task["Placement"]["Constraints"], serde_json::json!(["node.id==h1"]));
        assert_eq!(task["ContainerSpec"]["Labels"], serde_json::json!({ "team": "a" }));
        assert_eq!(task["ContainerSpec"]["Args"][0], "--bolt-advertised-address=10.0.0.1:7688,r1:7687");
        assert_eq!(task["ContainerSpec"]["Mounts"][0]["Source"], "mgctl-demo-r1-data");
        assert_eq!(task["Networks"][0]["Aliases"], serde_json::json!(["r1", "r1.demo.mgctl"]));
        assert_eq!(json["Spec"]["EndpointSpec"]["Mode"], "dnsrr");
        assert_eq!(json["Spec"]["EndpointSpec"]["Ports"][0]["PublishMode"], "host");
        let known = read(&service).unwrap();
        assert_eq!((known.instance.as_str(), known.host.as_str(), known.bolt), ("r1", "h1", Some(7688)));
        assert!(!known.is_wanted && !known.is_fenced && known.run.is_empty());
        let wanted = Spec::of(&topology, topology.instance("r1").unwrap());
        assert!(known.spec.unwrap().drift(&wanted).is_empty());
    }
}

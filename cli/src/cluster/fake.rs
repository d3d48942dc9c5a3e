//! A runtime and nodes in memory, for tests: they answer as the real ones do, and can be made to fail. What they answer as
//! Memgraph's image does is in [`cited`](super::cited), with what it rests on.

use super::cited::{self, ours};
use super::*;
use crate::authority::demanded;
use crate::error::CliError;
use crate::topology::{Addressing, Mode, Role, Subnet, Topology};
use serde_json::json;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// One node's disk and, while it runs, its memory.
#[derive(Clone, Debug)]
struct Node {
    role: Role,
    port: u16,
    replicas: Vec<(String, Mode, String)>,
    /// (epoch that wrote it, what was written)
    log: Vec<(u64, String)>,
    epoch: u64,
    /// The number it promised to obey, and which operation asked for that; `None` for a MAIN's greeting.
    promised: u64,
    fenced_by: Option<String>,
    schema: Vec<String>,
}

impl Default for Node {
    fn default() -> Node {
        Node {
            // `cited::FRESH_IS_MAIN`.
            role: Role::Main,
            port: 0,
            replicas: Vec::new(),
            log: Vec::new(),
            epoch: 1,
            promised: 0,
            fenced_by: None,
            schema: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
struct Case {
    state: MachineState,
    spec: Spec,
    address: Option<IpAddr>,
    id: u32,
    is_fenced: bool,
    /// How often it is still asked in vain since it was started.
    boots: u32,
}

#[derive(Clone, Debug, Default)]
struct World {
    images: BTreeSet<String>,
    network: bool,
    has_authority: bool,
    certificates: BTreeMap<String, Certificate>,
    /// Volume name to the node's disk.
    disks: BTreeMap<String, Node>,
    machines: BTreeMap<String, Case>,
    next_address: u8,
    next_id: u32,
    /// Every query that changes something.
    sent: Vec<String>,
    /// Instances that do not answer.
    silent: BTreeSet<String>,
    /// Instances whose host is gone, and whether the runtime has noticed.
    lost: BTreeMap<String, bool>,
    /// Instances that are told to end and do not, on hosts that are there.
    slow_to_end: BTreeSet<String>,
    /// How often a node is asked in vain after it was started.
    boots: u32,
    /// Queries that fail once: (part of the text, whether it takes effect all the same).
    failing: Vec<(String, bool)>,
    /// Queries at which a node falls silent: (part of the text, whether it takes effect).
    hanging: Vec<(String, bool)>,
    /// Queries that find another one under way once: (part of the text, the answer).
    busy: Vec<(&'static str, NodeError)>,
    foreign: Vec<Foreign>,
    /// What a machine logged.
    logs: BTreeMap<String, Vec<String>>,
    /// Commits that slip in just before the next demotion and reach nobody.
    slipping: usize,
    /// Replicas say how their MAIN waits for them, as nodes of today do.
    tells_modes: bool,
}

/// Everything there is.
pub(super) struct Fake {
    topology: Topology,
    world: RefCell<World>,
    /// Memgraph's image: no positions.
    is_memgraph: bool,
    /// Someone else runs the nodes: they are there, and nothing is done to machines.
    is_external: bool,
}

impl Fake {
    pub(super) fn new(topology: &Topology) -> Fake {
        let world = RefCell::default();
        Fake { topology: topology.clone(), world, is_memgraph: false, is_external: false }
    }

    /// Nodes that someone else has started, each an empty MAIN.
    pub(super) fn external(topology: &Topology) -> Fake {
        let fake = Fake { is_external: true, ..Fake::new(topology) };
        let mut world = fake.world.borrow_mut();
        for (index, instance) in topology.instances.iter().enumerate() {
            world.disks.insert(instance.data.as_str().to_owned(), Node::default());
            let case = Case {
                state: MachineState::Running,
                spec: Spec::of(topology, instance),
                address: None,
                id: index as u32,
                is_fenced: false,
                boots: 0,
            };
            world.machines.insert(instance.name.clone(), case);
        }
        drop(world);
        fake
    }

    /// Starts a node where it runs. A MAIN asks its replicas first, and stays silent where one obeys another.
    pub(super) fn start_elsewhere(&self, instance: &str) {
        let mut world = self.world.borrow_mut();
        world.silent.remove(instance);
        world.machines.get_mut(instance).expect("it is in the topology").state = MachineState::Running;
        let own = self.disk_of(&mut world, instance).clone();
        let asked = own.replicas.iter().filter_map(|(_, _, at)| replica_at(&world, &self.topology, at));
        let asked: Vec<String> = asked.collect();
        let promised = asked.iter().map(|name| self.disk_of(&mut world, name).promised).max().unwrap_or(0);
        if own.role == Role::Main && promised > own.epoch {
            let disk = self.disk_of(&mut world, instance);
            (disk.promised, disk.fenced_by) = (promised, Some("its replicas".into()));
        }
    }

    /// Makes the network as somebody else would.
    pub(super) fn make_network(&self) {
        self.world.borrow_mut().network = true;
    }

    pub(super) fn memgraph(topology: &Topology) -> Fake {
        Fake { is_memgraph: true, ..Fake::new(topology) }
    }

    /// Takes the queries sent so far.
    pub(super) fn take_sent(&self) -> Vec<String> {
        std::mem::take(&mut self.world.borrow_mut().sent)
    }

    pub(super) fn machine_ids(&self) -> Vec<u32> {
        self.world.borrow().machines.values().map(|m| m.id).collect()
    }

    pub(super) fn add_foreign(&self, foreign: Foreign) {
        self.world.borrow_mut().foreign.push(foreign);
    }

    pub(super) fn silence(&self, instance: &str) {
        self.world.borrow_mut().silent.insert(instance.into());
    }

    /// Lets so many seconds of a node's certificate be left.
    pub(super) fn age_certificate(&self, instance: &str, left: i64) {
        let mut world = self.world.borrow_mut();
        world.certificates.get_mut(instance).expect("it has one").seconds_left = left;
    }

    /// Makes the next query that contains `part` fail; with `takes_effect` only its answer is lost.
    pub(super) fn fail_once(&self, part: &str, takes_effect: bool) {
        self.world.borrow_mut().failing.push((part.into(), takes_effect));
    }

    /// Whether a query is still to fail.
    pub(super) fn is_to_fail(&self) -> bool {
        !self.world.borrow().failing.is_empty()
    }

    /// Makes the node that is sent the next query with `part` fall silent.
    pub(super) fn hang_at(&self, part: &str, takes_effect: bool) {
        self.world.borrow_mut().hanging.push((part.into(), takes_effect));
    }

    /// Makes the next query that contains `part` find another one under way.
    pub(super) fn busy_once(&self, part: &'static str, answer: NodeError) {
        self.world.borrow_mut().busy.push((part, answer));
    }

    /// Whether each such query was met.
    pub(super) fn was_busy(&self) -> bool {
        self.world.borrow().busy.is_empty()
    }

    /// Makes commits slip in before the next `count` demotions.
    pub(super) fn slip(&self, count: usize) {
        self.world.borrow_mut().slipping = count;
    }

    /// Writes on the MAIN, and on what follows it.
    pub(super) fn write(&self, what: &str) {
        let main = self.mains().pop().expect("there is a MAIN to write on");
        let mut world = self.world.borrow_mut();
        commit(&mut world, &self.topology, &main, what);
    }

    /// Stops all machines and starts them in another order, as an engine does that restarts.
    pub(super) fn restart_in_other_order(&self) {
        let mut world = self.world.borrow_mut();
        world.next_address = 0;
        let names: Vec<String> = world.machines.keys().rev().cloned().collect();
        for name in names {
            let address = self.new_address(&mut world, &name);
            let machine = world.machines.get_mut(&name).expect("it is in the list");
            machine.address = Some(address);
            machine.state = MachineState::Running;
        }
    }

    /// Lets replicas say from now on how their MAIN waits for them.
    pub(super) fn tell_modes(&self) {
        self.world.borrow_mut().tells_modes = true;
    }

    pub(super) fn log(&self, instance: &str, lines: Vec<String>) {
        self.world.borrow_mut().logs.insert(instance.into(), lines);
    }

    pub(super) fn stop(&self, instance: &str) {
        let mut world = self.world.borrow_mut();
        let machine = world.machines.get_mut(instance).expect("the test stops what is there");
        machine.state = MachineState::Exited { code: Some(137), out_of_memory: false };
    }

    /// Stops a machine from answering although it runs, as a hang does.
    pub(super) fn hang(&self, instance: &str) {
        self.silence(instance);
    }

    /// Takes a machine's host away, with all that runs there; `is_noticed`: the runtime knows.
    pub(super) fn lose_host(&self, instance: &str, is_noticed: bool) {
        self.silence(instance);
        self.world.borrow_mut().lost.insert(instance.into(), is_noticed);
    }

    /// Has a node not end in time, or end as others do.
    pub(super) fn slow_to_end(&self, instance: &str, is_slow: bool) {
        let mut world = self.world.borrow_mut();
        match is_slow {
            true => world.slow_to_end.insert(instance.into()),
            false => world.slow_to_end.remove(instance),
        };
    }

    /// Has nodes answer only when they were asked so often after each start.
    pub(super) fn boot_for(&self, asked: u32) {
        self.world.borrow_mut().boots = asked;
    }

    /// Has the runtime miss a host that is there, and whose node answers.
    pub(super) fn miss_host(&self, instance: &str) {
        self.world.borrow_mut().lost.insert(instance.into(), true);
    }

    pub(super) fn is_lost(&self, instance: &str) -> bool {
        self.world.borrow().lost.contains_key(instance)
    }

    /// Whether every node runs and answers.
    pub(super) fn all_answer(&self) -> bool {
        let world = self.world.borrow();
        world.silent.is_empty() && world.machines.values().all(|m| m.state == MachineState::Running)
    }

    /// Brings the host back. It runs what it is told to: not what was ended meanwhile.
    pub(super) fn host_returns(&self, instance: &str) {
        let mut world = self.world.borrow_mut();
        world.lost.remove(instance);
        world.silent.remove(instance);
        let machine = world.machines.get_mut(instance).expect("it is in the topology");
        if machine.is_fenced {
            machine.state = MachineState::Exited { code: None, out_of_memory: false };
        }
    }

    /// The running nodes that take writes, those that do not answer too.
    pub(super) fn writers(&self) -> Vec<String> {
        let mains = self.mains();
        let mut world = self.world.borrow_mut();
        let running = |world: &World, n: &String| world.machines[n].state == MachineState::Running;
        mains
            .into_iter()
            .filter(|n| running(&world, n) && self.disk_of(&mut world, n).fenced_by.is_none())
            .collect()
    }

    /// Makes a node MAIN behind everybody's back, as a person could.
    pub(super) fn make_main(&self, instance: &str) {
        let mut world = self.world.borrow_mut();
        let disk = self.disk_of(&mut world, instance);
        (disk.role, disk.epoch) = (Role::Main, disk.epoch.max(disk.promised) + 1);
        disk.promised = disk.epoch;
    }

    /// Makes a node a REPLICA behind everybody's back, at the port of the topology.
    pub(super) fn make_replica(&self, instance: &str) {
        let port = self.topology.instance(instance).expect("it is in the topology").replication_port;
        let mut world = self.world.borrow_mut();
        let disk = self.disk_of(&mut world, instance);
        (disk.role, disk.port, disk.replicas) = (Role::Replica, port, Vec::new());
    }

    /// Registers something at a MAIN behind everybody's back.
    pub(super) fn register_at(&self, main: &str, name: &str, address: &str) {
        let mut world = self.world.borrow_mut();
        self.disk_of(&mut world, main).replicas.push((name.into(), Mode::Async, address.into()));
    }

    /// Drops a registration behind everybody's back.
    pub(super) fn drop_at(&self, main: &str, name: &str) {
        let mut world = self.world.borrow_mut();
        self.disk_of(&mut world, main).replicas.retain(|(replica, _, _)| replica != name);
    }

    /// Writes on this node, and on what follows it.
    pub(super) fn write_on(&self, main: &str, what: &str) {
        commit(&mut self.world.borrow_mut(), &self.topology, main, what);
    }

    /// Writes on this node alone.
    pub(super) fn write_alone(&self, instance: &str, what: &str) {
        let mut world = self.world.borrow_mut();
        let disk = self.disk_of(&mut world, instance);
        disk.log.push((disk.epoch, what.to_owned()));
    }

    /// Which machines are kept from starting by themselves.
    pub(super) fn fenced(&self) -> Vec<String> {
        let world = self.world.borrow();
        world.machines.iter().filter(|(_, m)| m.is_fenced).map(|(n, _)| n.clone()).collect()
    }

    pub(super) fn forget_roles(&self) {
        for disk in self.world.borrow_mut().disks.values_mut() {
            (disk.role, disk.replicas) = (Role::Main, Vec::new());
        }
    }

    fn disk_of<'w>(&self, world: &'w mut World, instance: &str) -> &'w mut Node {
        let data = self.topology.instance(instance).expect("it is in the topology").data.as_str();
        world.disks.get_mut(data).expect("a machine has its volume")
    }

    pub(super) fn mains(&self) -> Vec<String> {
        let mut world = self.world.borrow_mut();
        let names: Vec<String> = self
            .topology
            .instances
            .iter()
            .map(|i| i.name.clone())
            .filter(|n| world.machines.contains_key(n))
            .collect();
        names.into_iter().filter(|n| self.disk_of(&mut world, n).role == Role::Main).collect()
    }

    /// What each node holds, in the order of the file.
    pub(super) fn logs(&self) -> Vec<Vec<String>> {
        let mut world = self.world.borrow_mut();
        let names: Vec<String> = self.topology.instances.iter().map(|i| i.name.clone()).collect();
        names
            .iter()
            .map(|n| self.disk_of(&mut world, n).log.iter().map(|(_, t)| t.clone()).collect())
            .collect()
    }

    fn new_address(&self, world: &mut World, instance: &str) -> IpAddr {
        let subnet = Subnet::parse("172.28.37.0/24").expect("it is one");
        let index = self.topology.instances.iter().position(|i| i.name == instance).unwrap_or(0);
        world.next_address += 1;
        match self.topology.addressing {
            Addressing::Static => IpAddr::V4(self.topology.addresses(subnet).expect("it is large")[index]),
            _ => IpAddr::V4(Ipv4Addr::new(172, 28, 37, 1 + world.next_address)),
        }
    }

    fn machine_of(&self, instance: &str, found: &Case, is_lost: bool) -> Machine {
        let index = self.topology.instances.iter().position(|i| i.name == instance).unwrap_or(0);
        Machine {
            id: found.id.to_string(),
            name: container_name(&self.topology.name, instance),
            state: match self.is_external {
                true => MachineState::Elsewhere,
                false if is_lost => MachineState::Lost { host: format!("host-{instance}") },
                false => found.state.clone(),
            },
            spec: Some(found.spec.clone()),
            address: found.address,
            bolt: Some(std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 7687 + index as u16)).into()),
            image_is_current: true,
            started: None,
            is_fenced: found.is_fenced,
            unhealthy: None,
            host: None,
        }
    }
}

/// Who answers at an address, as a REPLICA on that port.
fn replica_at(world: &World, topology: &Topology, address: &str) -> Option<String> {
    let (host, port) = address.rsplit_once(':')?;
    let found = world.machines.iter().find(|(name, m)| {
        let external = topology.instance(name).and_then(|i| i.external.as_ref());
        m.state == MachineState::Running
            && !world.silent.contains(*name)
            && match external {
                Some(external) => external.replication.to_string() == address,
                None => m.address.is_some_and(|ip| ip.to_string() == host) || *name == host,
            }
    })?;
    let instance = topology.instance(found.0)?;
    let disk = &world.disks[instance.data.as_str()];
    // What an address outside leads to is the business of whoever runs the node.
    let is_port = instance.external.is_some() || disk.port.to_string() == port;
    (disk.role == Role::Replica && is_port).then(|| found.0.clone())
}

/// How the MAIN that has this node in its list waits for it.
fn told_mode(world: &World, topology: &Topology, name: &str) -> Option<Mode> {
    let own = topology.instance(name)?;
    if world.disks[own.data.as_str()].role == Role::Main {
        return None;
    }
    let mut lists = world.disks.values().filter(|d| d.role == Role::Main).flat_map(|d| &d.replicas);
    lists.find(|(replica, _, _)| *replica == own.register_as).map(|(_, mode, _)| *mode)
}

fn history(log: &[(u64, String)]) -> Vec<String> {
    let begins = |i: &usize| *i == 0 || log[i - 1].0 != log[*i].0;
    (0..log.len()).filter(begins).map(|i| format!("{}.n.1:{}", log[i].0, i + 1)).collect()
}

fn is_prefix(short: &[(u64, String)], long: &[(u64, String)]) -> bool {
    long.len() >= short.len() && long[..short.len()] == *short
}

/// Brings every replica of a MAIN that is reached and has not diverged to where MAIN is.
fn catch_up(world: &mut World, topology: &Topology, main: &str) {
    let volume =
        |name: &str| topology.instance(name).expect("it is in the topology").data.as_str().to_owned();
    let leader = world.disks[&volume(main)].clone();
    for (_, _, address) in &leader.replicas {
        if let Some(replica) = replica_at(world, topology, address) {
            let disk = world.disks.get_mut(&volume(&replica)).expect("it has one");
            if is_prefix(&disk.log, &leader.log) && leader.epoch >= disk.promised {
                (disk.log, disk.schema, disk.epoch) =
                    (leader.log.clone(), leader.schema.clone(), leader.epoch);
                (disk.promised, disk.fenced_by) = (leader.epoch, None);
            }
        }
    }
}

fn commit(world: &mut World, topology: &Topology, main: &str, what: &str) {
    let data = topology.instance(main).expect("it is in the topology").data.as_str();
    let disk = world.disks.get_mut(data).expect("it has one");
    disk.log.push((disk.epoch, what.to_owned()));
    catch_up(world, topology, main);
}

impl Runtime for Fake {
    fn describe(&self) -> String {
        "fake".into()
    }

    async fn observe(&self, _: &str, _: Option<&Topology>) -> Result<Existing, CliError> {
        let world = self.world.borrow();
        let is_lost = |name: &String| world.lost.get(name) == Some(&true);
        if self.is_external {
            let machines =
                world.machines.iter().map(|(n, m)| (n.clone(), self.machine_of(n, m, is_lost(n)))).collect();
            return Ok(Existing { machines, ..Existing::default() });
        }
        Ok(Existing {
            images: world.images.clone(),
            network: world.network.then(|| Subnetwork {
                name: self.topology.network.name.clone(),
                subnet: self.topology.network.subnet,
                driver: Some(self.topology.network.driver.to_string()),
                mtu: self.topology.network.mtu,
                is_external: self.topology.network.is_external,
            }),
            volumes_elsewhere: BTreeMap::new(),
            volumes: world.disks.keys().filter(|data| !data.starts_with('/')).cloned().collect(),
            machines: world
                .machines
                .iter()
                .map(|(n, m)| (n.clone(), self.machine_of(n, m, is_lost(n))))
                .collect(),
            has_authority: world.has_authority,
            certificates: world.certificates.clone(),
            foreign: world.foreign.clone(),
            notes: Vec::new(),
        })
    }

    async fn certificates(&self, _: &str) -> Result<BTreeMap<String, Certificate>, CliError> {
        Ok(self.world.borrow().certificates.clone())
    }

    async fn machine(&self, _: &str, instance: &str) -> Result<Option<Machine>, CliError> {
        let world = self.world.borrow();
        let is_lost = world.lost.get(instance) == Some(&true);
        Ok(world.machines.get(instance).map(|m| self.machine_of(instance, m, is_lost)))
    }

    async fn carry_out(&self, topology: &Topology, action: &Action) -> Result<String, CliError> {
        if self.is_external {
            let external = crate::runtime::external::External::of(topology);
            return external.carry_out(topology, action).await;
        }
        let mut world = self.world.borrow_mut();
        match action {
            Action::LoadImage(image) => {
                world.images.insert(image.to_string());
            }
            Action::CreateNetwork(_) => world.network = true,
            Action::CreateVolume(name) => {
                let volume = topology.instance(name).expect("planned").volume().expect("it is a volume");
                world.disks.entry(volume.to_owned()).or_default();
            }
            Action::CreateAuthority => world.has_authority = true,
            Action::IssueCertificate(name) => {
                assert!(world.machines.contains_key(name), "a certificate for {name}, which is not there");
                let certificate = match &topology.tls_files {
                    Some(files) => {
                        let leaf = demanded(files, topology, name)?;
                        Certificate::read(&leaf.certificate, &leaf.authority).expect("it was judged")
                    }
                    None => {
                        assert!(world.has_authority, "no authority for {name}");
                        Certificate { seconds_left: 397 * 86_400, print: String::new() }
                    }
                };
                world.certificates.insert(name.clone(), certificate);
            }
            Action::CreateMachine(name) => {
                let instance = topology.instance(name).expect("planned");
                assert!(world.images.contains(&instance.image.to_string()), "no image for {name}");
                assert!(world.network, "no network for {name}");
                if instance.volume().is_none() {
                    world.disks.entry(instance.data.as_str().to_owned()).or_default();
                }
                assert!(world.disks.contains_key(instance.data.as_str()), "no volume for {name}");
                assert!(!world.machines.contains_key(name), "{name} is there already");
                world.next_id += 1;
                let machine = Case {
                    state: MachineState::Created,
                    spec: Spec::of(topology, instance),
                    address: None,
                    id: world.next_id,
                    is_fenced: false,
                    boots: 0,
                };
                world.machines.insert(name.clone(), machine);
            }
            Action::StartMachine(name) | Action::UnpauseMachine(name) => {
                let is_certified = world.certificates.contains_key(name);
                assert!(is_certified == topology.cluster_tls, "{name} starts without its certificate");
                // No order reaches a host that is cut off, whether the runtime knows of it or not.
                if world.lost.contains_key(name) {
                    return Err(
                        CliError::new(crate::error::Exit::TimedOut, "its host does not answer").code("MG095")
                    );
                }
                let address = self.new_address(&mut world, name);
                let boots = world.boots;
                let machine = world.machines.get_mut(name).expect("only what is there is started");
                (machine.state, machine.boots) = (MachineState::Running, boots);
                machine.address = Some(address);
            }
            Action::StopMachine(name) => {
                if let Some(machine) = world.machines.get_mut(name) {
                    machine.state = MachineState::Exited { code: Some(0), out_of_memory: false };
                }
            }
            Action::SaveData { .. } => {}
            Action::FenceMachine(name) => {
                if let Some(at) = world.failing.iter().position(|(part, _)| part == "kill") {
                    world.failing.remove(at);
                    return Err(CliError::new(crate::error::Exit::TimedOut, "it does not end").code("MG076"));
                }
                let is_away = world.lost.contains_key(name);
                let is_slow = world.slow_to_end.contains(name);
                if let Some(machine) = world.machines.get_mut(name) {
                    machine.is_fenced = true;
                    if is_away || is_slow {
                        if is_away {
                            world.lost.insert(name.clone(), true);
                        }
                        let what = format!("whether `{name}` has ended is not known");
                        return Err(CliError::new(crate::error::Exit::Degraded, what).code("MG096"));
                    }
                    if machine.state != MachineState::Created {
                        machine.state = MachineState::Exited { code: Some(137), out_of_memory: false };
                    }
                    world.silent.remove(name);
                }
            }
            Action::KeepDown(name) => {
                assert!(world.lost.contains_key(name), "the host of {name} is there");
                world.machines.get_mut(name).expect("only what is there is kept down").is_fenced = true;
            }
            Action::UnfenceMachine(name) => {
                world.machines.get_mut(name).expect("only what is there is let go").is_fenced = false;
            }
            Action::RemoveMachine(name) => {
                world.machines.remove(name);
                world.certificates.remove(name);
            }
            Action::RemoveVolume(name) => {
                world.disks.remove(name);
            }
            Action::RemoveNetwork => world.network = false,
            other => panic!("`{other}` is for nodes"),
        }
        Ok("done".into())
    }

    async fn last_lines(&self, _: &str, instance: &str, _: usize) -> Vec<String> {
        self.world.borrow().logs.get(instance).cloned().unwrap_or_default()
    }
}

impl Nodes for Fake {
    async fn ask(&self, target: &Target, query: &str) -> Result<Rows, NodeError> {
        let mut world = self.world.borrow_mut();
        let name = &target.instance;
        let running = world.machines.get(name).is_some_and(|m| m.state == MachineState::Running);
        if !running || world.silent.contains(name) {
            return Err(NodeError::Unreachable("connection refused".into()));
        }
        if let Some(machine) = world.machines.get_mut(name).filter(|m| m.boots > 0) {
            machine.boots -= 1;
            return Err(NodeError::Unreachable("connection refused".into()));
        }
        if !query.starts_with("SHOW") {
            world.sent.push(format!("{name}: {query}"));
        }
        if let Some(i) = world.busy.iter().position(|(part, _)| query.contains(part)) {
            return Err(world.busy.remove(i).1);
        }
        let hanging = world.hanging.iter().position(|(part, _)| query.contains(part));
        if let Some((_, takes_effect)) = hanging.map(|i| world.hanging.remove(i)) {
            if takes_effect {
                drop(self.answer(&mut world, name, query));
            }
            world.silent.insert(name.clone());
            return Err(NodeError::TimedOut(Duration::from_secs(5)));
        }
        let failing = world.failing.iter().position(|(part, _)| query.contains(part));
        let failing = failing.map(|i| world.failing.remove(i));
        if failing.as_ref().is_some_and(|(_, takes_effect)| !takes_effect) {
            return Err(NodeError::Unreachable("connection reset".into()));
        }
        let answer = self.answer(&mut world, name, query);
        if failing.is_some() {
            return Err(NodeError::TimedOut(Duration::from_secs(5)));
        }
        answer
    }

    async fn transact(&self, target: &Target, queries: &[&str]) -> Result<(), NodeError> {
        let mut world = self.world.borrow_mut();
        world.sent.extend(queries.iter().map(|q| format!("{}: {q}", target.instance)));
        if self.disk_of(&mut world, &target.instance).role != Role::Main {
            return Err(cited::WRITE_ON_REPLICA.refusal(""));
        }
        commit(&mut world, &self.topology, &target.instance, &queries.join("; "));
        Ok(())
    }
}

impl Fake {
    fn answer(&self, world: &mut World, name: &str, query: &str) -> Result<Rows, NodeError> {
        let rows = |fields: &[&str], rows: Vec<Vec<serde_json::Value>>| {
            Ok(Rows { fields: fields.iter().map(|f| (*f).to_owned()).collect(), rows })
        };
        let disk = self.disk_of(world, name).clone();
        let query = query.trim_end_matches(';');
        match query {
            "SHOW REPLICATION ROLE" => {
                rows(&cited::ROLE.columns(), vec![vec![json!(disk.role.as_str().to_lowercase())]])
            }
            "SHOW REPLICAS" => {
                if disk.role == Role::Replica {
                    return Err(cited::REPLICAS_ON_REPLICA.refusal(""));
                }
                catch_up(world, &self.topology, name);
                let table = disk
                    .replicas
                    .iter()
                    .map(|(replica, mode, address)| {
                        let found = replica_at(world, &self.topology, address);
                        let log = found.map(|f| self.disk_of(world, &f).log.clone());
                        // `cited::STATUS_WORDS`, and `cited::BEHIND_IS_NEGATIVE`.
                        let (status, behind) = match &log {
                            None => ("invalid", 0),
                            Some(log) if !is_prefix(log, &disk.log) => ("diverged", 0),
                            Some(log) => ("ready", log.len() as i64 - disk.log.len() as i64),
                        };
                        let info = json!({"memgraph": {"ts": 0, "behind": behind, "status": status}});
                        vec![
                            json!(replica),
                            json!(address),
                            json!(mode.as_str().to_lowercase()),
                            json!(null),
                            info,
                        ]
                    })
                    .collect();
                rows(&cited::REPLICAS.columns(), table)
            }
            "SHOW REPLICATION STATE" if !self.is_memgraph => {
                let epoch = disk.log.last().map_or(disk.epoch, |(e, _)| *e);
                let chain: String = disk.log.iter().map(|(e, t)| format!("{e}{t}")).collect();
                let promised = match &disk.fenced_by {
                    Some(_) => format!("{}.0000000000000000.0", disk.promised),
                    None => format!("{}.n.1", disk.promised),
                };
                let mode = world.tells_modes.then(|| told_mode(world, &self.topology, name)).flatten();
                let row = vec![
                    json!(format!("{epoch}.n.1")),
                    json!(promised),
                    json!(disk.fenced_by.clone().unwrap_or_default()),
                    json!(disk.log.len()),
                    json!(disk.log.len()),
                    json!(chain),
                    json!(true),
                    json!(name),
                    json!(history(&disk.log)),
                    json!(mode.map(|m| m.as_str())),
                ];
                let fields = [
                    "epoch",
                    "promised",
                    "promised_by",
                    "durable_lsn",
                    "applied_lsn",
                    "chain",
                    "confirmed",
                    "node_id",
                    "history",
                    "mode",
                ];
                rows(&fields, vec![row])
            }
            "SHOW STORAGE INFO" => {
                let row = match self.is_memgraph {
                    // Of the instance alone: nothing of its graph.
                    true => vec![json!("memory_res"), json!("43.16MiB")],
                    false => vec![json!("vertex_ids_given"), json!(disk.log.len())],
                };
                rows(&cited::STORAGE.columns(), vec![row])
            }
            "SHOW STORAGE INFO ON CURRENT DATABASE" if self.is_memgraph => {
                let row = vec![json!("vertex_count"), json!(disk.log.len())];
                // `cited::STORAGE_OF_DATABASE`: the same columns.
                rows(&cited::STORAGE.columns(), vec![row])
            }
            _ if query.starts_with("SET REPLICATION ROLE TO REPLICA WITH PORT ") => {
                if disk.role == Role::Replica {
                    return Err(cited::IS_REPLICA_ALREADY.refusal(""));
                }
                if world.slipping > 0 {
                    world.slipping -= 1;
                    let slipped = (disk.epoch, "slipped in".to_owned());
                    self.disk_of(world, name).log.push(slipped);
                }
                // `cited::DEMOTION_FORGETS_REPLICAS`.
                let port =
                    query.rsplit(' ').next().and_then(|p| p.parse().ok()).expect("it ends with a port");
                let disk = self.disk_of(world, name);
                (disk.role, disk.port, disk.replicas) = (Role::Replica, port, Vec::new());
                // `cited::NO_ROWS`, here and below.
                rows(&[], vec![])
            }
            _ if query.starts_with("SET REPLICATION ROLE TO MAIN") => {
                let asked = query.strip_prefix("SET REPLICATION ROLE TO MAIN WITH EPOCH ");
                if disk.role == Role::Main && asked.is_none() {
                    return Err(cited::IS_MAIN_ALREADY.refusal(""));
                }
                let disk = self.disk_of(world, name);
                let epoch = asked.map_or(disk.epoch.max(disk.promised) + 1, |n| n.parse().expect("a number"));
                if epoch < disk.promised || epoch == disk.promised && disk.fenced_by.is_none() {
                    return Err(ours("A higher epoch is promised here"));
                }
                (disk.role, disk.epoch, disk.promised, disk.fenced_by) = (Role::Main, epoch, epoch, None);
                rows(&[], vec![])
            }
            _ if query.starts_with("FENCE REPLICATION EPOCH ") && !self.is_memgraph => {
                let rest = &query["FENCE REPLICATION EPOCH ".len()..];
                let (epoch, by) = rest.split_once(" BY ").expect("a fence names its operation");
                let (epoch, by) = (epoch.parse().expect("a number"), by.trim_matches('"').to_owned());
                let disk = self.disk_of(world, name);
                if epoch == disk.promised && disk.fenced_by.as_ref() == Some(&by) {
                    return rows(&[], vec![]);
                }
                if epoch <= disk.promised.max(disk.epoch) {
                    return Err(ours("A higher epoch is promised here"));
                }
                (disk.promised, disk.fenced_by) = (epoch, Some(by));
                rows(&[], vec![])
            }
            _ if query.starts_with("DROP REPLICA ") => {
                let replica = query["DROP REPLICA ".len()..].trim_matches('`').to_owned();
                let disk = self.disk_of(world, name);
                let before = disk.replicas.len();
                disk.replicas.retain(|(n, _, _)| *n != replica);
                match before == disk.replicas.len() {
                    true => Err(cited::NOT_REGISTERED.refusal(&replica)),
                    false => rows(&[], vec![]),
                }
            }
            _ if query.starts_with("REGISTER REPLICA ") => {
                let words: Vec<&str> = query.split(' ').collect();
                let (replica, mode, address) =
                    (words[2].trim_matches('`'), words[3], words[5].trim_matches('"'));
                if disk.role == Role::Replica {
                    return Err(cited::REGISTERED_BY_REPLICA.refusal(replica));
                }
                if disk.replicas.iter().any(|(n, _, _)| n == replica) {
                    return Err(cited::NAME_USED.refusal(replica));
                }
                if disk.replicas.iter().any(|(_, _, a)| a == address) {
                    return Err(cited::ENDPOINT_USED.refusal(replica));
                }
                let mode = Mode::parse(mode).expect("a mode");
                // `cited::MAIN_LISTENS_NOT`: a MAIN is not reached there.
                let Some(found) = replica_at(world, &self.topology, address) else {
                    // `cited::UNREACHABLE_IS_KEPT`: its name is taken from now on.
                    if self.is_memgraph {
                        let kept = (replica.to_owned(), mode, address.to_owned());
                        self.disk_of(world, name).replicas.push(kept);
                    }
                    return Err(cited::UNREACHABLE.refusal(replica));
                };
                let log = self.disk_of(world, &found).log.clone();
                if !is_prefix(&log, &disk.log) {
                    return Err(cited::DIVERGED.refusal(replica));
                }
                let follower = self.disk_of(world, &found).clone();
                if follower.promised > disk.epoch {
                    if follower.fenced_by.is_some() {
                        return Err(cited::UNREACHABLE.refusal(replica));
                    }
                    // The promise is its own past reign: MAIN takes a higher epoch first.
                    let own = self.disk_of(world, name);
                    (own.epoch, own.promised) = (follower.promised + 1, follower.promised + 1);
                }
                self.disk_of(world, name).replicas.push((replica.to_owned(), mode, address.to_owned()));
                catch_up(world, &self.topology, name);
                rows(&[], vec![])
            }
            // `cited::SCHEMA`.
            _ if query.starts_with("CREATE INDEX") || query.starts_with("CREATE CONSTRAINT") => {
                self.disk_of(world, name).schema.push(query.to_owned());
                rows(&[], vec![])
            }
            _ => Err(cited::UNKNOWN_QUERY.refusal("")),
        }
    }
}

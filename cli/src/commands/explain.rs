//! `mgctl explain CODE`: what a code means, why there is such a rule, and what helps.

use serde_json::json;

use super::Context;
use crate::args::Explain;
use crate::error::{CliError, Exit};
use crate::topology::nearest;
use crate::ui::{Cell, Table, Ui};

/// Code, what it means, and what to know and do, in that order.
const CODES: &[(&str, &str, &str)] = &[
    (
        "MG001",
        "a file cannot be read, or none is named",
        "Commands that make something need a topology file: as an argument, with -f, in MGCTL_FILE, or as mgctl.yaml or topology.yaml here or above.",
    ),
    (
        "MG002",
        "the file is not valid YAML",
        "Indent with spaces, not tabs. A `${VARIABLE}` inside `{ … }` must be quoted.",
    ),
    (
        "MG003",
        "the topology is empty",
        "It needs a `name` and `instances`. `mgctl init` writes one to begin with.",
    ),
    (
        "MG004",
        "a key is not known here",
        "A misspelt key would be ignored otherwise, and you would find out in production. Keys of your own begin with `x-`.",
    ),
    (
        "MG005",
        "a key or a name stands twice",
        "YAML readers often keep the last one silently; mgctl refuses it and names both lines.",
    ),
    (
        "MG006",
        "a value has the wrong form",
        "Ports are plain numbers, times have a unit (30s), sizes too (1GiB).",
    ),
    ("MG007", "a variable cannot be put in", "`${NAME}` must be set, or have a default: `${NAME:-default}`."),
    ("MG008", "the format of the file is not known", "A file with a newer `apiVersion` needs a newer mgctl."),
    (
        "MG009",
        "a key or word is not served by this version",
        "It belongs to the format and does nothing yet; mgctl refuses it rather than ignore it.",
    ),
    ("MG010", "no node is MAIN", "Exactly one node takes writes: give one of them `role: main`."),
    (
        "MG011",
        "several nodes are declared MAIN",
        "Two MAINs would part ways. Make the others `role: replica`.",
    ),
    (
        "MG012",
        "SYNC and STRICT_SYNC are mixed",
        "With both, a commit would be refused for one replica and go on without another. Use STRICT_SYNC and ASYNC, or SYNC and ASYNC.",
    ),
    (
        "MG013",
        "MAIN has a mode",
        "A mode says how MAIN waits for a REPLICA. How the declared MAIN is registered after a switchover follows `replication.mode`.",
    ),
    (
        "MG014",
        "a mode is not known",
        "ASYNC: MAIN does not wait. SYNC: it waits, and says so where a replica missed a commit. STRICT_SYNC: no commit without every such replica.",
    ),
    (
        "MG015",
        "a name cannot be used",
        "Names become container and host names: lower-case letters, digits, hyphens.",
    ),
    ("MG016", "two nodes have one name or one address", "MAIN tells its replicas apart by both."),
    (
        "MG017",
        "a replication port is unusual or impossible",
        "Memgraph documents 1000 to 10000; the node's own default is 10000.",
    ),
    ("MG018", "two nodes publish Bolt on one port", "Leave `ports` out, and each gets one of its own."),
    (
        "MG019",
        "a port of this machine is taken",
        "Another container or process listens there; it is named. `ports.strategy: auto` takes the next free one.",
    ),
    (
        "MG020",
        "an address does not fit the network",
        "`ip` must lie in `network.subnet`, and not be its first or last address.",
    ),
    (
        "MG021",
        "a network overlaps another one, or none is free",
        "Leave `network.subnet` out, and a free /24 is chosen.",
    ),
    ("MG022", "a memory limit is odd", "Below 64 MiB or so a node does not start."),
    (
        "MG023",
        "MAIN and a SYNC replica have different limits",
        "MAIN waits for that replica, and it may have to be MAIN itself.",
    ),
    (
        "MG024",
        "MAIN and a SYNC replica sync their logs differently",
        "What MAIN acknowledged would be less durable on one of them.",
    ),
    ("MG025", "a flag cannot be set here", "mgctl sets addresses, ports and the data directory itself."),
    (
        "MG026",
        "a password cannot be used, or can be read by others",
        "Keep it out of the topology: `password_file` names a file that only you can read, `password_env` a variable. mgctl shows it nowhere; whoever may use the engine sees it in the environment of the containers.",
    ),
    (
        "MG027",
        "Bolt would be open to the network without a password",
        "A port that Docker publishes goes past ufw and firewalld. Keep `bind: 127.0.0.1`.",
    ),
    (
        "MG028",
        "a swarm cannot do that, or has no such host",
        "With `runtime: swarm` each node is a service that is kept on one host, where its volume is: `host` names it by id, host name or label, else mgctl takes the hosts in turn. Nodes find each other by name in an overlay network, and Bolt is published on every address of their host. Folders, static addresses and `healthcheck.test` are for one machine. docker node ls lists the hosts.",
    ),
    (
        "MG029",
        "an address and the runtime do not go together",
        "With `runtime: external` someone else runs the nodes: each has an `address` (its Bolt), and what says how nodes are run has no meaning. Without it no node has one. `flags` and the rules of `replication` may stay: they tell mgctl what the nodes were started with, and set nothing. mgctl speaks Bolt to the addresses in plain text and without a password: reach them over a network that you trust.",
    ),
    (
        "MG030",
        "two nodes would keep files in one place",
        "Each node has data of its own, which no other may write to: another volume or folder each, or `data: auto`.",
    ),
    (
        "MG031",
        "the cluster is less safe than it looks",
        "One node alone has its data on one disk; data without a place that lasts are gone with their container; and where every replica has priority 0, a failover chooses none by itself.",
    ),
    ("MG032", "an image may change, or differs between nodes", "Name a version, the same for all nodes."),
    (
        "MG033",
        "a label cannot be set",
        "Labels that begin with `dev.mgctl.` are how mgctl knows its containers, networks and volumes. Use a prefix of your own.",
    ),
    (
        "MG034",
        "a setting has no meaning with local processes",
        "`runtime: process` runs no images, limits neither memory nor CPUs, keeps data in its own folder, and uses loopback addresses.",
    ),
    (
        "MG035",
        "a variable of the environment cannot be set",
        "Its name or its value cannot be given to a process.",
    ),
    (
        "MG036",
        "certificates are for the built-in image, and `tls` must not contradict itself or leave out where they are",
        "mgctl gives certificates to the node that it brings along. For another image remove `tls.cluster`, and keep the network between the nodes private. `mode: files` takes those of `folder`, every other mode has none.",
    ),
    (
        "MG037",
        "the image does not have that",
        "The built-in image and Memgraph's differ in what they serve beside the graph. What one does not have is refused, and not ignored.",
    ),
    (
        "MG038",
        "the engine would not take that",
        "How a container is kept is written down as the engine wants it: limits that Linux has, options that the log driver knows, places that are absolute paths or volumes. `restart: no` is how mgctl marks a node that a failover has ended.",
    ),
    (
        "MG039",
        "a network cannot be used like that",
        "mgctl makes a network for each cluster, unless `network: { name: NAME, external: true }` names one that is there: that it neither changes nor removes. The engine's own networks (bridge, host, none) have no names for nodes to find each other by.",
    ),
    (
        "MG040",
        "a node that may be MAIN cannot be fenced",
        "Someone else runs it, and it does not answer. It may be cut off only from here, with clients that write on it. See where it runs that it has ended and stays so; then `failover --force-unfenced` says so. With `main_lease` a MAIN that hears from no majority stops by itself.",
    ),
    (
        "MG041",
        "a promotion would lose commits",
        "`promote` never loses one: it waits, or refuses. `failover --force` accepts the loss and says how much it is, where that can be known.",
    ),
    (
        "MG042",
        "a node holds commits that MAIN does not have",
        "It was MAIN, and wrote after the others had stopped following it. Nothing is cut silently. `rejoin NAME --rewind` cuts its log back to what MAIN has and keeps the rest in `diverged/` of its data directory; `rejoin NAME --wipe` saves its data into a file, gives them up, and copies MAIN's.",
    ),
    (
        "MG043",
        "several nodes are MAIN",
        "mgctl does not choose whose writes count: `repair --main NAME` says it. The others become REPLICAs and keep what they have.",
    ),
    (
        "MG044",
        "no node is MAIN, and mgctl cannot tell which one should be",
        "Bring back what is down with `mgctl up`; or choose: `mgctl failover`, `mgctl promote NAME`.",
    ),
    (
        "MG045",
        "without this MAIN nothing can be written",
        "`promote` moves MAIN without a loss; `demote --no-main` leaves none.",
    ),
    (
        "MG046",
        "that is not for this node",
        "MAIN has no mode, does not rejoin itself, and is not emptied; `reinit` empties only a replica that follows; and data in a folder of yours are for you to delete.",
    ),
    (
        "MG047",
        "it is not safe now",
        "A failover is for a MAIN that is gone; a drill for a cluster that is redundant. A failover that was begun is finished, or undone with `repair --main NAME`, before anything else.",
    ),
    (
        "MG048",
        "what a client was told was not true",
        "A write that was acknowledged OK is missing, or stands twice, or one that was refused is there. That must not happen: run `mgctl verify`, keep the logs, and report it.",
    ),
    (
        "MG049",
        "the logs of nodes have parted",
        "Each holds commits that the other lacks, so whichever is MAIN, some are given up: it is said which node holds how many. `failover NAME --force` chooses; the other follows again after `rejoin NAME --rewind`, which cuts its branch and keeps it in `diverged/` of its data directory.",
    ),
    (
        "MG051",
        "the replica is registered already (server error 1)",
        "`unregister` removes it; `set-mode` changes its mode.",
    ),
    (
        "MG052",
        "the address is registered under another name (server error 2)",
        "`show-replicas` shows it, `unregister` removes it.",
    ),
    (
        "MG053",
        "the node cannot follow this MAIN (server error 3)",
        "It holds commits that MAIN lacks: see MG042.",
    ),
    (
        "MG054",
        "MAIN could not write the registration to its disk (server error 4)",
        "See whether its disk is full: `mgctl logs`.",
    ),
    (
        "MG055",
        "nobody answers at that address as a REPLICA (server error 5)",
        "The node is down, is a MAIN, or is at another address; `repair` finds out.",
    ),
    (
        "MG056",
        "another role query was under way (server error 6)",
        "mgctl has tried for two seconds; try again.",
    ),
    (
        "MG060",
        "every step succeeded, and the cluster is not as it should be",
        "Somebody else changes it, or mgctl has a defect. What is left to do is listed.",
    ),
    (
        "MG061",
        "the container engine does not answer",
        "Start Docker, name an engine with --host or DOCKER_HOST, or go without: --runtime process.",
    ),
    (
        "MG062",
        "an image cannot be had",
        "Its name is wrong, its registry is not reached, or this executable cannot be packed.",
    ),
    (
        "MG063",
        "the engine could not start the container",
        "Its own words follow; often a file system, a limit or a security setting.",
    ),
    (
        "MG064",
        "an object of that name exists and is not mgctl's",
        "mgctl touches nothing that it did not make. Rename or remove it, or give the cluster another name.",
    ),
    ("MG065", "there is no such cluster or node", "`mgctl ls` lists the clusters, `mgctl status` the nodes."),
    ("MG066", "a machine has no address", "It does not run, or is off its network: `mgctl heal NAME`."),
    ("MG067", "a node refused a query", "Its own words follow."),
    (
        "MG068",
        "a node does not answer",
        "It is starting, hangs, or is gone: `mgctl status`, `mgctl logs NAME`.",
    ),
    ("MG069", "a node refuses to talk", "It speaks Bolt, and says why it does not answer."),
    ("MG070", "a machine does not run", "Its last lines tell why: `mgctl logs NAME`. `mgctl up` starts it."),
    (
        "MG071",
        "a replica did not catch up in time",
        "It may still: `mgctl status`. Wait longer with --timeout.",
    ),
    (
        "MG072",
        "a node did not answer a query in time",
        "Whether it carried it out is not known; mgctl asks before it goes on.",
    ),
    (
        "MG073",
        "a node did not come up in time",
        "`mgctl logs NAME` tells what it does. Wait longer with --timeout.",
    ),
    (
        "MG074",
        "MAIN does not know a replica",
        "Somebody dropped it. `repair` or `register NAME` registers it again.",
    ),
    (
        "MG075",
        "a statement of init.cypher failed",
        "Its data statements are one transaction: all of them are there, or none.",
    ),
    (
        "MG076",
        "the engine or the system did not do it in time",
        "Whether it still will is not known. Look, then run the command again: it goes on from what is there.",
    ),
    (
        "MG077",
        "an object is in use",
        "A volume belongs to a machine that still exists; `down` removes machines first.",
    ),
    ("MG078", "a file or folder cannot be used", "Its permissions, or the disk, are in the way."),
    (
        "MG079",
        "the graph changes while it is read",
        "Two graphs are compared at one position. Stop what writes, and run `verify` again.",
    ),
    (
        "MG080",
        "two nodes answer differently",
        "At the same position they must not. Keep the logs of both, and report it.",
    ),
    (
        "MG085",
        "the cluster's authority cannot be used",
        "Its key or its certificate is damaged, or was exchanged. The nodes go on with the certificates that they have; after `down`, removing its volume (`mgctl-CLUSTER-ca`, or `.ca` in the state folder) and `up`, every node has a new one.",
    ),
    (
        "MG086",
        "a certificate of `tls.folder` cannot be used",
        "With `tls.mode: files` the folder holds ca.crt, and NAME.crt and NAME.key of each node, PEM. A certificate is signed by the authority, names the node and its cluster (NAME.CLUSTER.mgctl and CLUSTER.mgctl), is for servers and clients both, is valid now, and belongs to its key: a node would take no other. Nothing was changed; nodes that run go on with those that they have.",
    ),
    (
        "MG090",
        "another mgctl is at work on this cluster",
        "One at a time changes a cluster. The claim of one that died ends by itself.",
    ),
    ("MG091", "declined", "Nothing was changed. --yes answers every question."),
    (
        "MG092",
        "this runtime cannot do that",
        "Local processes share one network; containers can be parted from theirs. An overlay network needs an engine that is in a swarm, and `runtime: swarm` one that manages it; through a manager no single container is killed, frozen or copied from.",
    ),
    (
        "MG093",
        "mgctl does not run these nodes",
        "With `runtime: external` it asks and tells them over Bolt. What starts, stops or makes a node is done where the node runs.",
    ),
    (
        "MG094",
        "this cannot be exported",
        "`export` writes clusters of the built-in image that mgctl would run itself. What it leaves out stands at the top of what it writes.",
    ),
    (
        "MG095",
        "the host of a node is not reached",
        "The managers of the swarm do not hear of it: it is down, or cut off. Its node may run, and its data are there. When the host is back, the swarm goes on by itself. If the node was MAIN and the host stays away: `mgctl failover`.",
    ),
    (
        "MG096",
        "whether a node has ended is not known",
        "It was told to, and its host does not say that it did. A service that is told to run nothing is no proof: on a host that is cut off its container runs on, and clients that reach it may write. Where nobody hears of the host: see there that it is off, then `mgctl failover --force-unfenced`. Where the host is heard of, no word will do: see why the container does not end, end it, and run `mgctl failover` again. It is not run again when the host is back.",
    ),
    (
        "MG097",
        "a volume is on another host of the swarm",
        "A manager removes no volumes of other hosts. Remove it there (`docker volume rm`), then the config that keeps where it was (`docker config rm`), both by the names that are told. Until then `mgctl up` finds those data again.",
    ),
    (
        "MG100",
        "a backup is damaged",
        "A checksum does not fit, or the file is cut off. Nothing of it was restored. `restore --dry-run` checks a backup without a change; keep more than one.",
    ),
    ("MG101", "the file is no backup", "`mgctl backup` writes one. Cypher and CSV are for `mgctl import`."),
    (
        "MG102",
        "a newer mgctl wrote the backup",
        "Restore it with that version; the nodes may stay as they are.",
    ),
    (
        "MG103",
        "the cluster is not empty",
        "`restore` overwrites nothing. Name a topology with another `name`, or empty this one: `mgctl down --volumes`, which asks first.",
    ),
    (
        "MG104",
        "an import was refused",
        "Of Cypher, what the transactions before it brought in stays; of CSV and of another server, it is removed again, or said what is left to do. The transaction that was refused left nothing; of one without an answer that is not known. Mend the file, and go on with --from-line, or begin with an empty cluster.",
    ),
    (
        "MG105",
        "a CSV or Cypher file cannot be read",
        "The place is named by line and column. The header says what a column holds: `mgctl import --help`.",
    ),
    (
        "MG106",
        "the graph is not the one that was to be copied",
        "Counts or digest differ: something wrote meanwhile, or the server changed values as it took them.",
    ),
    (
        "MG107",
        "something has no form in Cypher, or not at this server",
        "Bytes have no literal; some indexes and constraints exist at one server only. What is left out is named.",
    ),
    (
        "MG108",
        "the graph cannot be read as one state",
        "Its schema changed meanwhile, or an import is under way, or the server (Neo4j) shows what others write. Run it again when that is over.",
    ),
    (
        "MG109",
        "the server to copy from cannot be used",
        "It must answer Bolt without TLS at the address after `bolt://`. The password is read from MGCTL_FROM_PASSWORD.",
    ),
];

pub(super) fn run(context: &Context, args: &Explain) -> Result<Exit, CliError> {
    let Some(code) = &args.code else {
        let data = json!({ "codes": CODES.iter().map(|(code, what, _)| json!({"name": code, "message": what})).collect::<Vec<_>>() });
        let text = |ui: &Ui| {
            let mut table = Table::new(["CODE", "MEANS"]);
            for (code, what, _) in CODES {
                table.row([Cell::from(*code), Cell::from(*what)]);
            }
            table.render(ui)
        };
        context.ui.result("Codes", None, data, &[], text);
        return Ok(Exit::Ok);
    };
    let wanted = code.trim().to_ascii_uppercase();
    let wanted = if wanted.bytes().all(|b| b.is_ascii_digit()) { format!("MG{wanted:0>3}") } else { wanted };
    let Some((code, what, more)) = CODES.iter().find(|(code, _, _)| *code == wanted) else {
        let mut error = CliError::new(Exit::NotFound, format!("there is no code `{code}`"));
        if let Some(near) = nearest(&wanted, CODES.iter().map(|(code, _, _)| *code)) {
            error = error.help(format!("did you mean {near}?"));
        }
        return Err(error.help(format!("all of them: {} explain", context.program)));
    };
    let data = json!({ "name": code, "message": what, "text": more });
    context.ui.result("Code", None, data, &[], |_| format!("{code}: {what}\n\n{more}"));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::CODES;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn codes_in(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes_in(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("explain.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for part in text.split("\"MG").skip(1) {
                    let digits: String = part.chars().take(3).collect();
                    if digits.bytes().all(|b| b.is_ascii_digit()) && part[3..].starts_with('"') {
                        found.insert(format!("MG{digits}"));
                    }
                }
            }
        }
    }

    #[test]
    fn every_code_that_is_told_is_explained_and_no_other() {
        let mut told = BTreeSet::new();
        codes_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut told);
        assert!(told.len() > 50, "{told:?}");
        let explained: BTreeSet<String> = CODES.iter().map(|(code, _, _)| (*code).to_owned()).collect();
        assert_eq!(told, explained);
        assert_eq!(explained.len(), CODES.len(), "a code is explained twice");
    }
}

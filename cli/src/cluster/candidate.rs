//! Who becomes MAIN when MAIN is gone, and what that loses. Pure.
//!
//! A node loses nothing by itself where the log of every other REPLICA that answers is the beginning of its own.
//! That a log is of a later reign, or longer, does not say so: whoever was MAIN for a moment, by somebody's hand,
//! has a record of a higher epoch and may lack the last ones of the reign before. So logs are compared by their
//! histories; where they have parted nobody is chosen without a word of the operator.

use super::failover::Request;
use super::observed::{NodeFacts, NodeView, Position};
use super::rewind::{Parting, commits};
use crate::error::{CliError, Exit};
use crate::topology::{Instance, Mode, Role, Topology};
use std::collections::BTreeMap;

pub(super) type Views = BTreeMap<String, NodeView>;

pub(super) fn facts<'a>(nodes: &'a Views, name: &str) -> Option<&'a NodeFacts> {
    nodes.get(name).and_then(NodeView::facts)
}

pub(super) fn refuse(topology: &Topology, what: impl Into<String>) -> CliError {
    CliError::new(Exit::Unsafe, what).code("MG047").thing(format!("cluster `{}`", topology.name))
}

/// What a failover loses of what MAIN had acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing that was acknowledged OK: the logs of these SYNC replicas are the beginning of the candidate's, and
    /// one of them at least had each such commit.
    Covered { by: Vec<String> },
    /// So many commits: MAIN itself could be asked.
    Known(u64),
    /// Other nodes have so many commits that the candidate lacks.
    Behind { node: String, commits: u64 },
    /// The candidate's log and another have parted: each holds commits that the other lacks.
    Parted { node: String, parting: Parting },
    /// Nobody can tell: where `sync_min_acks` of the SYNC replicas confirm a commit, so many must be asked that
    /// one of them had it.
    TooFew { answer: usize, needed: usize },
    /// Nobody can tell.
    Unknown,
    /// The run that promoted has told it.
    Told,
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Loss::Covered { .. } => f.write_str("0 commits that were acknowledged OK"),
            Loss::Known(count) => f.write_str(&commits(*count)),
            Loss::Behind { node, commits: count } => {
                write!(f, "at least {}, which `{node}` has", commits(*count))
            }
            Loss::Parted { node, parting } => {
                write!(f, "at least {}, which `{node}` has on a branch of its own", commits(parting.theirs))
            }
            Loss::TooFew { answer, needed } => {
                write!(f, "not known: {answer} of the {needed} SYNC replicas answer that must be asked")
            }
            Loss::Unknown => f.write_str(
                "not known: no SYNC replica answers that followed the last MAIN, and MAIN cannot be asked",
            ),
            Loss::Told => f.write_str("as the run said that promoted it"),
        }
    }
}

impl Loss {
    /// Returns how many commits are lost, where that is known.
    pub fn commits(&self) -> Option<u64> {
        match self {
            Loss::Covered { .. } => Some(0),
            Loss::Known(commits) => Some(*commits),
            Loss::Behind { .. } | Loss::Parted { .. } | Loss::TooFew { .. } | Loss::Unknown | Loss::Told => {
                None
            }
        }
    }

    /// Returns what is not certain about it, in a sentence.
    pub fn caveat(&self) -> Option<String> {
        match self {
            Loss::Covered { by } => Some(format!(
                "SYNC: {}; commits that MAIN acknowledged with a warning while one was away may be missing",
                by.join(", ")
            )),
            _ => None,
        }
    }

    /// Returns true if MAIN said it, and `later`, by what is left without MAIN, says nothing more.
    pub(super) fn includes(&self, later: &Loss) -> bool {
        match (self, later) {
            (Loss::Known(known), Loss::Behind { commits, .. }) => commits <= known,
            // A branch that has parted from MAIN's is none of its commits.
            (Loss::Known(_), _) => true,
            _ => false,
        }
    }
}

type Replica<'a> = (&'a Instance, &'a NodeFacts);

/// Where the log of `own` and another node's part; `None` where one of them does not say where it is.
pub(super) fn parting(own: &NodeFacts, other: &NodeFacts) -> Option<Parting> {
    Some(own.position.as_ref()?.parting(other.position.as_ref()?))
}

/// Chooses who becomes MAIN, and says what that loses.
pub(super) fn pick(
    topology: &Topology,
    nodes: &Views,
    request: &Request,
) -> Result<(String, Loss), CliError> {
    let replicas = replicas(topology, nodes);
    if replicas.is_empty() {
        return Err(CliError::new(Exit::Degraded, "no REPLICA answers: there is nobody to be MAIN")
            .code("MG044")
            .thing(format!("cluster `{}`", topology.name))
            .help("bring one back: mgctl up"));
    }
    let (instance, own) = match &request.candidate {
        Some(name) => replicas.iter().find(|(i, _)| i.name == *name).copied().ok_or_else(|| {
            refuse(topology, format!("`{name}` cannot be MAIN: it does not answer as a REPLICA"))
                .help("let the best one be chosen: mgctl failover")
        })?,
        None => {
            let eligible = replicas.iter().filter(|(i, _)| i.priority > 0);
            let holds_all = |(i, own): &Replica<'_>| {
                !matches!(loss(topology, nodes, i, own), Loss::Behind { .. } | Loss::Parted { .. })
            };
            let order = |f: &NodeFacts| f.position.as_ref().map(Position::order);
            let rank = |r: &Replica<'_>| (holds_all(r), order(r.1), is_sync(r), r.0.priority);
            // Of equals the first of the file.
            eligible.copied().rev().max_by_key(rank).ok_or_else(|| {
                refuse(topology, "every node that answers has priority 0: none is chosen by itself")
                    .help(format!("name one: mgctl failover {}", replicas[0].0.name))
            })?
        }
    };
    Ok((instance.name.clone(), loss(topology, nodes, instance, own)))
}

fn replicas<'a>(topology: &'a Topology, nodes: &'a Views) -> Vec<Replica<'a>> {
    topology
        .instances
        .iter()
        .filter_map(|i| Some((i, facts(nodes, &i.name)?)))
        .filter(|(_, f)| f.role == Role::Replica)
        .collect()
}

/// The file says how it should be, MAIN said how it was: only who is SYNC by both had every commit.
fn is_sync((instance, facts): &Replica<'_>) -> bool {
    instance.mode != Mode::Async && facts.position.as_ref().and_then(|p| p.mode) != Some(Mode::Async)
}

/// Whether a node got the records of its last reign from a MAIN, and did not write them itself.
fn has_followed(facts: &NodeFacts) -> bool {
    let Some(position) = &facts.position else { return false };
    let last = position.history.last().and_then(|(epoch, _)| epoch.split('.').nth(1));
    last.is_some_and(|author| author != position.node)
}

/// Returns what is lost with `instance` as MAIN.
fn loss(topology: &Topology, nodes: &Views, instance: &Instance, own: &NodeFacts) -> Loss {
    let replicas = replicas(topology, nodes);
    let reign = |f: &NodeFacts| f.position.as_ref().map(|p| p.order().0);
    let latest = nodes.values().filter_map(NodeView::facts).filter_map(reign).max();
    let partings: Vec<(&Replica<'_>, Option<Parting>)> =
        replicas.iter().map(|other| (other, parting(own, other.1))).collect();

    // Where a SYNC replica followed the MAIN of the latest reign, and its log is the beginning of the candidate's, a
    // branch of an earlier reign was given up when that MAIN was made. Whoever was MAIN only for a moment has no such
    // follower: what it holds may be less than what an earlier MAIN acknowledged.
    let was_followed = reign(own) == latest
        && partings.iter().any(|(other, parting)| {
            let is_part = parting.as_ref().is_some_and(Parting::covers);
            is_part && reign(other.1) == latest && is_sync(other) && has_followed(other.1)
        });
    let is_given_up =
        |facts: &NodeFacts, parting: &Parting| was_followed && parting.is_fork() && reign(facts) < latest;

    // A MAIN of the latest reign that answers says itself what would be lost. What has parted from its log parted
    // before, and is none of its commits.
    let of_main = topology
        .instances
        .iter()
        .filter_map(|i| Some((i, facts(nodes, &i.name)?)))
        .filter(|(_, f)| f.role == Role::Main);
    for (main, facts) in of_main {
        match parting(own, facts) {
            Some(parting) if parting.own == 0 && reign(facts) == latest => {
                return Loss::Known(parting.theirs);
            }
            Some(parting) if parting.is_fork() && !is_given_up(facts, &parting) => {
                return Loss::Parted { node: main.name.clone(), parting };
            }
            Some(_) | None => {}
        }
    }
    let lost = partings
        .iter()
        .filter_map(|(other, parting)| Some((other, parting.as_ref()?)))
        .filter(|(other, p)| !p.covers() && !is_given_up(other.1, p))
        .max_by_key(|(_, p)| (p.is_fork(), p.theirs));
    if let Some((other, parting)) = lost {
        let node = other.0.name.clone();
        return match parting.is_fork() {
            true => Loss::Parted { node, parting: parting.clone() },
            false => Loss::Behind { node, commits: parting.theirs },
        };
    }
    // Whoever has no record of the reign that the candidate has records of may never have followed that MAIN.
    let by: Vec<String> = partings
        .iter()
        .filter(|(other, parting)| match parting {
            Some(_) => reign(other.1) == reign(own),
            None => other.0.name == instance.name,
        })
        .filter(|(other, _)| is_sync(other))
        .map(|(other, _)| other.0.name.clone())
        .collect();
    let needed = sync_to_ask(topology, nodes);
    match by.len() {
        0 => Loss::Unknown,
        answer if answer < needed => Loss::TooFew { answer, needed },
        _ => Loss::Covered { by },
    }
}

/// Refuses a loss that was not accepted.
pub(super) fn accept(
    topology: &Topology,
    nodes: &Views,
    request: &Request,
    name: &str,
    loss: &Loss,
) -> Result<(), CliError> {
    if request.force {
        return Ok(());
    }
    let unsafe_because = match loss {
        Loss::Covered { .. } | Loss::Told | Loss::Known(0) => return Ok(()),
        Loss::Known(_) if request.kill_main => return Ok(()),
        Loss::Known(1) => "1 commit is on MAIN only".to_owned(),
        Loss::Known(count) => format!("{} are on MAIN only", commits(*count)),
        Loss::Behind { node, commits: count } => {
            format!("`{node}` has {} that `{name}` lacks", commits(*count))
        }
        Loss::Parted { .. } => return Err(parted(topology, nodes, name)),
        Loss::TooFew { answer, needed } => format!(
            "`sync_min_acks` lets MAIN say OK before every SYNC replica has a commit: {needed} of them must be \
             asked, and {answer} answer"
        ),
        Loss::Unknown => unknown(topology, nodes, name),
    };
    let mut error = refuse(topology, format!("`{name}` cannot be promoted without a loss"))
        .code("MG041")
        .note(unsafe_because)
        .note("nobody was promoted");
    if let Loss::Behind { node, .. } = loss {
        error = error.help(format!("promote the one that has more: mgctl failover {node}"));
    }
    Err(error
        .help("bring the old MAIN back: mgctl up")
        .help(format!("accept the loss: mgctl failover {name} --force")))
}

fn unknown(topology: &Topology, nodes: &Views, name: &str) -> String {
    let position = facts(nodes, name).and_then(|f| f.position.as_ref());
    let by_file = topology.instance(name).map_or(Mode::Async, |i| i.mode);
    match position {
        Some(position) => {
            // MAIN may have made it ASYNC since the file was written.
            let mode = position.mode.unwrap_or(by_file);
            format!(
                "`{name}` is {mode}, and no SYNC replica answers that followed the last MAIN: what it lacks cannot be known"
            )
        }
        None => format!("`{name}` is {by_file}, and this image cannot say which commits it has"),
    }
}

/// The error where logs have parted: what each branch holds, and what choosing one of them means.
fn parted(topology: &Topology, nodes: &Views, name: &str) -> CliError {
    let all = |other: &&Instance| other.name != name;
    let forks: Vec<(&Instance, Parting)> = topology
        .instances
        .iter()
        .filter(all)
        .filter_map(|i| Some((i, parting(facts(nodes, name)?, facts(nodes, &i.name)?)?)))
        .filter(|(_, p)| p.is_fork())
        .collect();
    let others: Vec<String> = forks.iter().map(|(i, _)| format!("`{}`", i.name)).collect();
    let mut error =
        refuse(topology, format!("the logs of `{name}` and {} have parted", others.join(", "))).code("MG049");
    for (other, parting) in &forks {
        error = error.note(parting.describe(name, &other.name));
    }
    error = error.note("nobody was promoted").help("bring the old MAIN back: mgctl up");
    let is_replica = |i: &&Instance| facts(nodes, &i.name).is_some_and(|f| f.role == Role::Replica);
    let choices = topology.instance(name).into_iter().chain(forks.iter().map(|(i, _)| *i)).filter(is_replica);
    for choice in choices {
        let Some(own) = facts(nodes, &choice.name) else { continue };
        let loss = loss(topology, nodes, choice, own);
        error = error.help(format!("give up {loss}: mgctl failover {} --force", choice.name));
    }
    error.help(
        "who was given up follows again after `mgctl rejoin NAME --rewind`, which cuts its branch and keeps it in \
         `diverged/` of its data directory",
    )
}

/// How many SYNC replicas must be asked so that one of them at least had every commit that MAIN called OK: of N
/// that it waited for k of, N - k + 1.
fn sync_to_ask(topology: &Topology, nodes: &Views) -> usize {
    let flag = |i: &Instance| i.flags.get("replication-sync-min-acks")?.parse::<usize>().ok();
    let Some(min_acks) = topology.instances.iter().filter_map(flag).min() else { return 1 };
    if topology.instances.iter().any(|i| i.mode == Mode::StrictSync) {
        return 1;
    }
    let sync = topology.instances.iter().filter(|i| i.mode == Mode::Sync).count();
    // MAIN is none of its replicas. Where it may be one of several nodes, the larger number is safe.
    let may_be_main: Vec<&Instance> = topology
        .instances
        .iter()
        .filter(|i| facts(nodes, &i.name).is_none_or(|f| f.role == Role::Main))
        .collect();
    let is_sync = !may_be_main.is_empty() && may_be_main.iter().all(|i| i.mode == Mode::Sync);
    (sync - usize::from(is_sync) + 1).saturating_sub(min_acks.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log: the number of the epoch that wrote each record. Equal places of an epoch hold one record.
    type Log = Vec<u64>;

    fn position(log: &Log, mode: Mode) -> Position {
        let begins = |i: &usize| *i == 0 || log[i - 1] != log[*i];
        let name = |epoch: u64| format!("{epoch}.n{epoch}.1");
        Position {
            epoch: name(log.last().copied().unwrap_or(0)),
            durable: log.len() as u64,
            applied: log.len() as u64,
            chain: format!("{log:?}"),
            history: (0..log.len()).filter(begins).map(|i| (name(log[i]), i as u64 + 1)).collect(),
            is_confirmed: true,
            promised: "9.0000000000000000.0".into(),
            promised_by: String::new(),
            // It wrote its last records itself.
            node: format!("n{}", log.last().copied().unwrap_or(0)),
            cluster: None,
            mode: Some(mode),
            warnings: Vec::new(),
        }
    }

    fn answers(role: Role, log: &Log, mode: Mode) -> NodeView {
        let position = Some(position(log, mode));
        NodeView::Answered(Box::new(NodeFacts { role, replicas: Vec::new(), position, is_untouched: false }))
    }

    fn topology() -> Topology {
        let text = "name: t\ninstances:\n  m: { role: main }\n  a: { role: replica, mode: SYNC }\n  \
                    b: { role: replica, mode: SYNC }\n  c: { role: replica, mode: SYNC }\n";
        let source =
            crate::topology::Source { name: "t.yaml".into(), directory: ".".into(), text: text.into() };
        crate::topology::load(&source, &|_| None).unwrap().topology
    }

    /// Whether a log can exist beside another: a record's name is (epoch, LSN), so from a common one back all is
    /// common.
    fn can_be(a: &Log, b: &Log) -> bool {
        let last = (0..a.len().min(b.len())).rev().find(|i| a[*i] == b[*i]);
        last.is_none_or(|last| a[..last] == b[..last])
    }

    fn lacks(own: &Log, other: &Log) -> u64 {
        let common = own.iter().zip(other).take_while(|(a, b)| a == b).count();
        (other.len() - common) as u64
    }

    fn all_logs() -> Vec<Log> {
        let mut logs: Vec<Log> = vec![vec![]];
        let mut from = 0;
        for _ in 0..3 {
            let until = logs.len();
            for i in from..until {
                for epoch in logs[i].last().copied().unwrap_or(1)..=3 {
                    let mut longer = logs[i].clone();
                    longer.push(epoch);
                    logs.push(longer);
                }
            }
            from = until;
        }
        logs
    }

    #[test]
    fn of_all_small_histories_in_all_orders_nothing_is_lost_that_is_not_told() {
        let topology = topology();
        let logs = all_logs();
        assert_eq!(logs.len(), 20);
        let (mut covered, mut parted) = (0, 0);
        for (a, b, c) in logs.iter().flat_map(|a| {
            let logs = &logs;
            logs.iter().flat_map(move |b| logs.iter().map(move |c| (a, b, c)))
        }) {
            if !(can_be(a, b) && can_be(b, c) && can_be(a, c)) {
                continue;
            }
            for async_one in [None, Some("a"), Some("b"), Some("c")] {
                let all = [("a", a), ("b", b), ("c", c)];
                let mode = |name| if async_one == Some(name) { Mode::Async } else { Mode::Sync };
                let nodes: Views = all
                    .iter()
                    .map(|(name, log)| ((*name).to_owned(), answers(Role::Replica, log, mode(*name))))
                    .collect();
                for asked in [None, Some("a"), Some("b"), Some("c")] {
                    let request = Request { candidate: asked.map(str::to_owned), ..Request::default() };
                    let (name, loss) = pick(&topology, &nodes, &request).unwrap();
                    assert!(asked.is_none_or(|asked| asked == name));
                    let own = all.iter().find(|(n, _)| *n == name).unwrap().1;
                    let most = all.iter().map(|(_, log)| lacks(own, log)).max().unwrap();
                    let told = format!("{name} of {all:?}, ASYNC {async_one:?}: {loss:?}");
                    let of = |node: &str| all.iter().find(|(n, _)| *n == node).unwrap().1;
                    match &loss {
                        Loss::Covered { by } => {
                            covered += 1;
                            assert_eq!(most, 0, "{told}");
                            assert!(by.iter().all(|n| of(n).last() == own.last()), "{told}");
                        }
                        Loss::Behind { node, commits } => {
                            assert_eq!((*commits, *commits), (most, lacks(own, of(node))), "{told}");
                            assert_eq!(lacks(of(node), own), 0, "{told}");
                        }
                        Loss::Parted { node, parting } => {
                            parted += 1;
                            assert_eq!(parting.theirs, lacks(own, of(node)), "{told}");
                            assert_eq!(parting.own, lacks(of(node), own), "{told}");
                            assert!(parting.is_fork(), "{told}");
                        }
                        Loss::Unknown => assert_eq!(most, 0, "{told}"),
                        Loss::Known(_) | Loss::TooFew { .. } | Loss::Told => panic!("{told}"),
                    }
                    let taken = accept(&topology, &nodes, &request, &name, &loss);
                    assert_eq!(taken.is_ok(), matches!(loss, Loss::Covered { .. }), "{told}");
                    // By itself nobody is chosen who lacks something where another lacks nothing.
                    let best = all.iter().any(|(_, o)| all.iter().all(|(_, log)| lacks(o, log) == 0));
                    assert!(asked.is_some() || !best || most == 0, "{told}");
                }
            }
        }
        assert!(covered > 100 && parted > 100, "{covered} {parted}");
    }

    #[test]
    fn a_parting_is_refused_with_both_branches_named() {
        let nodes: Views = [
            ("a".to_owned(), answers(Role::Replica, &vec![1, 1, 2], Mode::Sync)),
            ("b".to_owned(), answers(Role::Replica, &vec![1, 1, 1, 1, 1], Mode::Sync)),
            ("c".to_owned(), answers(Role::Replica, &vec![1, 1, 1, 1], Mode::Sync)),
        ]
        .into();
        let topology = topology();
        let request = Request::default();
        let (name, loss) = pick(&topology, &nodes, &request).unwrap();
        assert_eq!(loss.to_string(), "at least 3 commits, which `b` has on a branch of its own");
        let error = accept(&topology, &nodes, &request, &name, &loss).unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG049")));
        let problem = error.problem();
        assert_eq!(problem.what, "the logs of `a` and `b`, `c` have parted");
        assert_eq!(
            problem.notes,
            [
                "after 1.n1.1:2 `a` holds 1 commit that `b` lacks, and `b` 3 commits that `a` lacks",
                "after 1.n1.1:2 `a` holds 1 commit that `c` lacks, and `c` 2 commits that `a` lacks",
                "nobody was promoted",
            ]
        );
        let help = problem.help.join("\n");
        for part in [
            "give up at least 3 commits, which `b` has on a branch of its own: mgctl failover a --force",
            "give up at least 1 commit, which `a` has on a branch of its own: mgctl failover b --force",
            "rejoin NAME --rewind",
        ] {
            assert!(help.contains(part), "{help}");
        }
        let forced = Request { force: true, ..request };
        accept(&topology, &nodes, &forced, &name, &loss).unwrap();
    }

    #[test]
    fn a_branch_that_was_given_up_when_the_last_main_was_made_does_not_hold_up_the_next_failover() {
        let follower = |log: &[u64], mode| {
            let position = Some(Position { node: "follower".into(), ..position(&log.to_vec(), mode) });
            NodeView::Answered(Box::new(NodeFacts {
                role: Role::Replica,
                replicas: Vec::new(),
                position,
                is_untouched: false,
            }))
        };
        // `m` died in reign 1 with commits of its own, came back, and was not rewound; the MAIN of reign 2 is gone.
        let old = answers(Role::Replica, &vec![1, 1, 1, 1], Mode::Sync);
        let (topology, request) = (topology(), Request::default());
        let mut nodes: Views = [
            ("a".to_owned(), follower(&[1, 1, 2], Mode::Sync)),
            ("b".to_owned(), follower(&[1, 1, 2, 2], Mode::Sync)),
            ("c".to_owned(), old),
        ]
        .into();
        let covered = Loss::Covered { by: vec!["a".into(), "b".into()] };
        assert_eq!(pick(&topology, &nodes, &request).unwrap(), ("b".to_owned(), covered));
        // One that is only ASYNC does not vouch for its MAIN.
        nodes.remove("a");
        nodes.insert("b".into(), follower(&[1, 1, 2, 2], Mode::Async));
        let (name, loss) = pick(&topology, &nodes, &request).unwrap();
        assert!(matches!(&loss, Loss::Parted { node, .. } if node == "c"), "{name}: {loss:?}");
        // A branch of the latest reign is none that was given up.
        nodes.insert("a".into(), follower(&[1, 3], Mode::Sync));
        nodes.insert("b".into(), follower(&[1, 1, 2, 2], Mode::Sync));
        let named = Request { candidate: Some("b".into()), ..request };
        let (_, loss) = pick(&topology, &nodes, &named).unwrap();
        assert!(matches!(&loss, Loss::Parted { .. }), "{loss:?}");
    }

    #[test]
    fn a_sync_replica_without_a_record_of_the_last_reign_does_not_vouch_for_it() {
        let view = |log: &[u64], mode| answers(Role::Replica, &log.to_vec(), mode);
        let mut nodes: Views =
            [("a".to_owned(), view(&[1, 2], Mode::Async)), ("b".to_owned(), view(&[1], Mode::Sync))].into();
        let (topology, request) = (topology(), Request::default());
        assert_eq!(pick(&topology, &nodes, &request).unwrap(), ("a".to_owned(), Loss::Unknown));
        nodes.insert("c".into(), view(&[1, 2], Mode::Sync));
        let covered = Loss::Covered { by: vec!["c".into()] };
        assert_eq!(pick(&topology, &nodes, &request).unwrap(), ("c".to_owned(), covered));
    }

    #[test]
    fn a_main_that_answers_says_what_is_lost_and_old_branches_are_none_of_it() {
        let (topology, request) = (topology(), Request::default());
        let mut nodes: Views = [
            ("m".to_owned(), answers(Role::Main, &vec![1, 2, 2, 2], Mode::Sync)),
            ("a".to_owned(), answers(Role::Replica, &vec![1, 2, 2], Mode::Sync)),
            ("b".to_owned(), answers(Role::Replica, &vec![1, 1, 1], Mode::Sync)),
        ]
        .into();
        let (name, loss) = pick(&topology, &nodes, &request).unwrap();
        assert_eq!((name.as_str(), &loss), ("a", &Loss::Known(1)));
        let main = nodes.remove("m").unwrap();
        let later = pick(&topology, &nodes, &request).unwrap().1;
        assert!(matches!(later, Loss::Parted { .. }) && loss.includes(&later), "{later:?}");
        // A MAIN whose reign is over does not speak for what came after it.
        nodes.insert("m".into(), main);
        nodes.insert("b".into(), answers(Role::Replica, &vec![1, 3], Mode::Sync));
        let named = Request { candidate: Some("a".into()), ..request };
        let loss = pick(&topology, &nodes, &named).unwrap().1;
        assert!(matches!(&loss, Loss::Parted { node, .. } if node == "b"), "{loss:?}");
    }
}

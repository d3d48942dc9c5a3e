//! The data of every kind.

use serde_json::{Value, json};

use super::shape::{
    anything, either, flag, integer, list, maybe, milliseconds, mode, named, number, object, text, texts,
    with, words,
};

/// What `data` of a kind is.
pub struct Kind {
    /// Its name, `kind` of the envelope.
    pub name: &'static str,
    /// The verbs that answer it.
    pub verbs: &'static [&'static str],
    /// What it says.
    pub about: &'static str,
    /// The schema of `data`.
    pub data: fn() -> Value,
}

/// Verbs that answer nothing with an envelope, and why.
pub const WITHOUT: &[(&str, &str)] = &[
    ("completions", "a script for a shell is the result itself"),
    ("console", "a talk has no envelope; `query` has one"),
    ("node", "it is a server, whose arguments are its own"),
    ("schema", "a schema is the result itself"),
];

macro_rules! kinds {
    ($($name:literal [$($verb:literal),+] $about:literal => $data:expr;)*) => {
        /// Every kind but `Error`, which any verb may answer.
        pub const KINDS: &[Kind] =
            &[$(Kind { name: $name, verbs: &[$($verb),+], about: $about, data: || $data }),*];
    };
}

kinds! {
    "ClusterStatus" ["status"] "roles, states and addresses of all nodes" => status();
    "Lag" ["lag"] "how far each replica is behind MAIN" => object([
        ("main", text("the node that is MAIN")),
        ("replicas", list(object([
            ("name", text("as MAIN has it registered, or would")),
            ("node", maybe(text("its node; null where the topology knows none of that name"))),
            ("mode", maybe(mode())),
            ("state", maybe(text("as MAIN calls it; null where MAIN does not list the node, or where that has ended and MAIN has not noticed"))),
            ("records", maybe(integer("records that MAIN has and it has not applied"))),
            ("bytes", maybe(integer("bytes of the log that it lacks; null where that is not known"))),
            ("seconds", maybe(number("how old the oldest record is that it lacks; null where that is not known"))),
            ("within", maybe(flag("whether it is within `--max`; null without one"))),
        ]))),
    ]);
    "Replicas" ["show-replicas"] "the replicas as MAIN sees them" => either([
        object([
            ("main", text("the node that is MAIN")),
            ("replicas", list(object([
                ("name", text("as it is registered")),
                ("node", maybe(text("its node; null where the topology knows none of that name"))),
                ("address", text("as it is registered")),
                ("mode", maybe(mode())),
                ("state", text("ready, replicating, recovery, invalid, diverged")),
                ("behind", integer("in MAIN's counter")),
                ("ts", integer("the last timestamp that is durable there")),
            ]))),
        ]),
        object([
            ("main", text("the node that is MAIN")),
            ("fields", texts("names of the columns, as the node sent them")),
            ("rows", list(list(anything()))),
        ]),
    ]);
    "Register" ["register"] "a node that became a replica" => object([
        ("main", text("the node that is MAIN")),
        ("name", text("as it is registered")),
        ("state", text("as MAIN calls it")),
    ]);
    "Unregister" ["unregister"] "a replica that MAIN dropped" => object([
        ("main", text("the node that is MAIN")),
        ("name", text("as it was registered")),
    ]);
    "Promote" ["promote"] "a switchover" => either([
        unchanged_main(),
        with(changed_status(), object([
            ("write_pause_ms", milliseconds("how long nobody took writes")),
            ("redundant_after_ms", milliseconds("until every replica was 0 behind")),
            ("attempts", integer("how often it was begun")),
        ])),
    ]);
    "Demote" ["demote"] "a MAIN that became a REPLICA" => object([
        ("name", text("the node")),
        ("role", words(&["REPLICA"])),
    ]);
    "Failover" ["failover"] "a MAIN that was replaced" => either([
        unchanged_main(),
        with(changed_status(), object([("failover?", object([
            ("main", text("the node that is MAIN now")),
            ("unfenced", texts("nodes of which nobody saw that they ended")),
            ("estimated_loss", object([
                ("commits", maybe(integer("at most so many; null where that is not known"))),
                ("text", text("the same in words")),
                ("caveat", maybe(text("on what it rests"))),
            ])),
            ("fenced_after_ms", number("until the old MAIN could write no more, in milliseconds")),
            ("writable_after_ms", number("until the new MAIN took writes, in milliseconds")),
            ("redundant_after_ms", number("until every replica that answers was 0 behind, in milliseconds")),
            ("left", list(problem())),
        ]))])),
    ]);
    "Rejoin" ["rejoin"] "a node that became a REPLICA again" => brought_back();
    "Reinit" ["reinit"] "a REPLICA that copied everything anew" => brought_back();
    "Repair" ["repair"] "roles and registrations that were put in order" => noted_status();
    "SetMode" ["set-mode"] "how MAIN waits for a REPLICA" => object([
        ("node", text("the node")),
        ("mode", mode()),
        ("changed", flag("whether it was otherwise before")),
    ]);
    "Up" ["up"] "a cluster that is as its topology says" => with(changed_status(), object([
        ("seconds?", number("how long it took")),
        ("proof?", object([
            ("query", text("what every node was asked")),
            ("rows", integer("how many rows each answered")),
            ("digest", text("of the rows, the same from all")),
            ("nodes", texts("who was asked")),
        ])),
    ]));
    "Down" ["down"] "a cluster that is gone" => object([
        ("changed", flag("whether anything was there")),
        ("volumes_kept", integer("of how many nodes the data are kept")),
    ]);
    "Init" ["init"] "a topology to begin with" => object([
        ("file", maybe(text("where it was written; null where it was only shown"))),
        ("topology", text("its text")),
    ]);
    "Start" ["start"] "machines that run" => noted_status();
    "Stop" ["stop"] "machines that were stopped" => noted_status();
    "Restart" ["restart"] "machines that were started anew" => noted_status();
    "Add" ["add"] "a REPLICA that was added" => grown();
    "Remove" ["remove"] "a REPLICA that was removed" => shrunk();
    "Scale" ["scale"] "as many replicas as were asked for" => either([
        object([
            ("replicas", integer("how many there are")),
            ("changed", is_false()),
        ]),
        grown(),
        shrunk(),
    ]);
    "Upgrade" ["upgrade"] "nodes that run another image" => either([
        object([("changed", is_false())]),
        with(changed_status(), object([("upgraded", texts("the nodes that were made anew"))])),
    ]);
    "Plan" [
        "diff", "up", "down", "start", "stop", "restart", "add", "remove", "scale", "upgrade", "register",
        "unregister", "promote", "failover", "rejoin", "reinit", "repair", "set-mode", "demote", "drill", "load",
        "chaos", "heal", "doctor"
    ] "what would be done: of `diff`, and of any verb with --dry-run" => object([
        ("steps", list(object([
            ("id", text("its name")),
            ("needs", texts("steps that must have been done before")),
            ("action", text("what it does")),
            ("cause", text("why it is needed")),
        ]))),
        ("notes", texts("what is otherwise than the file says, and stays so")),
        ("refusal", maybe(problem())),
    ]);
    "Clusters" ["ls"] "every cluster that runs here" => object([
        ("clusters", list(object([
            ("name", text("of the cluster")),
            ("runtime", words(&["docker", "process", "swarm"])),
            ("running", integer("how many of its nodes run")),
            ("nodes", integer("how many there are")),
            ("file", maybe(text("the topology that it was made from, where that is known"))),
        ]))),
        ("engine", maybe(text("why no engine was asked"))),
    ]);
    "Event" ["events"] "something that changed; an answer for each" => object([
        ("time", integer("in seconds since 1970")),
        ("event", text("in words")),
    ]);
    "LogLine" ["logs"] "a line of a node's log; an answer for each" => object([
        ("node", text("whose")),
        ("line", text("without control characters")),
    ]);
    "History" ["history"] "what was done to the cluster from this machine" => object([
        ("operations", list(object([
            ("time", integer("when it ended, in seconds since 1970")),
            ("command", text("without the program")),
            ("user", text("who")),
            ("seconds", number("how long it took")),
            ("exit", integer("the exit code")),
            ("error", maybe(text("what went wrong"))),
        ]))),
    ]);
    "Doctor" ["doctor"] "whether everything is here that a cluster needs, and whether it is well" => object([
        ("checks", list(object([
            ("name", text("what was looked at")),
            ("result", level()),
            ("text", text("what was found")),
            ("hint", maybe(text("what helps"))),
        ]))),
        ("worst", level()),
        ("fixed?", texts("what --fix did")),
        ("left?", texts("what --fix leaves to a person, and the command for it")),
    ]);
    "Report" ["report"] "a file for whoever helps" => object([
        ("file", text("where it was written")),
        ("contents", texts("the names of what is in it")),
    ]);
    "Tree" ["topology"] "who follows whom" => with(status(), object([
        ("followers", texts("nodes that MAIN has registered")),
        ("alone", texts("nodes that follow nobody")),
    ]));
    "Codes" ["explain"] "every code" => object([
        ("codes", list(object([("name", text("as MG042")), ("message", text("what it means"))]))),
    ]);
    "Code" ["explain"] "one code" => object([
        ("name", text("as MG042")),
        ("message", text("what it means")),
        ("text", text("more about it, and what helps")),
    ]);
    "Supervise" ["supervise"] "what a guardian did until it was ended" => object([
        ("failovers", integer("how many")),
    ]);
    "Unit" ["supervise"] "a unit for systemd" => object([("unit", text("its text"))]);
    "Drill" ["drill"] "what happened when a node died under write load" => object([
        ("drill", words(&["failover", "switchover", "replica-loss"])),
        ("fault", words(&["kill", "pause"])),
        ("runs", integer("how often")),
        ("clients", integer("how many wrote")),
        ("rate", maybe(integer("writes a second that all of them together aimed at; null where they wrote as fast as they could"))),
        ("writes", counts()),
        ("detection", times()),
        ("promotion", times()),
        ("first_write_after_fault", times()),
        ("longest_gap", times()),
        ("details", list(object([
            ("main_before", text("who was MAIN")),
            ("main_after", text("who is")),
            ("writes", counts()),
            ("detection_ms", milliseconds("until the fault was noticed")),
            ("promotion_ms", milliseconds("how long the move of MAIN took")),
            ("first_write_ms", milliseconds("from the fault to the first write that succeeded")),
            ("longest_gap_ms", milliseconds("the longest time without one")),
        ]))),
    ]);
    "Load" ["load"] "what became of the writes of many clients" => with(counts(), object([
        ("seconds", number("how long they wrote")),
        ("acknowledged_per_second", number("all clients together")),
        ("p50_ms", milliseconds("how long half of the writes took at most")),
        ("p99_ms", milliseconds("how long 99 of 100 writes took at most")),
    ]));
    "Chaos" ["chaos"] "a node that was broken" => either([
        object([("node", text("which")), ("harm", text("what was done")), ("healed", is_false())]),
        with(status(), object([
            ("node", text("which")),
            ("harm", text("what was done")),
            ("healed", json!({ "const": true })),
            ("seconds", number("until it was there again")),
        ])),
    ]);
    "Heal" ["heal"] "a node that was mended" => object([
        ("node", text("which")),
        ("outcome", text("what was done, and as what it answers")),
    ]);
    "QueryResult" ["query"] "what nodes answered" => object([
        ("answers", list(object([
            ("node", text("who answered")),
            ("query", text("the statement")),
            ("fields", texts("names of the columns")),
            ("rows", list(list(anything()))),
            ("stats", named(integer("how many"))),
            ("notifications", list(object([
                ("severity", text("as the node says it")),
                ("code", text("as the node says it")),
                ("title", text("as the node says it")),
                ("description", text("as the node says it")),
            ]))),
            ("bookmark", maybe(text("the position that includes it"))),
        ]))),
        ("same", flag("whether all nodes answered alike")),
    ]);
    "Verify" ["verify"] "the graphs of all nodes, compared" => object([
        ("same", flag("whether they are equal")),
        ("nodes", list(object([
            ("node", text("which")),
            ("digest", text("of its graph")),
            ("vertices", integer("how many")),
            ("edges", integer("how many")),
            ("position", maybe(integer("the LSN at which it was read; null where the image tells none"))),
            ("epoch", maybe(text("the epoch of that record"))),
        ]))),
    ]);
    "Backup" ["backup"] "a graph in a file" => with(written_graph(), object([
        ("position", position()),
        ("removed", texts("older backups that `backup.keep` let go")),
    ]));
    "Restore" ["restore"] "a graph that was brought into a cluster, or what would be" => either([
        object([
            ("file", text("the backup")),
            ("changed", is_false()),
            // Whoever wrote the file says what is in it.
            ("manifest", json!({ "type": "object", "description": "what the backup says of itself, as in the file" })),
        ]),
        object([
            ("file", text("the backup")),
            ("changed", json!({ "const": true })),
            ("vertices", integer("how many")),
            ("edges", integer("how many")),
            ("digest", text("of the graph")),
            ("verified", texts("nodes whose graph is that of the backup")),
            ("seconds", number("how long it took")),
            ("brought_up", flag("whether the cluster was new")),
        ]),
    ]);
    "Dump" ["dump"] "a graph as Cypher" => written_graph();
    "Import" ["import"] "files or a graph that were brought in, or what would be" => either([
        object([
            ("files", texts("what was read")),
            ("statements", integer("how many there are")),
            ("changed", is_false()),
        ]),
        object([
            ("files", texts("what was read")),
            ("vertices", integer("how many there are")),
            ("edges", integer("how many there are")),
            ("changed", is_false()),
        ]),
        object([
            ("from", text("the other server")),
            ("vertices", integer("how many it has")),
            ("changed", is_false()),
        ]),
        object([
            ("from", text("the files, or the other server")),
            ("statements", integer("how many were carried out")),
            ("vertices", integer("how many were made")),
            ("edges", integer("how many were made")),
            ("properties", integer("how many were set")),
            ("degraded", integer("transactions that not every SYNC replica confirmed")),
            ("seconds", number("how long it took")),
            ("digest", maybe(text("of the graph, where it was held against that of the other server"))),
            ("changed", json!({ "const": true })),
        ]),
    ]);
    "Topology" ["validate"] "a topology with every default" => object([
        ("valid", json!({ "const": true })),
        ("topology", json!({ "$ref": "#/$defs/topology" })),
        ("notes", texts("what its modes cost and risk")),
    ]);
    "Uri" ["uri"] "addresses for drivers" => object([
        ("uris", list(object([("node", text("whose")), ("uri", text("as bolt://127.0.0.1:7687"))]))),
    ]);
    "Env" ["env"] "addresses as variables" => object([("variables", named(text("its value")))]);
    "Image" ["image"] "the node's image" => object([
        ("tag", text("its name")),
        ("id", text("its id")),
        ("file?", text("where it was written")),
        ("bytes?", integer("how large the file is")),
        ("steps?", list(text("of what would be done, where nothing is"))),
    ]);
    "Export" ["export"] "the topology in the words of another tool" => object([
        ("manifest", text("as a file")),
    ]);
    "Man" ["man"] "the manual" => object([
        ("folder", text("where it was written")),
        ("pages", list(object([("name", text("of a page"))]))),
    ]);
    "Version" ["version"] "versions of mgctl, of its formats and of the engine" => object([
        ("version", text("of mgctl")),
        ("topology", text("of topology files")),
        ("output", text("of this envelope")),
        ("backup", integer("of backups")),
        ("bolt", text("that clients may speak")),
        ("system", text("that it was built for")),
        ("build", words(&["development", "release"])),
        ("linkage", words(&["static", "dynamic"])),
        ("executable", text("where it is")),
        ("engine", text("that answers, or why none does")),
        ("image", maybe(text("the built-in image; only with -v"))),
    ]);
}

/// The cluster as `status` shows it.
fn status() -> Value {
    object([
        ("runtime", text("what runs the nodes, and where")),
        ("main", maybe(text("the node that is MAIN; null where none is, or several are"))),
        ("writable", flag("whether MAIN takes writes")),
        ("healthy", flag("whether, too, every node is there and answers")),
        ("redundant", flag("whether, too, every replica is ready and 0 behind")),
        (
            "instances",
            list(object([
                ("name", text("of the node")),
                ("role", maybe(words(&["MAIN", "REPLICA"]))),
                ("mode", maybe(mode())),
                (
                    "state",
                    maybe(text(
                        "as MAIN calls it: ready, replicating, recovery, invalid, diverged; null where the node has ended and MAIN has not noticed",
                    )),
                ),
                ("behind", maybe(integer("in MAIN's counter"))),
                ("registered_as", maybe(text("its name in MAIN's list"))),
                ("registered_address", maybe(text("its address there"))),
                ("address_is_stale", flag("whether another address is its own")),
                (
                    "machine",
                    maybe(object([
                        ("id", text("the runtime's id for it")),
                        ("name", text("a container's name, or `process 4711`")),
                        ("state", text("running, paused, exited (1), ...")),
                        ("address", maybe(text("where other nodes reach it"))),
                        ("started", maybe(integer("in seconds since 1970"))),
                        ("host", maybe(text("the host of a swarm that it is on"))),
                    ])),
                ),
                ("bolt", maybe(text("where its Bolt is reached from here"))),
                ("silent", maybe(text("why it does not answer"))),
                ("is_orphan", flag("whether the topology does not name it")),
                (
                    "certificate_seconds_left",
                    maybe(integer(
                        "until its certificate ends, below 0 after that; null where it has none, or was not looked at",
                    )),
                ),
            ])),
        ),
        ("findings", list(object([("message", text("what is wrong")), ("hint", text("what helps"))]))),
    ])
}

fn changed_status() -> Value {
    with(status(), object([("changed", flag("whether anything was done"))]))
}

fn noted_status() -> Value {
    with(changed_status(), object([("notes", texts("what stays as it is, and why"))]))
}

fn unchanged_main() -> Value {
    object([("main", text("the node that is MAIN")), ("changed", is_false())])
}

fn brought_back() -> Value {
    with(
        status(),
        object([("node", text("which")), ("saved_to", maybe(text("the file with its former data")))]),
    )
}

fn grown() -> Value {
    with(
        status(),
        object([
            ("lines", texts("what the topology needs for it")),
            ("written", flag("whether the file has them")),
        ]),
    )
}

fn shrunk() -> Value {
    object([
        ("removed", texts("the nodes that are gone")),
        ("written", flag("whether they are out of the file, too")),
    ])
}

fn written_graph() -> Value {
    object([
        ("file", text("where it was written")),
        ("node", text("whose graph it is")),
        ("vertices", integer("how many")),
        ("edges", integer("how many")),
        ("digest", text("of the graph")),
        ("bytes", integer("how large the file is")),
        ("seconds", number("how long it took")),
        ("left_out", texts("what cannot be written down")),
    ])
}

/// Where in the log a backup was taken.
fn position() -> Value {
    maybe(either([
        object([
            ("epoch", text("of the record")),
            ("lsn", integer("of the record")),
            ("chain", text("hash over the log up to it")),
        ]),
        object([
            ("epoch", text("of the record")),
            ("lsn_min", integer("before it was read")),
            ("lsn_max", integer("after it was read: something wrote meanwhile")),
        ]),
    ]))
}

/// What became of writes.
fn counts() -> Value {
    object([
        ("attempted", integer("writes that were sent")),
        ("acknowledged", integer("with and without a warning")),
        ("acknowledged_ok", integer("without a warning")),
        ("acknowledged_with_warning", integer("not every SYNC replica has them")),
        ("refused", integer("nothing of them was done")),
        ("unknown", integer("the connection ended before the answer")),
        ("lost", integer("acknowledged without a warning, and not there")),
        ("lost_with_warning", integer("acknowledged with a warning, and not there")),
        ("duplicated", integer("there twice")),
        ("refused_and_there", integer("refused, and there")),
        ("unknown_and_there", integer("without an answer, and there")),
    ])
}

fn times() -> Value {
    object([
        ("p50_ms", milliseconds("of half of the runs at most")),
        ("p99_ms", milliseconds("of 99 of 100 runs at most")),
        ("runs_ms", list(number("of a run, in milliseconds"))),
    ])
}

fn level() -> Value {
    words(&["pass", "warn", "fail"])
}

fn is_false() -> Value {
    json!({ "const": false })
}

fn problem() -> Value {
    json!({ "$ref": "#/$defs/problem" })
}

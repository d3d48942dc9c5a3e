//! What the tests' nodes answer as Memgraph's image does, each with what it rests on: a section of the compatibility notes
//! (`memgraph.md`) and the words that its line begins with. Line numbers move; words are found again.
//!
//! A refusal of the fake is made from one of these ([`Answer::refusal`]), or is named as our own node's ([`ours`]), so none
//! can be without. Where the notes are at hand, `MEMGRAPH_NOTES=PATH cargo test -p mgctl cited` holds every citation
//! against them; building and testing need them not.

use super::NodeError;

/// An answer, or how a node behaves.
pub(super) struct Answer {
    /// The text of a refusal, with `{}` for the name of the replica; the columns of a table, joined by `, `; empty for a
    /// behaviour.
    pub(super) says: &'static str,
    /// The section, as `1.2 SET REPLICATION ROLE`.
    pub(super) section: &'static str,
    /// What the line begins with, behind its bullet or its bar.
    pub(super) line: &'static str,
}

impl Answer {
    /// Returns it as a refusal.
    pub(super) fn refusal(&self, name: &str) -> NodeError {
        assert!(!self.says.is_empty(), "`{}` is no refusal", self.line);
        refused(self.says.replace("{}", name))
    }

    /// Returns the columns.
    pub(super) fn columns(&self) -> Vec<&'static str> {
        self.says.split(", ").collect()
    }
}

/// A refusal of our own node, of which the notes say nothing.
pub(super) fn ours(message: &str) -> NodeError {
    refused(message.to_owned())
}

/// Every refusal has this code (6.5 Errors, `Memgraph.ClientError.MemgraphError.MemgraphError`).
fn refused(message: String) -> NodeError {
    NodeError::Refused { code: "Memgraph.ClientError.MemgraphError.MemgraphError".into(), message }
}

macro_rules! answers {
    ($($name:ident: $says:literal, $section:literal, $line:literal;)*) => {
        $(pub(super) const $name: Answer = Answer { says: $says, section: $section, line: $line };)*

        /// All of them, by name.
        const ALL: &[(&str, Answer)] = &[$((stringify!($name), $name)),*];
    };
}

answers! {
    FRESH_IS_MAIN: "", "1.2 SET REPLICATION ROLE", "Every fresh instance is MAIN.";
    NO_ROWS: "", "1.1 Common rules", "SET/REGISTER/DROP return zero columns, zero rows";
    BUSY: "Multiple concurrent system queries are not supported.", "1.1 Common rules",
        "SET/REGISTER/DROP are \"system queries\"";
    ROLE: "replication role", "1.2 SET REPLICATION ROLE", "SHOW REPLICATION ROLE: one row, column `replication role`";
    IS_REPLICA_ALREADY: "Couldn't set role to replica!", "1.2 SET REPLICATION ROLE",
        "TO REPLICA when already REPLICA (any port)";
    IS_MAIN_ALREADY: "Couldn't set replication role to main!", "1.2 SET REPLICATION ROLE",
        "TO MAIN when already MAIN";
    DEMOTION_FORGETS_REPLICAS: "", "1.2 SET REPLICATION ROLE", "TO REPLICA on a MAIN that has registered replicas";
    REGISTERED_BY_REPLICA: "Replica can't register another replica!", "1.3 REGISTER REPLICA", "run on REPLICA";
    NAME_USED: "Couldn't register replica {}. Error: 1", "1.3 REGISTER REPLICA", "name already used";
    ENDPOINT_USED: "Couldn't register replica {}. Error: 2", "1.3 REGISTER REPLICA", "endpoint already used";
    DIVERGED: "Couldn't register replica {}. Error: 3", "1.3 REGISTER REPLICA",
        "diverged data, or registration of some database failed";
    UNREACHABLE: "Couldn't register replica {}. Error: 5", "1.3 REGISTER REPLICA",
        "replica unreachable, not demoted, or refused main uuid";
    UNREACHABLE_IS_KEPT: "", "1.3 REGISTER REPLICA", "Error 5 has no rollback";
    REGISTRATION_BUSY: "Couldn't register replica {}. Error: 6", "1.3 REGISTER REPLICA",
        "state lock busy (concurrent role query)";
    MAIN_LISTENS_NOT: "", "1.3 REGISTER REPLICA", "Registering a target that is still MAIN: nobody listens";
    NOT_REGISTERED: "Failed to unregister the replica {}.", "1.4 DROP REPLICA", "MAIN only. Texts: on REPLICA";
    REPLICAS_ON_REPLICA: "Show replicas query should only be run on the main instance.", "1.5 SHOW REPLICAS",
        "MAIN only; on REPLICA";
    REPLICAS: "name, socket_address, sync_mode, system_info, data_info", "1.5 SHOW REPLICAS", "`name` | String";
    STATUS_WORDS: "", "1.5 SHOW REPLICAS", "`status`: \"ready\"";
    BEHIND_IS_NEGATIVE: "", "1.5 SHOW REPLICAS", "`behind`: replica_ts - main_ts";
    WRITE_ON_REPLICA: "Write queries are forbidden on the replica instance. Replica instances accept only read queries, while the main instance accepts read and write queries. Please retry your query on the main instance.",
        "1.6 What a REPLICA refuses / allows", "Cypher that the planner types as write";
    STORAGE: "storage info, value", "4.3 Information queries", "SHOW STORAGE INFO | `storage info`, `value` | 3.10+";
    STORAGE_OF_DATABASE: "", "4.3 Information queries",
        "SHOW STORAGE INFO ON DATABASE d / ON CURRENT DATABASE";
    UNKNOWN_QUERY: "mismatched input", "1. Replication queries (community)", "Grammar (M:";
    SCHEMA: "", "4.2 Index and constraint syntax", "CREATE INDEX ON :L";
}

#[test]
fn every_answer_is_cited_and_where_the_notes_are_at_hand_the_line_is_there() {
    for (name, answer) in ALL {
        let number = answer.section.split(' ').next().unwrap_or_default();
        let is_number = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || c == '.');
        assert!(is_number && answer.section.len() > number.len() + 3, "{name}: `{}`", answer.section);
        assert!(answer.line.len() >= 10, "{name}: `{}` finds no line", answer.line);
    }
    let Some(path) = std::env::var_os("MEMGRAPH_NOTES") else { return };
    let notes = std::fs::read_to_string(&path).unwrap();
    for (name, Answer { says, section, line }) in ALL {
        let mut inside = false;
        let found = notes.lines().find(|text| {
            if let Some(title) = text.strip_prefix("##") {
                inside = title.trim_start_matches('#').trim().starts_with(section);
            }
            inside && text.trim_start_matches(['-', '|', ' ']).starts_with(line)
        });
        let found = found.unwrap_or_else(|| panic!("{name}: section `{section}` has no line `{line}`"));
        // What is quoted there is what is answered here; a name stands for `R`.
        let is_table = says.contains(", ") && !says.contains(' ') || *name == "REPLICAS";
        if !says.is_empty() && !is_table && *name != "UNKNOWN_QUERY" {
            let quoted = says.replace("{}", "R");
            let is_quoted = quoted.split(", ").all(|part| found.contains(part));
            assert!(is_quoted, "{name}: the line does not say `{quoted}`: {found}");
        }
    }
}

/// A constant that nothing uses would be a citation of nothing.
#[test]
fn every_citation_is_used_by_the_fake() {
    let fake = include_str!("fake.rs");
    let tests = include_str!("tests.rs");
    for (name, _) in ALL {
        let word = format!("cited::{name}");
        assert!(fake.contains(&word) || tests.contains(&word), "{name} is cited and not used");
    }
}

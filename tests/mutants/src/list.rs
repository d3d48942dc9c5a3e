//! The mutants.

use super::Mutant;

/// Every mutant, in the order of the rooms they change.
pub const MUTANTS: &[Mutant] = &[
    // ---- a commit on MAIN ----
    Mutant {
        name: "main_shows_what_it_did_not_sync",
        breaks: "no client hears yes before the record is durable on MAIN",
        file: "engine/commit.rs",
        find: "if «lsn > self.log.durable()» || is_held",
        with: "false",
    },
    Mutant {
        name: "sync_commit_waits_for_no_one",
        breaks: "OK in SYNC means durable and shown on every SYNC replica that was ready",
        file: "engine/commit.rs",
        find: "let failed = «self.failures(lsn)»; let outcome = match (is_sure,",
        with: "Vec::new()",
    },
    Mutant {
        name: "a_change_of_some_records_is_not_applied",
        breaks: "what a reader sees is the fold of all records, none skipped",
        file: "engine/commit.rs",
        find: "self.graph.apply(lsn, «&pending.changes»)",
        with: "&pending.changes[..pending.changes.len() - usize::from(lsn.0 % 16 == 9)]",
    },
    Mutant {
        name: "a_commit_in_doubt_is_called_failed",
        breaks: "a record that is called failed is in no log that is or becomes MAIN's",
        file: "engine/commit.rs",
        find: "out.push(Effect::Resolve { token, outcome: «Outcome::InDoubt { position, failed }» }); }",
        with: "{ let _: (_, Vec<ReplicaFailure>) = (position, failed); Outcome::Failed(CommitError::NotMain) }",
    },
    Mutant {
        name: "a_strict_record_is_shown_early",
        breaks: "a STRICT_SYNC record is invisible before every STRICT_SYNC replica has it durable",
        file: "engine/commit.rs",
        find: "let apply_to = if «self.has_strict_links()» { self.applied.lsn } else { record.lsn };",
        with: "false",
    },
    Mutant {
        name: "replicas_are_told_to_show_what_is_undecided",
        breaks: "a STRICT_SYNC record is invisible before every STRICT_SYNC replica has it durable",
        file: "engine/links.rs",
        find: "let apply_to = if «self.has_strict_links()» { self.applied.lsn } else { last };",
        with: "false",
    },
    Mutant {
        name: "a_strict_record_waits_for_no_replica",
        breaks: "OK in STRICT_SYNC means durable on every STRICT_SYNC replica",
        file: "replication/main.rs",
        find: "self.registration.mode == SyncMode::StrictSync && «self.registered_at < lsn && self.durable < lsn»",
        with: "lsn < self.registered_at",
    },
    Mutant {
        name: "a_timed_out_commit_is_called_confirmed",
        breaks: "a commit that a SYNC replica did not confirm is told as degraded",
        file: "engine/commit.rs",
        find: "SyncMode::Sync => «confirmed < needed && link.counts_for(lsn) && link.applied < lsn»,",
        with: "confirmed > needed",
    },
    // ---- links ----
    Mutant {
        name: "what_was_sent_counts_as_acknowledged",
        breaks: "OK in SYNC means durable and shown on every SYNC replica that was ready",
        file: "replication/main.rs",
        find: "self.durable = self.durable.max(durable); self.applied = «self.applied.max(applied)»;",
        with: "Lsn(self.next.0 - 1)",
    },
    // ---- a replica ----
    Mutant {
        name: "a_replica_acks_before_its_sync",
        breaks: "no node acknowledges before the record is durable there",
        file: "engine/follow.rs",
        find: "let (durable, applied) = («self.log.durable()», self.applied.lsn);",
        with: "self.log.last()",
    },
    Mutant {
        name: "a_promise_is_told_before_it_is_durable",
        breaks: "a promise to obey an epoch is on disk before it is told",
        file: "engine/follow.rs",
        find: "if «self.saving.is_some()» || self.installing.is_some() || self.role == Role::Main",
        with: "false",
    },
    // ---- roles ----
    Mutant {
        name: "a_fence_is_answered_before_it_is_durable",
        breaks: "a promise to obey an epoch is on disk before it is told",
        file: "engine/roles.rs",
        find: "self.task = Some(Task::Fence { token, is_saved: «false» });",
        with: "true",
    },
    Mutant {
        name: "a_promotion_aborts_the_undecided_tail",
        breaks: "an undecided STRICT_SYNC record is committed at a promotion",
        file: "engine/roles.rs",
        find: "«self.may_show = self.log.last();» self.show_followed(out);",
        with: "self.pending.clear(); self.applied = self.log.position(); self.applied_chain = self.log.chain();",
    },
    Mutant {
        name: "a_start_does_not_raise_the_incarnation",
        breaks: "an LSN is never used twice in one incarnation",
        file: "replication/role.rs",
        find: "Epoch { incarnation: «promised.incarnation + 1», ..promised }",
        with: "promised.incarnation",
    },
    Mutant {
        name: "a_snapshot_says_more_than_it_holds",
        breaks: "a snapshot is the fold of the records up to its position",
        file: "engine/snapshot.rs",
        find: "let (position, chain) = («self.applied», self.applied_chain);",
        with: "self.log.position()",
    },
    Mutant {
        name: "diverged_logs_are_taken_for_equal",
        breaks: "a log that goes on otherwise is never streamed to",
        file: "replication/catch_up.rs",
        find: "if «common == replica.last.lsn» { return if common == main.last.lsn",
        with: "common <= replica.last.lsn",
    },
    Mutant {
        name: "the_log_goes_before_a_snapshot_covers_it",
        breaks: "log is let go only where a verified snapshot covers it",
        file: "engine/snapshot.rs",
        find: "let before = «needed.fold(covered, Lsn::min)»;",
        with: "needed.fold(covered, Lsn::min).max(self.applied.lsn.next())",
    },
    Mutant {
        name: "a_replica_obeys_a_lower_epoch",
        breaks: "no record is taken, and no yes given, below the promised epoch",
        file: "replication/replica.rs",
        find: "if «epoch < state.promised» || epoch == Epoch::default()",
        with: "false",
    },
    Mutant {
        name: "a_damaged_log_is_cut_without_a_word",
        breaks: "what was synced is there after a restart, or the node does not start",
        file: "durability/recovery.rs",
        find: "OnDamage::Refuse => «Err(RecoveryError::Corrupt { file, offset, reason })»,",
        with: "Ok((offset, Some(Tail { file, offset, damage: Some(reason) })))",
    },
    Mutant {
        name: "a_blocked_commit_waits_for_no_one",
        breaks: "with the policy block a commit waits until enough replicas confirmed it",
        file: "engine/commit.rs",
        find: "self.config.sync_policy != SyncPolicy::Degrade && «confirmed < needed»",
        with: "confirmed > needed",
    },
    Mutant {
        name: "a_promise_is_forgotten_at_a_greeting",
        breaks: "a promise is durable before it is told",
        file: "engine/follow.rs",
        find: "if «self.state != before» {",
        with: "self.state.node != before.node",
    },
];

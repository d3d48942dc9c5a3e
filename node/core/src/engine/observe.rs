//! In which stage each part of the engine is, in words, and what it keeps: for a simulator that counts what it reached
//! and holds it to its bounds.

use super::restart::Confirm;
use super::roles::{Demotion, Task};
use super::{Engine, Reign};
use crate::replication::LinkState;
use crate::types::Role;

impl Engine {
    /// Returns the bytes of records that are kept in memory for whoever is nearly up to date.
    pub fn kept_bytes(&self) -> usize {
        self.log.recent_bytes()
    }

    /// Tells the stage of each part: the part, the replica's name where it is a link, and the stage.
    pub fn stages(&self, see: &mut dyn FnMut(&'static str, &str, &'static str)) {
        see("role", "", if self.role == Role::Main { "MAIN" } else { "REPLICA" });
        see(
            "reign",
            "",
            match self.reign {
                Reign::NotBegun => "not begun",
                Reign::Saving { .. } => "saving",
                Reign::Begun(_) => "begun",
            },
        );
        see(
            "confirm",
            "",
            match self.confirm {
                Confirm::Asking { .. } => "asking",
                Confirm::Missing => "missing",
                Confirm::Done => "done",
            },
        );
        see("task", "", self.task.as_ref().map_or("none", task));
        see("installation", "", if self.installing.is_some() { "under way" } else { "none" });
        for link in &self.links {
            let stage = match link.state {
                LinkState::Down { .. } => "down",
                LinkState::Dialing => "dialing",
                LinkState::Greeting => "greeting",
                LinkState::Fetching { .. } => "fetching",
                LinkState::CatchUp { .. } => "catch-up",
                LinkState::SnapshotDue => "snapshot due",
                LinkState::Snapshot { .. } => "snapshot",
                LinkState::Live if link.is_ready() => "ready",
                LinkState::Live => "live",
            };
            see("link", &link.registration.name, stage);
        }
    }
}

fn task(task: &Task) -> &'static str {
    match task {
        Task::Demote { stage: Demotion::Listening, .. } => "demotion: listening",
        Task::Demote { stage: Demotion::Draining { .. }, .. } => "demotion: draining",
        Task::Demote { stage: Demotion::Saving, .. } => "demotion: saving",
        Task::Promote { is_saving: false, .. } => "promotion: settling",
        Task::Promote { is_saving: true, .. } => "promotion: saving",
        Task::Fence { is_saved: false, .. } => "fence: saving",
        Task::Fence { is_saved: true, .. } => "fence: settling",
        Task::Register(candidate) => candidate.stage(),
        Task::Drop { .. } => "drop: saving",
        Task::Release { .. } => "release: saving",
        Task::Rewind { is_cutting: false, .. } => "rewind: settling",
        Task::Rewind { is_cutting: true, .. } => "rewind: cutting",
    }
}

//! The words that every room shares: ids, positions, values, changes, records.

mod change;
mod cluster;
mod ids;
mod names;
mod position;
mod record;
mod schema;
mod snapshot;
mod time;
mod value;
mod workers;

pub use change::Change;
pub use cluster::{ClusterId, Identity, KeyPrint, Member, NodeState, Registration, Role, SyncMode};
pub use ids::{EdgeId, EdgeTypeId, LabelId, NodeId, PropertyKeyId, VertexId};
pub use names::{NameLimit, Names};
pub use position::{Epoch, History, Lsn, Position};
pub use record::{CommitRecord, chain_next};
pub use schema::{
    ConstraintKind, ConstraintSpec, EnumSpec, IndexSpec, PropertyType, TriggerEvent, TriggerObject,
    TriggerPhase, TriggerSpec,
};
pub use snapshot::{PartialSnapshot, SnapshotId};
pub use time::Time;
pub use value::{
    Date, DateTime, Duration, EnumValue, LocalDateTime, LocalTime, OffsetTime, Path, PathStep, Point, Value,
};
pub use workers::{OneByOne, Workers};

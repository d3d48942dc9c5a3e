//! What is said about the graph beside its data: indexes, constraints, enums, triggers.

use super::{EdgeTypeId, LabelId, PropertyKeyId, Value};
use std::sync::Arc;

/// Which index is meant. Later kinds (points) become further variants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexSpec {
    /// Vertices by label.
    Label(LabelId),
    /// Vertices by label and the values of one or more properties, in this order.
    LabelProperties(LabelId, Vec<PropertyKeyId>),
    /// Edges by type.
    EdgeType(EdgeTypeId),
    /// Edges by type and the values of one or more properties, in this order.
    EdgeTypeProperties(EdgeTypeId, Vec<PropertyKeyId>),
}

impl IndexSpec {
    /// Whether it holds edges; else vertices.
    pub fn is_of_edges(&self) -> bool {
        matches!(self, IndexSpec::EdgeType(_) | IndexSpec::EdgeTypeProperties(..))
    }

    /// Returns the properties whose values it is sorted by.
    pub fn keys(&self) -> &[PropertyKeyId] {
        match self {
            IndexSpec::Label(_) | IndexSpec::EdgeType(_) => &[],
            IndexSpec::LabelProperties(_, keys) | IndexSpec::EdgeTypeProperties(_, keys) => keys,
        }
    }
}

/// Which constraint is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConstraintSpec {
    /// Vertices with this label are bound by it.
    pub label: LabelId,
    /// Sorted by name for `Unique`, exactly one for the others.
    pub properties: Vec<PropertyKeyId>,
    /// What it demands.
    pub kind: ConstraintKind,
}

/// What a constraint demands of every vertex with its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConstraintKind {
    /// The property is there.
    Exists,
    /// No two vertices have equal values in all the properties; one that lacks any is free.
    Unique,
    /// The property has a value of this type, or is not there.
    Typed(PropertyType),
}

/// The type of a property's value, as type constraints name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PropertyType {
    Boolean,
    String,
    Integer,
    Float,
    List,
    Map,
    Date,
    LocalTime,
    LocalDateTime,
    ZonedDateTime,
    Duration,
    Enum,
    Point,
    /// A time of day with an offset, which Memgraph does not have.
    ZonedTime,
}

impl PropertyType {
    /// All of them. A type's place is its number in records and snapshots, so new ones come last.
    pub const ALL: [PropertyType; 14] = [
        PropertyType::Boolean,
        PropertyType::String,
        PropertyType::Integer,
        PropertyType::Float,
        PropertyType::List,
        PropertyType::Map,
        PropertyType::Date,
        PropertyType::LocalTime,
        PropertyType::LocalDateTime,
        PropertyType::ZonedDateTime,
        PropertyType::Duration,
        PropertyType::Enum,
        PropertyType::Point,
        PropertyType::ZonedTime,
    ];

    /// Returns the type of a value; None for Null, bytes, and what no property can hold.
    pub fn of(value: &Value) -> Option<PropertyType> {
        Some(match value {
            Value::Bool(_) => PropertyType::Boolean,
            Value::Int(_) => PropertyType::Integer,
            Value::Float(_) => PropertyType::Float,
            Value::String(_) => PropertyType::String,
            Value::List(_) => PropertyType::List,
            Value::Map(_) => PropertyType::Map,
            Value::Date(_) => PropertyType::Date,
            Value::LocalTime(_) => PropertyType::LocalTime,
            Value::Time(_) => PropertyType::ZonedTime,
            Value::LocalDateTime(_) => PropertyType::LocalDateTime,
            Value::DateTime(_) => PropertyType::ZonedDateTime,
            Value::Duration(_) => PropertyType::Duration,
            Value::Point(_) => PropertyType::Point,
            Value::Enum(_) => PropertyType::Enum,
            Value::Null | Value::Bytes(_) | Value::Vertex(_) | Value::Edge(_) | Value::Path(_) => {
                return None;
            }
        })
    }

    /// Whether a property with this value, or Null for none, fits.
    pub fn allows(self, value: &Value) -> bool {
        value.is_null() || PropertyType::of(value) == Some(self)
    }

    /// Returns the word for it in `IS TYPED`.
    pub fn word(self) -> &'static str {
        match self {
            PropertyType::Boolean => "BOOLEAN",
            PropertyType::String => "STRING",
            PropertyType::Integer => "INTEGER",
            PropertyType::Float => "FLOAT",
            PropertyType::List => "LIST",
            PropertyType::Map => "MAP",
            PropertyType::Date => "DATE",
            PropertyType::LocalTime => "LOCALTIME",
            PropertyType::LocalDateTime => "LOCALDATETIME",
            PropertyType::ZonedDateTime => "ZONEDDATETIME",
            PropertyType::Duration => "DURATION",
            PropertyType::Enum => "ENUM",
            PropertyType::Point => "POINT",
            PropertyType::ZonedTime => "ZONEDTIME",
        }
    }
}

/// An enum: a name, and the names of its values in the order in which they were added.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnumSpec {
    pub name: Arc<str>,
    /// Never empty, and none twice.
    pub values: Vec<Arc<str>>,
}

/// A statement that MAIN runs for what others write. Replicas keep it and never run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerSpec {
    pub name: Arc<str>,
    pub event: TriggerEvent,
    pub phase: TriggerPhase,
    /// openCypher, as it was written.
    pub statement: Arc<str>,
}

/// What must have happened in a transaction for a trigger to run. Without a word for the object, either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TriggerEvent {
    Any,
    Create(Option<TriggerObject>),
    Update(Option<TriggerObject>),
    Delete(Option<TriggerObject>),
}

/// What something happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TriggerObject {
    Vertex,
    Edge,
}

/// When a trigger runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TriggerPhase {
    /// In the transaction itself, at its end; an error undoes the whole.
    BeforeCommit,
    /// In a transaction of its own, once the other is committed.
    AfterCommit,
}

impl TriggerPhase {
    /// Returns the words of the statement that makes a trigger.
    pub fn words(self) -> &'static str {
        match self {
            TriggerPhase::BeforeCommit => "BEFORE COMMIT",
            TriggerPhase::AfterCommit => "AFTER COMMIT",
        }
    }
}

impl TriggerEvent {
    /// Returns its place among all of them.
    pub fn number(self) -> u8 {
        let place =
            TriggerEvent::ALL.iter().position(|other| *other == self).expect("all of them are listed");
        u8::try_from(place).expect("there are ten")
    }

    /// Whether a trigger of this event is also one of the other, which may be narrower.
    pub fn covers(self, other: TriggerEvent) -> bool {
        use TriggerEvent::{Any, Create, Delete, Update};
        match (self, other) {
            (Any, _) | (Create(None), Create(_)) | (Update(None), Update(_)) | (Delete(None), Delete(_)) => {
                true
            }
            (event, other) => event == other,
        }
    }

    /// Returns the words that stand behind `ON`; those of any event never do.
    pub fn words(self) -> &'static str {
        use TriggerEvent::{Any, Create, Delete, Update};
        use TriggerObject::{Edge, Vertex};
        match self {
            Any => "ANY",
            Create(None) => "CREATE",
            Create(Some(Vertex)) => "() CREATE",
            Create(Some(Edge)) => "--> CREATE",
            Update(None) => "UPDATE",
            Update(Some(Vertex)) => "() UPDATE",
            Update(Some(Edge)) => "--> UPDATE",
            Delete(None) => "DELETE",
            Delete(Some(Vertex)) => "() DELETE",
            Delete(Some(Edge)) => "--> DELETE",
        }
    }

    /// All of them. An event's place is its number in records and snapshots.
    pub const ALL: [TriggerEvent; 10] = [
        TriggerEvent::Any,
        TriggerEvent::Create(None),
        TriggerEvent::Create(Some(TriggerObject::Vertex)),
        TriggerEvent::Create(Some(TriggerObject::Edge)),
        TriggerEvent::Update(None),
        TriggerEvent::Update(Some(TriggerObject::Vertex)),
        TriggerEvent::Update(Some(TriggerObject::Edge)),
        TriggerEvent::Delete(None),
        TriggerEvent::Delete(Some(TriggerObject::Vertex)),
        TriggerEvent::Delete(Some(TriggerObject::Edge)),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_types_and_events_are_their_places() {
        let words: Vec<&str> = PropertyType::ALL.map(PropertyType::word).to_vec();
        assert_eq!(
            words.join(" "),
            "BOOLEAN STRING INTEGER FLOAT LIST MAP DATE LOCALTIME LOCALDATETIME ZONEDDATETIME DURATION ENUM POINT ZONEDTIME"
        );
        assert!(PropertyType::ALL.iter().enumerate().all(|(place, kind)| *kind as usize == place));
        assert!(
            TriggerEvent::ALL.iter().enumerate().all(|(place, event)| usize::from(event.number()) == place)
        );
        assert_eq!(TriggerEvent::ALL[0], TriggerEvent::Any);
        assert_eq!(TriggerEvent::ALL[9], TriggerEvent::Delete(Some(TriggerObject::Edge)));
    }

    #[test]
    fn an_event_without_an_object_covers_both() {
        use TriggerEvent::{Any, Create, Update};
        use TriggerObject::{Edge, Vertex};
        assert!(TriggerEvent::ALL.iter().all(|event| Any.covers(*event) && event.covers(*event)));
        assert!(Create(None).covers(Create(Some(Vertex))) && Create(None).covers(Create(Some(Edge))));
        assert!(
            !Create(Some(Vertex)).covers(Create(None)) && !Create(Some(Vertex)).covers(Create(Some(Edge)))
        );
        assert!(!Create(None).covers(Update(None)) && !Update(None).covers(Any));
        assert_eq!(Create(Some(Edge)).words(), "--> CREATE");
    }

    #[test]
    fn a_type_allows_its_own_values_and_none() {
        assert!(PropertyType::Integer.allows(&Value::Int(1)));
        assert!(PropertyType::Integer.allows(&Value::Null));
        assert!(!PropertyType::Integer.allows(&Value::Float(1.0)));
        for kind in PropertyType::ALL {
            assert!(!kind.allows(&Value::Bytes(Arc::from([1u8]))), "{}", kind.word());
        }
    }
}

//! What kind of value an expression yields, as far as the text shows it.

use super::VariableKind;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Any,
    Null,
    Boolean,
    Integer,
    Float,
    String,
    List,
    Map,
    Node,
    Relationship,
    Path,
}

/// The kind of a value, and of its elements where it is a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) base: Base,
    pub(super) element: Base,
}

impl Type {
    pub(super) const ANY: Type = Type::of(Base::Any);
    pub(super) const BOOLEAN: Type = Type::of(Base::Boolean);

    pub(super) const fn of(base: Base) -> Type {
        Type { base, element: Base::Any }
    }

    pub(super) const fn list_of(element: Base) -> Type {
        Type { base: Base::List, element }
    }

    /// Tells whether it can turn out to be one of these.
    pub(super) fn can_be(self, bases: &[Base]) -> bool {
        matches!(self.base, Base::Any | Base::Null) || bases.contains(&self.base)
    }

    /// Returns the type of a value that is one or the other.
    pub(super) fn or(self, other: Type) -> Type {
        match (self.base, other.base) {
            (Base::Null, _) => other,
            (_, Base::Null) => self,
            (a, b) if a == b && self.element == other.element => self,
            (a, b) if a == b => Type::of(a),
            _ => Type::ANY,
        }
    }

    pub(super) fn kind(self) -> VariableKind {
        match (self.base, self.element) {
            (Base::Node, _) => VariableKind::Node,
            (Base::Relationship, _) => VariableKind::Relationship,
            (Base::List, Base::Relationship) => VariableKind::RelationshipList,
            (Base::Path, _) => VariableKind::Path,
            (Base::Any | Base::Null, _) => VariableKind::Unknown,
            _ => VariableKind::Scalar,
        }
    }

    /// Returns the word for messages.
    pub(super) fn word(self) -> &'static str {
        match self.base {
            Base::Any => "a value",
            Base::Null => "null",
            Base::Boolean => "a boolean",
            Base::Integer => "an integer",
            Base::Float => "a float",
            Base::String => "a string",
            Base::List => "a list",
            Base::Map => "a map",
            Base::Node => "a node",
            Base::Relationship => "a relationship",
            Base::Path => "a path",
        }
    }
}

impl VariableKind {
    pub(super) fn as_type(self) -> Type {
        match self {
            VariableKind::Node => Type::of(Base::Node),
            VariableKind::Relationship => Type::of(Base::Relationship),
            VariableKind::RelationshipList => Type::list_of(Base::Relationship),
            VariableKind::Path => Type::of(Base::Path),
            VariableKind::Scalar | VariableKind::Unknown => Type::ANY,
        }
    }
}

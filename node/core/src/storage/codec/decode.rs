//! Changes are read, by the tables of names before them.

use super::DecodeError;
use super::values::Reader;
use crate::types::{
    Change, ConstraintKind, ConstraintSpec, EdgeId, EdgeTypeId, EnumSpec, IndexSpec, LabelId, PropertyKeyId,
    PropertyType, TriggerEvent, TriggerPhase, TriggerSpec, Value, VertexId,
};
use std::sync::Arc;

pub(super) struct Decoder<'a> {
    pub(super) r: Reader<'a>,
    pub(super) labels: Vec<LabelId>,
    pub(super) edge_types: Vec<EdgeTypeId>,
    pub(super) keys: Vec<PropertyKeyId>,
}

impl Decoder<'_> {
    pub(super) fn id(&mut self) -> Result<u64, DecodeError> {
        match self.r.varint()? {
            id if id < crate::storage::ID_END => Ok(id),
            _ => Err(self.r.error("an id beyond 40 bits")),
        }
    }

    pub(super) fn vertex(&mut self) -> Result<VertexId, DecodeError> {
        self.id().map(VertexId)
    }

    pub(super) fn edge(&mut self) -> Result<EdgeId, DecodeError> {
        self.id().map(EdgeId)
    }

    pub(super) fn label(&mut self) -> Result<LabelId, DecodeError> {
        let place = self.r.narrow::<usize>()?;
        self.labels.get(place).copied().ok_or_else(|| self.r.error("a label outside the table"))
    }

    pub(super) fn key(&mut self) -> Result<PropertyKeyId, DecodeError> {
        let place = self.r.narrow::<usize>()?;
        self.keys.get(place).copied().ok_or_else(|| self.r.error("a key outside the table"))
    }

    pub(super) fn edge_type(&mut self) -> Result<EdgeTypeId, DecodeError> {
        let place = self.r.narrow::<usize>()?;
        self.edge_types.get(place).copied().ok_or_else(|| self.r.error("an edge type outside the table"))
    }

    pub(super) fn properties(&mut self) -> Result<Vec<(PropertyKeyId, Value)>, DecodeError> {
        let count = self.r.count(2)?;
        let mut properties = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            properties.push((self.key()?, self.r.value()?));
        }
        Ok(properties)
    }

    pub(super) fn key_list(&mut self) -> Result<Vec<PropertyKeyId>, DecodeError> {
        let count = self.r.count(1)?;
        (0..count).map(|_| self.key()).collect()
    }

    pub(super) fn index(&mut self) -> Result<IndexSpec, DecodeError> {
        match self.r.byte()? {
            1 => Ok(IndexSpec::Label(self.label()?)),
            2 => Ok(IndexSpec::LabelProperties(self.label()?, self.key_list()?)),
            3 => Ok(IndexSpec::EdgeType(self.edge_type()?)),
            4 => Ok(IndexSpec::EdgeTypeProperties(self.edge_type()?, self.key_list()?)),
            _ => Err(self.r.error("an unknown kind of index")),
        }
    }

    pub(super) fn constraint(&mut self) -> Result<ConstraintSpec, DecodeError> {
        let kind = match self.r.byte()? {
            1 => ConstraintKind::Exists,
            2 => ConstraintKind::Unique,
            3 => ConstraintKind::Typed(self.one_of(&PropertyType::ALL, "an unknown type")?),
            _ => return Err(self.r.error("an unknown kind of constraint")),
        };
        Ok(ConstraintSpec { kind, label: self.label()?, properties: self.key_list()? })
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T], what: &'static str) -> Result<T, DecodeError> {
        let place = usize::from(self.r.byte()?);
        all.get(place).copied().ok_or_else(|| self.r.error(what))
    }

    pub(super) fn enum_spec(&mut self) -> Result<EnumSpec, DecodeError> {
        let name = self.r.text()?.into();
        let count = self.r.count(1)?;
        let values = (0..count).map(|_| self.r.text().map(Arc::from)).collect::<Result<_, _>>()?;
        Ok(EnumSpec { name, values })
    }

    pub(super) fn trigger(&mut self) -> Result<Arc<TriggerSpec>, DecodeError> {
        let name = self.r.text()?.into();
        let event = self.one_of(&TriggerEvent::ALL, "an unknown event")?;
        let phase = if self.r.flag()? { TriggerPhase::AfterCommit } else { TriggerPhase::BeforeCommit };
        Ok(Arc::new(TriggerSpec { name, event, phase, statement: self.r.text()?.into() }))
    }

    pub(super) fn change(&mut self) -> Result<Change, DecodeError> {
        Ok(match self.r.byte()? {
            1 => {
                let id = self.vertex()?;
                let count = self.r.count(1)?;
                let labels = (0..count).map(|_| self.label()).collect::<Result<_, _>>()?;
                Change::CreateVertex { id, labels, properties: self.properties()? }
            }
            2 => Change::DeleteVertex { id: self.vertex()? },
            3 => Change::AddLabel { id: self.vertex()?, label: self.label()? },
            4 => Change::RemoveLabel { id: self.vertex()?, label: self.label()? },
            5 => Change::SetVertexProperty { id: self.vertex()?, key: self.key()?, value: self.r.value()? },
            6 => Change::CreateEdge {
                id: self.edge()?,
                from: self.vertex()?,
                to: self.vertex()?,
                edge_type: self.edge_type()?,
                properties: self.properties()?,
            },
            7 => Change::DeleteEdge { id: self.edge()? },
            8 => Change::SetEdgeProperty { id: self.edge()?, key: self.key()?, value: self.r.value()? },
            9 => Change::CreateIndex(self.index()?),
            10 => Change::DropIndex(self.index()?),
            11 => Change::CreateConstraint(self.constraint()?),
            12 => Change::DropConstraint(self.constraint()?),
            13 => Change::SetEnum(self.enum_spec()?),
            14 => Change::DropEnum { name: self.r.text()?.into() },
            15 => Change::CreateTrigger(self.trigger()?),
            16 => Change::DropTrigger { name: self.r.text()?.into() },
            _ => return Err(self.r.error("an unknown kind of change")),
        })
    }
}

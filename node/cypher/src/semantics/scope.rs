//! The variables that a clause sees.

use super::types::Type;
use super::{Catalog, Variable};
use crate::ast::{Ident, Name, Span, VarId};
use crate::error::{CypherError, did_you_mean};
use rustc_hash::FxHashMap;
use std::cell::Cell;

/// Names in scope.
pub(super) type Scope = FxHashMap<Name, VarId>;

/// The walk over a query.
pub(super) struct Analyzer<'c> {
    pub(super) catalog: &'c dyn Catalog,
    pub(super) variables: Vec<Variable>,
    /// Type of each variable.
    pub(super) types: Vec<Type>,
    pub(super) scope: Scope,
    /// Of the variables that the query is given, which come first, whether it names them.
    pub(super) given: Vec<Cell<bool>>,
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// Aggregates met so far.
    pub(super) aggregates_seen: usize,
}

impl Analyzer<'_> {
    /// Makes a variable without putting it into scope.
    pub(super) fn make(&mut self, name: Name, kind: Type) -> VarId {
        let id = VarId(self.variables.len() as u32);
        self.variables.push(Variable { name, kind: kind.kind() });
        self.types.push(kind);
        id
    }

    /// Makes a variable and puts it into scope, over one of that name.
    pub(super) fn bind(&mut self, ident: &mut Ident, kind: Type) -> VarId {
        ident.var = self.make(ident.name.clone(), kind);
        self.scope.insert(ident.name.clone(), ident.var);
        ident.var
    }

    /// Makes a variable and puts it into scope, where there must be none of that name.
    pub(super) fn bind_new(&mut self, ident: &mut Ident, kind: Type) -> Result<VarId, CypherError> {
        if self.scope.contains_key(&ident.name) {
            return Err(already_bound(ident));
        }
        Ok(self.bind(ident, kind))
    }

    pub(super) fn type_of(&self, var: VarId) -> Type {
        self.types[var.0 as usize]
    }

    /// Finds the variable.
    pub(super) fn resolve(&self, ident: &mut Ident) -> Result<Type, CypherError> {
        match self.scope.get(&ident.name) {
            Some(var) => {
                ident.var = *var;
                if let Some(is_named) = self.given.get(var.0 as usize) {
                    is_named.set(true);
                }
                Ok(self.type_of(*var))
            }
            None => Err(self.undefined(&ident.name, ident.span)),
        }
    }

    pub(super) fn undefined(&self, name: &str, span: Span) -> CypherError {
        let mut message = format!("Unbound variable: {name}.");
        let mut known: Vec<&str> = self.scope.keys().map(|name| name.as_ref()).collect();
        known.sort_unstable();
        let other_case = known.iter().copied().find(|known| known.eq_ignore_ascii_case(name));
        if let Some(meant) = other_case.or_else(|| did_you_mean(name, known)) {
            message.push_str(&format!(" Did you mean `{meant}`?"));
        }
        CypherError::syntax("UndefinedVariable", span, message)
    }

    /// Runs `inner` with local variables over those in scope.
    pub(super) fn with_locals<T>(
        &mut self,
        locals: Vec<(&mut Ident, Type)>,
        inner: impl FnOnce(&mut Self) -> Result<T, CypherError>,
    ) -> Result<T, CypherError> {
        let mut hidden = Vec::with_capacity(locals.len());
        for (ident, kind) in locals {
            let before = self.scope.get(&ident.name).copied();
            self.bind(ident, kind);
            hidden.push((ident.name.clone(), before));
        }
        let made = inner(self);
        for (name, before) in hidden.into_iter().rev() {
            match before {
                Some(var) => self.scope.insert(name, var),
                None => self.scope.remove(&name),
            };
        }
        made
    }
}

pub(super) fn already_bound(ident: &Ident) -> CypherError {
    let message = format!("Variable `{}` is already bound here.", ident.name);
    CypherError::syntax("VariableAlreadyBound", ident.span, message)
}

//! `CREATE TRIGGER`.

use super::{Parser, Result};
use crate::ast::{SchemaStatement, Span};
use crate::error::CypherError;
use crate::lexer::TokenKind as T;
use mgnode_core::types::{TriggerEvent, TriggerObject, TriggerPhase};

impl Parser<'_> {
    /// Takes what stands behind `CREATE TRIGGER`. The statement that it runs is a query, taken as it is written.
    pub(super) fn create_trigger(&mut self) -> Result<SchemaStatement> {
        let name = self.symbol("the name of the trigger")?;
        if self.is("SECURITY") {
            let span = self.span();
            self.advance();
            if !self.eat_word("DEFINER") {
                return Err(not_definer(span));
            }
        }
        let event = if self.eat_word("ON") { self.trigger_event()? } else { TriggerEvent::Any };
        let phase = if self.eat_word("BEFORE") {
            TriggerPhase::BeforeCommit
        } else if self.eat_word("AFTER") {
            TriggerPhase::AfterCommit
        } else {
            return Err(self.expected_words(&["BEFORE", "AFTER"]));
        };
        self.expect_words(&["COMMIT", "EXECUTE"])?;
        let begins = self.span();
        self.query()?;
        let statement = self.since(begins).of(self.text).into();
        Ok(SchemaStatement::CreateTrigger { name, event, phase, statement })
    }

    fn trigger_event(&mut self) -> Result<TriggerEvent> {
        let object = if self.eat(T::ParenOpen) {
            self.expect(T::ParenClose, "`)`")?;
            Some(TriggerObject::Vertex)
        } else if self.eat(T::Minus) {
            self.expect(T::Minus, "`-->`")?;
            self.expect(T::Greater, "`-->`")?;
            Some(TriggerObject::Edge)
        } else {
            None
        };
        if self.eat_word("CREATE") {
            Ok(TriggerEvent::Create(object))
        } else if self.eat_word("UPDATE") {
            Ok(TriggerEvent::Update(object))
        } else if self.eat_word("DELETE") {
            Ok(TriggerEvent::Delete(object))
        } else {
            Err(self.expected_words(&["CREATE", "UPDATE", "DELETE"]))
        }
    }
}

fn not_definer(span: Span) -> CypherError {
    let message = "A trigger has no other security than `DEFINER`: there are no users. Leave `SECURITY` out.";
    CypherError::syntax("UnexpectedSyntax", span, message)
}

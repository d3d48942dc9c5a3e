//! Statements that are no queries, told apart by their first words.

use super::expressions::integer;
use super::{Parser, Result};
use crate::ast::*;
use crate::error::{CypherError, did_you_mean};
use crate::lexer::TokenKind as T;
use mgnode_core::types::SyncMode;

/// Words that a statement can begin with, beside those of clauses.
pub(super) const STATEMENTS: [&str; 17] = [
    "EXPLAIN",
    "PROFILE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SHOW",
    "DROP",
    "REGISTER",
    "FENCE",
    "CONFIRM",
    "REWIND",
    "TERMINATE",
    "FREE",
    "STORAGE",
    "ANALYZE",
    "DUMP",
    "RECOVER",
];

/// First words of statements that are understood and not offered, and how they are named.
const UNSUPPORTED: [(&[&str], &str); 61] = [
    (&["CREATE", "USER"], "CREATE USER"),
    (&["DROP", "USER"], "DROP USER"),
    (&["ALTER", "USER"], "ALTER USER"),
    (&["SET", "PASSWORD"], "SET PASSWORD"),
    (&["CREATE", "ROLE"], "CREATE ROLE"),
    (&["DROP", "ROLE"], "DROP ROLE"),
    (&["SET", "ROLE"], "SET ROLE"),
    (&["CLEAR", "ROLE"], "CLEAR ROLE"),
    (&["GRANT"], "GRANT"),
    (&["DENY"], "DENY"),
    (&["REVOKE"], "REVOKE"),
    (&["SHOW", "PRIVILEGES"], "SHOW PRIVILEGES"),
    (&["SHOW", "USERS", "FOR"], "SHOW USERS FOR"),
    (&["SHOW", "ROLE", "FOR"], "SHOW ROLE FOR"),
    (&["CREATE", "STREAM"], "CREATE STREAM"),
    (&["CREATE", "KAFKA", "STREAM"], "CREATE KAFKA STREAM"),
    (&["CREATE", "PULSAR", "STREAM"], "CREATE PULSAR STREAM"),
    (&["START", "STREAM"], "START STREAM"),
    (&["START", "ALL", "STREAMS"], "START ALL STREAMS"),
    (&["STOP", "STREAM"], "STOP STREAM"),
    (&["STOP", "ALL", "STREAMS"], "STOP ALL STREAMS"),
    (&["DROP", "STREAM"], "DROP STREAM"),
    (&["CHECK", "STREAM"], "CHECK STREAM"),
    (&["SHOW", "STREAMS"], "SHOW STREAMS"),
    (&["CREATE", "DATABASE"], "CREATE DATABASE"),
    (&["DROP", "DATABASE"], "DROP DATABASE"),
    (&["RENAME", "DATABASE"], "RENAME DATABASE"),
    (&["SUSPEND", "DATABASE"], "SUSPEND DATABASE"),
    (&["RESUME", "DATABASE"], "RESUME DATABASE"),
    (&["CREATE", "PARALLEL", "GRAPH"], "CREATE PARALLEL GRAPH"),
    (&["ENABLE", "TTL"], "ENABLE TTL"),
    (&["DISABLE", "TTL"], "DISABLE TTL"),
    (&["STOP", "TTL"], "STOP TTL"),
    (&["CREATE", "TTL"], "CREATE TTL"),
    (&["EDGE", "IMPORT", "MODE"], "EDGE IMPORT MODE"),
    (&["IMPORT", "MODE"], "EDGE IMPORT MODE"),
    (&["CREATE", "PROFILE"], "CREATE PROFILE"),
    (&["DROP", "PROFILE"], "DROP PROFILE"),
    (&["UPDATE", "PROFILE"], "UPDATE PROFILE"),
    (&["SHOW", "PROFILE"], "SHOW PROFILE"),
    (&["SHOW", "PROFILES"], "SHOW PROFILES"),
    (&["SHOW", "RESOURCE"], "SHOW RESOURCE"),
    (&["SHOW", "PARAMETERS"], "SHOW PARAMETERS"),
    (&["SET", "GLOBAL", "PARAMETER"], "SET GLOBAL PARAMETER"),
    (&["UNSET", "GLOBAL", "PARAMETER"], "UNSET GLOBAL PARAMETER"),
    (&["SET", "DESCRIPTION"], "SET DESCRIPTION"),
    (&["RELOAD"], "RELOAD TLS"),
    (&["SHOW", "INSTANCES"], "SHOW INSTANCES"),
    (&["SHOW", "INSTANCE"], "SHOW INSTANCE"),
    (&["SHOW", "ROUTING", "TABLE"], "SHOW ROUTING TABLE"),
    (&["SHOW", "COORDINATOR", "SETTINGS"], "SHOW COORDINATOR SETTINGS"),
    (&["SET", "COORDINATOR", "SETTING"], "SET COORDINATOR SETTING"),
    (&["SET", "INSTANCE"], "SET INSTANCE"),
    (&["ADD", "COORDINATOR"], "ADD COORDINATOR"),
    (&["REMOVE", "COORDINATOR"], "REMOVE COORDINATOR"),
    (&["REGISTER", "INSTANCE"], "REGISTER INSTANCE"),
    (&["UNREGISTER", "INSTANCE"], "UNREGISTER INSTANCE"),
    (&["DEMOTE", "INSTANCE"], "DEMOTE INSTANCE"),
    (&["UPDATE", "CONFIG", "FOR"], "UPDATE CONFIG"),
    (&["FORCE", "RESET", "CLUSTER", "STATE"], "FORCE RESET CLUSTER STATE"),
    (&["YIELD", "LEADERSHIP"], "YIELD LEADERSHIP"),
];

/// Returns the statements of Memgraph that are refused by their first words.
pub fn refused_statements() -> impl Iterator<Item = &'static str> {
    UNSUPPORTED.iter().map(|(_, what)| *what)
}

const INVALID_ADDRESS: &str = "Invalid socket address. The socket address must be a string defining the address \
    and port, delimited by a single colon. The address must be valid and the port must be an integer.";

/// Port of a replica where its address names none.
const REPLICATION_PORT: u16 = 10000;

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Result<Statement> {
        if self.kind() == T::End || self.kind() == T::Semicolon {
            return Err(self.unexpected("a query"));
        }
        if self.eat_word("EXPLAIN") {
            return Ok(Statement::Explain(self.query()?));
        }
        // `PROFILE` before a query; elsewhere it is a word of statements about users.
        if self.eat_word("PROFILE") {
            return Ok(Statement::Profile(self.query()?));
        }
        // `CREATE snapshot = (a)-->(b)` names a path.
        let names_path = self.is_at(0, "CREATE") && self.kind_at(2) == T::Equal;
        let sets_property =
            self.is_at(0, "SET") && matches!(self.kind_at(2), T::Dot | T::Equal | T::PlusEqual | T::Colon);
        if names_path || sets_property {
            return Ok(Statement::Query(self.query()?));
        }
        for (words, what) in UNSUPPORTED {
            if self.are(words) {
                let span = self.span();
                // The rest is not looked into.
                while self.kind() != T::End {
                    self.advance();
                }
                return Ok(Statement::Unsupported { what, span: self.since(span) });
            }
        }
        match self.word_at(0).to_ascii_uppercase().as_str() {
            "BEGIN" => {
                self.advance();
                self.eat_word("TRANSACTION");
                Ok(Statement::Transaction(TransactionStatement::Begin))
            }
            "COMMIT" => {
                self.advance();
                self.eat_word("TRANSACTION");
                Ok(Statement::Transaction(TransactionStatement::Commit))
            }
            "ROLLBACK" => {
                self.advance();
                self.eat_word("TRANSACTION");
                Ok(Statement::Transaction(TransactionStatement::Rollback))
            }
            "SHOW" => self.show(),
            "CREATE" => self.create_statement(),
            "DROP" => self.drop_statement(),
            "ALTER" => self.alter().map(Statement::Schema),
            "SET" => self.set_statement(),
            "REGISTER" => self.register().map(Statement::Replication),
            "FENCE" => self.fence().map(Statement::Replication),
            "REWIND" => {
                self.expect_words(&["REWIND", "REPLICATION", "TO"])?;
                let to = self.string("a position as a string")?;
                Ok(Statement::Replication(ReplicationStatement::Rewind { to }))
            }
            "RELEASE" => {
                self.expect_words(&["RELEASE", "REPLICATION", "MAIN"])?;
                Ok(Statement::Replication(ReplicationStatement::Release))
            }
            "CONFIRM" => {
                self.expect_words(&["CONFIRM", "REPLICATION", "ROLE", "MAIN"])?;
                Ok(Statement::Replication(ReplicationStatement::ConfirmMain))
            }
            _ => match self.admin()? {
                Some(statement) => Ok(Statement::Admin(statement)),
                None => Ok(Statement::Query(self.query()?)),
            },
        }
    }

    /// Takes a whole number without sign.
    pub(super) fn natural(&mut self, what: &str) -> Result<u64> {
        let token = self.token(0);
        let value = match token.kind {
            T::Integer => integer(token.span.of(self.text), false),
            _ => None,
        };
        match value {
            Some(value) => {
                self.advance();
                Ok(value as u64)
            }
            None => Err(self.unexpected(what)),
        }
    }

    // ------------------------------------------------------------------------------------- SHOW

    fn show(&mut self) -> Result<Statement> {
        self.advance();
        let replication = |statement| Ok(Statement::Replication(statement));
        let show = match self.word_at(0).to_ascii_uppercase().as_str() {
            "REPLICATION" => {
                self.advance();
                let statement = match self.word_at(0).to_ascii_uppercase().as_str() {
                    "ROLE" => ReplicationStatement::ShowRole,
                    "STATE" => ReplicationStatement::ShowState,
                    "LAG" => ReplicationStatement::ShowLag,
                    _ => return Err(self.expected_words(&["ROLE", "STATE", "LAG"])),
                };
                self.advance();
                return replication(statement);
            }
            "REPLICAS" => {
                self.advance();
                return replication(ReplicationStatement::ShowReplicas);
            }
            "TRANSACTION" if self.is_at(1, "OUTCOME") => {
                self.at += 2;
                let position = self.string("a position as a string, such as \"3:1042\"")?;
                return replication(ReplicationStatement::TransactionOutcome { position });
            }
            "INDEX" => self.info(ShowStatement::Indexes)?,
            "INDEXES" => self.then(ShowStatement::Indexes),
            "CONSTRAINT" => self.info(ShowStatement::Constraints)?,
            "CONSTRAINTS" => self.then(ShowStatement::Constraints),
            "STORAGE" => {
                self.info(())?;
                let scope = if self.eat_words(&["ON", "CURRENT", "DATABASE"]) {
                    StorageScope::CurrentDatabase
                } else if self.eat_words(&["ON", "DATABASE"]) {
                    StorageScope::Database(self.symbol("a database")?)
                } else {
                    StorageScope::Node
                };
                ShowStatement::StorageInfo(scope)
            }
            "BUILD" => self.info(ShowStatement::BuildInfo)?,
            "LICENSE" => self.info(ShowStatement::LicenseInfo)?,
            "SCHEMA" => self.info(ShowStatement::SchemaInfo)?,
            "METRICS" => self.info(ShowStatement::MetricsInfo)?,
            "VERSION" => self.then(ShowStatement::Version),
            "DATABASES" => self.then(ShowStatement::Databases),
            "DATABASE" if self.is_at(1, "SETTINGS") => {
                self.advance();
                self.then(ShowStatement::DatabaseSettings)
            }
            "DATABASE" if self.is_at(1, "SETTING") => {
                self.at += 2;
                ShowStatement::DatabaseSetting(self.string("the name of a setting as a string")?)
            }
            "DATABASE" => self.then(ShowStatement::Database),
            "CURRENT" => {
                self.advance();
                match self.word_at(0).to_ascii_uppercase().as_str() {
                    "DATABASE" => self.then(ShowStatement::Database),
                    "USER" => self.then(ShowStatement::CurrentUser),
                    _ => return Err(self.expected_words(&["USER", "DATABASE"])),
                }
            }
            "CONFIG" => self.then(ShowStatement::Config),
            "SNAPSHOTS" => self.then(ShowStatement::Snapshots),
            "NEXT" => {
                self.advance();
                self.expect_word("SNAPSHOT")?;
                ShowStatement::NextSnapshot
            }
            "TRANSACTIONS" | "RUNNING" | "COMMITTING" | "ABORTING" => {
                let mut words = Vec::new();
                while !self.is("TRANSACTIONS") {
                    words.push(match self.word_at(0).to_ascii_uppercase().as_str() {
                        "RUNNING" => "running",
                        "COMMITTING" => "committing",
                        "ABORTING" => "aborting",
                        _ => return Err(self.expected_words(&["TRANSACTIONS"])),
                    });
                    self.advance();
                    self.eat(T::Comma);
                }
                self.advance();
                ShowStatement::Transactions(words)
            }
            "TRIGGERS" => self.then(ShowStatement::Triggers),
            "ENUMS" => self.then(ShowStatement::Enums),
            "USERS" => self.then(ShowStatement::Users),
            "ROLES" => self.then(ShowStatement::Roles),
            "ACTIVE" => {
                self.expect_words(&["ACTIVE", "USERS", "INFO"])?;
                ShowStatement::ActiveUsers
            }
            "FUNCTIONS" => self.then(ShowStatement::Functions),
            "PROCEDURES" => self.then(ShowStatement::Procedures),
            word => {
                const KNOWN: [&str; 20] = [
                    "REPLICAS",
                    "REPLICATION",
                    "INDEX",
                    "INDEXES",
                    "CONSTRAINT",
                    "CONSTRAINTS",
                    "STORAGE",
                    "VERSION",
                    "BUILD",
                    "DATABASES",
                    "DATABASE",
                    "CONFIG",
                    "SNAPSHOTS",
                    "TRANSACTIONS",
                    "TRIGGERS",
                    "ENUMS",
                    "USERS",
                    "ROLES",
                    "LICENSE",
                    "SCHEMA",
                ];
                let mut error = self.unexpected("what to show, such as `INDEX INFO` or `REPLICAS`");
                let meant = if word == "REPLICA" { Some("REPLICAS") } else { did_you_mean(word, KNOWN) };
                if let Some(meant) = meant {
                    error.message.push_str(&format!(" Did you mean `SHOW {meant}`?"));
                }
                return Err(error);
            }
        };
        Ok(Statement::Show(show))
    }

    fn then<V>(&mut self, value: V) -> V {
        self.advance();
        value
    }

    fn info<V>(&mut self, value: V) -> Result<V> {
        self.advance();
        self.expect_word("INFO")?;
        Ok(value)
    }

    // ------------------------------------------------------------------------------- CREATE, DROP

    fn create_statement(&mut self) -> Result<Statement> {
        let begins = self.span();
        if self.are(&["CREATE", "SNAPSHOT"]) {
            self.at += 2;
            return Ok(Statement::Admin(AdminStatement::CreateSnapshot));
        }
        if self.are(&["CREATE", "ENUM"]) {
            self.at += 2;
            let name = self.symbol("the name of the enum")?;
            self.expect_word("VALUES")?;
            self.expect(T::BraceOpen, "`{`")?;
            let values = self.list(|p| p.symbol("a value"))?;
            self.expect(T::BraceClose, "`,` or `}`")?;
            return Ok(Statement::Schema(SchemaStatement::CreateEnum { name, values }));
        }
        if self.eat_words(&["CREATE", "TRIGGER"]) {
            return self.create_trigger().map(Statement::Schema);
        }
        if self.are(&["CREATE", "CONSTRAINT"]) {
            self.at += 2;
            return self.create_constraint(begins).map(Statement::Schema);
        }
        match self.index_kind_at(1) {
            Some((kind, words)) => {
                self.at += 1 + words;
                self.create_index(kind, begins).map(Statement::Schema)
            }
            None => Ok(Statement::Query(self.query()?)),
        }
    }

    /// Returns the kind of index that is named that many words ahead, and how many words name it.
    fn index_kind_at(&self, ahead: usize) -> Option<(IndexKind, usize)> {
        const KINDS: [(&[&str], IndexKind); 13] = [
            (&["INDEX"], IndexKind::Label),
            (&["RANGE", "INDEX"], IndexKind::Label),
            (&["BTREE", "INDEX"], IndexKind::Label),
            (&["EDGE", "INDEX"], IndexKind::EdgeType),
            (&["GLOBAL", "INDEX"], IndexKind::GlobalProperty),
            (&["GLOBAL", "EDGE", "INDEX"], IndexKind::GlobalEdgeProperty),
            (&["POINT", "INDEX"], IndexKind::Point),
            (&["TEXT", "INDEX"], IndexKind::Text),
            (&["FULLTEXT", "INDEX"], IndexKind::Text),
            (&["TEXT", "EDGE", "INDEX"], IndexKind::TextEdge),
            (&["VECTOR", "INDEX"], IndexKind::Vector),
            (&["VECTOR", "EDGE", "INDEX"], IndexKind::VectorEdge),
            (&["LOOKUP", "INDEX"], IndexKind::Lookup),
        ];
        KINDS
            .iter()
            .find(|(words, _)| words.iter().enumerate().all(|(n, word)| self.is_at(ahead + n, word)))
            .map(|(words, kind)| (*kind, words.len()))
    }

    fn create_index(&mut self, kind: IndexKind, begins: Span) -> Result<SchemaStatement> {
        let mut name = None;
        let is_clause_word = (self.is("ON") && self.kind_at(1) == T::Colon)
            || (self.is("FOR") && self.kind_at(1) == T::ParenOpen)
            || self.are(&["IF", "NOT", "EXISTS"]);
        if self.is_name_at(0) && !is_clause_word {
            name = Some(self.symbol("the name of the index")?);
        }
        let if_not_exists = self.eat_words(&["IF", "NOT", "EXISTS"]);
        let mut index = if self.eat_word("FOR") {
            self.index_for(kind)?
        } else if self.is("ON") {
            self.index_on(kind)?
        } else {
            return Err(self.expected_words(&["ON", "FOR"]));
        };
        if self.eat_words(&["WITH", "CONFIG"]) || self.eat_word("OPTIONS") {
            self.skip_config()?;
            index.has_config = true;
        }
        index.span = self.since(begins);
        Ok(SchemaStatement::CreateIndex { index, name, if_not_exists })
    }

    /// Passes over a configuration in braces, whose keys may be strings: no index has one.
    fn skip_config(&mut self) -> Result<()> {
        self.expect(T::BraceOpen, "`{`")?;
        let mut open = 1;
        while open > 0 {
            match self.kind() {
                T::BraceOpen => open += 1,
                T::BraceClose => open -= 1,
                T::End => return Err(self.unexpected("`}`")),
                _ => {}
            }
            self.advance();
        }
        Ok(())
    }

    /// Takes `ON :L(p, q)`.
    fn index_on(&mut self, kind: IndexKind) -> Result<Index> {
        let span = self.span();
        self.expect_word("ON")?;
        self.expect(T::Colon, "`:`")?;
        let global = matches!(kind, IndexKind::GlobalProperty | IndexKind::GlobalEdgeProperty);
        let label = if global { None } else { Some(self.symbol("a label")?) };
        let mut properties = Vec::new();
        if global || self.kind() == T::ParenOpen {
            self.expect(T::ParenOpen, "`(`")?;
            properties = self.list(|p| p.property_path())?;
            self.expect(T::ParenClose, "`,` or `)`")?;
        }
        Ok(Index { kind, label, properties, has_config: false, span: self.since(span) })
    }

    fn property_path(&mut self) -> Result<PropertyPath> {
        let mut parts = vec![self.symbol("a property")?];
        while self.eat(T::Dot) {
            parts.push(self.symbol("a property")?);
        }
        let descending = self.eat_word("DESC");
        if !descending {
            self.eat_word("ASC");
        }
        Ok(PropertyPath { parts, descending })
    }

    /// Takes `(n:L) ON (n.p, n.q)` or `()-[r:T]-() ON (r.p)`.
    fn index_for(&mut self, kind: IndexKind) -> Result<Index> {
        let span = self.span();
        let (variable, label, on_relationship) = self.schema_pattern()?;
        if kind == IndexKind::EdgeType && !on_relationship {
            let message = "An edge index is of relationships: `FOR ()-[r:T]-() ON (r.p)`.";
            return Err(CypherError::syntax("UnexpectedSyntax", self.since(span), message));
        }
        self.expect_word("ON")?;
        let kind = match (kind, on_relationship) {
            (IndexKind::Label, true) => IndexKind::EdgeType,
            (IndexKind::Text, true) => IndexKind::TextEdge,
            (IndexKind::Vector, true) => IndexKind::VectorEdge,
            (kind, _) => kind,
        };
        if kind == IndexKind::Lookup || (self.is("EACH") && self.kind_at(1) == T::BracketOpen) {
            while !matches!(self.kind(), T::End | T::Semicolon) {
                self.advance();
            }
            return Ok(Index { kind, label, properties: Vec::new(), has_config: false, span });
        }
        let parens = self.eat(T::ParenOpen);
        let properties = self.list(|p| {
            let parts = p.schema_property(&variable)?;
            Ok(PropertyPath { parts, descending: false })
        })?;
        if parens {
            self.expect(T::ParenClose, "`,` or `)`")?;
        }
        Ok(Index { kind, label, properties, has_config: false, span: self.since(span) })
    }

    /// Takes `(n:L)` or `()-[r:T]-()`: variable, label or type, whether it is a relationship.
    fn schema_pattern(&mut self) -> Result<(Name, Option<Symbol>, bool)> {
        self.expect(T::ParenOpen, "`(`")?;
        if !self.eat(T::ParenClose) {
            let variable = self.ident("a variable")?.name;
            let label = if self.eat(T::Colon) { Some(self.symbol("a label")?) } else { None };
            self.expect(T::ParenClose, "`)`")?;
            return Ok((variable, label, false));
        }
        self.eat(T::Less);
        self.expect(T::Minus, "`-`")?;
        self.expect(T::BracketOpen, "`[`")?;
        let variable = self.ident("a variable")?.name;
        let label = if self.eat(T::Colon) { Some(self.symbol("a relationship type")?) } else { None };
        self.expect(T::BracketClose, "`]`")?;
        self.expect(T::Minus, "`-`")?;
        self.eat(T::Greater);
        self.expect(T::ParenOpen, "`(`")?;
        self.expect(T::ParenClose, "`)`")?;
        Ok((variable, label, true))
    }

    /// Takes `n.p` or `n.p.q` of that variable.
    fn schema_property(&mut self, variable: &str) -> Result<Vec<Symbol>> {
        let owner = self.ident("a property such as `n.name`")?;
        if owner.name.as_ref() != variable {
            let message = format!("Unbound variable: {}. Here only `{variable}` is known.", owner.name);
            return Err(CypherError::syntax("UndefinedVariable", owner.span, message));
        }
        self.expect(T::Dot, "`.`")?;
        let mut parts = vec![self.symbol("a property")?];
        while self.eat(T::Dot) {
            parts.push(self.symbol("a property")?);
        }
        Ok(parts)
    }

    fn create_constraint(&mut self, begins: Span) -> Result<SchemaStatement> {
        let mut name = None;
        let is_clause_word = (matches!(self.word_at(0).to_ascii_uppercase().as_str(), "ON" | "FOR")
            && self.kind_at(1) == T::ParenOpen)
            || self.are(&["IF", "NOT", "EXISTS"]);
        if self.is_name_at(0) && !is_clause_word {
            name = Some(self.symbol("the name of the constraint")?);
        }
        let if_not_exists = self.eat_words(&["IF", "NOT", "EXISTS"]);
        let constraint = if self.is("ON") {
            self.constraint_on(begins)?
        } else if self.is("FOR") {
            self.constraint_for(begins)?
        } else {
            return Err(self.expected_words(&["ON", "FOR"]));
        };
        if self.eat_word("OPTIONS") {
            self.map()?;
        }
        Ok(SchemaStatement::CreateConstraint { constraint, name, if_not_exists })
    }

    /// Takes `ON (n:L) ASSERT ...`.
    fn constraint_on(&mut self, begins: Span) -> Result<Constraint> {
        self.expect_word("ON")?;
        let (variable, label, on_relationship) = self.labelled_pattern()?;
        self.expect_word("ASSERT")?;
        if self.eat_word("EXISTS") {
            self.expect(T::ParenOpen, "`(`")?;
            let properties = self.list(|p| p.schema_property(&variable))?;
            self.expect(T::ParenClose, "`)`")?;
            let properties = single_keys(properties)?;
            let kind = ConstraintKind::Exists;
            return Ok(Constraint { kind, label, on_relationship, properties, span: self.since(begins) });
        }
        self.constraint_rule(&variable, label, on_relationship, begins)
    }

    /// Takes `FOR (n:L) REQUIRE ...`.
    fn constraint_for(&mut self, begins: Span) -> Result<Constraint> {
        self.expect_word("FOR")?;
        let (variable, label, on_relationship) = self.labelled_pattern()?;
        self.expect_word("REQUIRE")?;
        self.constraint_rule(&variable, label, on_relationship, begins)
    }

    fn labelled_pattern(&mut self) -> Result<(Name, Symbol, bool)> {
        let (variable, label, on_relationship) = self.schema_pattern()?;
        match label {
            Some(label) => Ok((variable, label, on_relationship)),
            None => Err(self.unexpected("a pattern with a label, such as `(n:L)`")),
        }
    }

    fn constraint_rule(
        &mut self,
        variable: &str,
        label: Symbol,
        on_relationship: bool,
        begins: Span,
    ) -> Result<Constraint> {
        let parens = self.eat(T::ParenOpen);
        let properties = self.list(|p| p.schema_property(variable))?;
        if parens {
            self.expect(T::ParenClose, "`,` or `)`")?;
        }
        let properties = single_keys(properties)?;
        self.expect_word("IS")?;
        let kind = if self.eat_word("UNIQUE") {
            ConstraintKind::Unique
        } else if self.eat_words(&["NOT", "NULL"]) {
            ConstraintKind::Exists
        } else if self.eat_words(&["NODE", "KEY"]) || self.eat_words(&["RELATIONSHIP", "KEY"]) {
            ConstraintKind::NodeKey
        } else if self.eat_word("TYPED") || self.eat(T::ColonColon) {
            let word = self.symbol("a type")?;
            let mut name = word.name.to_ascii_uppercase();
            // `ZONED DATETIME`, `LOCAL TIME`: one word with Memgraph.
            while self.kind() == T::Word && matches!(name.as_str(), "ZONED" | "LOCAL") {
                name.push_str(&self.symbol("a type")?.name.to_ascii_uppercase());
            }
            ConstraintKind::Typed(Symbol { name: name.into(), span: self.since(word.span) })
        } else {
            return Err(self.expected_words(&["UNIQUE", "NOT NULL", "TYPED"]));
        };
        Ok(Constraint { kind, label, on_relationship, properties, span: self.since(begins) })
    }

    fn drop_statement(&mut self) -> Result<Statement> {
        let begins = self.span();
        self.advance();
        if self.eat_word("REPLICA") {
            let name = self.symbol("the name of a replica")?.name;
            return Ok(Statement::Replication(ReplicationStatement::Drop { name }));
        }
        if self.eat_words(&["ALL", "INDEXES"]) {
            return Ok(Statement::Schema(SchemaStatement::DropAllIndexes));
        }
        if self.eat_words(&["ALL", "CONSTRAINTS"]) {
            return Ok(Statement::Schema(SchemaStatement::DropAllConstraints));
        }
        if self.eat_word("GRAPH") {
            return Ok(Statement::Admin(AdminStatement::DropGraph));
        }
        if self.eat_word("ENUM") {
            let name = self.symbol("the name of an enum")?;
            return Ok(Statement::Schema(SchemaStatement::DropEnum { name }));
        }
        if self.eat_word("TRIGGER") {
            let name = self.symbol("the name of a trigger")?;
            return Ok(Statement::Schema(SchemaStatement::DropTrigger { name }));
        }
        if self.eat_word("CONSTRAINT") {
            if self.is("ON") && self.kind_at(1) == T::ParenOpen {
                let constraint = self.constraint_on(begins)?;
                return Ok(Statement::Schema(SchemaStatement::DropConstraint { constraint }));
            }
            if self.is("FOR") && self.kind_at(1) == T::ParenOpen {
                let constraint = self.constraint_for(begins)?;
                return Ok(Statement::Schema(SchemaStatement::DropConstraint { constraint }));
            }
            let name = self.symbol("`ON` or the name of a constraint")?;
            let if_exists = self.eat_words(&["IF", "EXISTS"]);
            return Ok(Statement::Schema(SchemaStatement::DropNamedConstraint { name, if_exists }));
        }
        let Some((kind, words)) = self.index_kind_at(0) else {
            return Err(self.expected_words(&["INDEX", "CONSTRAINT", "REPLICA"]));
        };
        self.at += words;
        if self.is("ON") && self.kind_at(1) == T::Colon {
            let mut index = self.index_on(kind)?;
            index.span = self.since(begins);
            return Ok(Statement::Schema(SchemaStatement::DropIndex { index }));
        }
        let name = self.symbol("`ON` or the name of an index")?;
        let if_exists = self.eat_words(&["IF", "EXISTS"]);
        if matches!(kind, IndexKind::Label | IndexKind::EdgeType) {
            return Ok(Statement::Schema(SchemaStatement::DropNamedIndex { name, if_exists }));
        }
        let span = self.since(begins);
        let index = Index { kind, label: None, properties: Vec::new(), has_config: false, span };
        Ok(Statement::Schema(SchemaStatement::DropIndex { index }))
    }

    fn alter(&mut self) -> Result<SchemaStatement> {
        self.expect_words(&["ALTER", "ENUM"])?;
        let name = self.symbol("the name of an enum")?;
        if self.eat_words(&["ADD", "VALUE"]) {
            return Ok(SchemaStatement::AlterEnumAdd { name, value: self.symbol("a value")? });
        }
        if self.eat_words(&["UPDATE", "VALUE"]) {
            let from = self.symbol("a value")?;
            self.expect_word("TO")?;
            return Ok(SchemaStatement::AlterEnumUpdate { name, from, to: self.symbol("a value")? });
        }
        Err(self.expected_words(&["ADD VALUE", "UPDATE VALUE"]))
    }

    // ------------------------------------------------------------------------------- replication

    fn set_statement(&mut self) -> Result<Statement> {
        if self.are(&["SET", "REPLICATION"]) {
            return self.set_role().map(Statement::Replication);
        }
        if self.are(&["SET", "DATABASE", "SETTING"]) {
            self.at += 3;
            let name = self.string("the name of a setting as a string")?;
            self.expect_word("TO")?;
            let value = self.string("a value as a string")?;
            return Ok(Statement::Admin(AdminStatement::SetDatabaseSetting { name, value }));
        }
        let (scope, words) = if self.are(&["SET", "GLOBAL", "TRANSACTION"]) {
            (IsolationScope::Global, 3)
        } else if self.are(&["SET", "SESSION", "TRANSACTION"]) {
            (IsolationScope::Session, 3)
        } else if self.are(&["SET", "NEXT", "TRANSACTION"]) {
            (IsolationScope::NextTransaction, 3)
        } else if self.are(&["SET", "GLOBAL", "ISOLATION"]) {
            (IsolationScope::Global, 2)
        } else if self.are(&["SET", "SESSION", "ISOLATION"]) {
            (IsolationScope::Session, 2)
        } else {
            return Ok(Statement::Query(self.query()?));
        };
        self.at += words;
        self.expect_words(&["ISOLATION", "LEVEL"])?;
        let level = if self.eat_words(&["SNAPSHOT", "ISOLATION"]) {
            IsolationLevel::SnapshotIsolation
        } else if self.eat_words(&["READ", "COMMITTED"]) {
            IsolationLevel::ReadCommitted
        } else if self.eat_words(&["READ", "UNCOMMITTED"]) {
            IsolationLevel::ReadUncommitted
        } else {
            return Err(self.expected_words(&["SNAPSHOT ISOLATION", "READ COMMITTED", "READ UNCOMMITTED"]));
        };
        Ok(Statement::Admin(AdminStatement::SetIsolationLevel { scope, level }))
    }

    fn set_role(&mut self) -> Result<ReplicationStatement> {
        self.expect_words(&["SET", "REPLICATION", "ROLE", "TO"])?;
        if self.eat_word("MAIN") {
            let mut epoch = None;
            if self.eat_word("WITH") {
                if self.is("PORT") {
                    return Err(CypherError::statement("Main can't set a port!"));
                }
                self.expect_word("EPOCH")?;
                epoch = Some(self.natural("an epoch as an integer")?);
            }
            return Ok(ReplicationStatement::SetRoleMain { epoch });
        }
        if !self.eat_word("REPLICA") {
            return Err(self.expected_words(&["MAIN", "REPLICA"]));
        }
        if !self.eat_word("WITH") {
            if matches!(self.kind(), T::End | T::Semicolon) {
                return Err(CypherError::statement("Replica must set a port!"));
            }
            return Err(self.expected_words(&["WITH PORT"]));
        }
        self.expect_word("PORT")?;
        let negative = self.eat(T::Minus);
        let token = self.token(0);
        if token.kind != T::Integer {
            return Err(CypherError::statement("Port must be an integer literal!"));
        }
        let port = integer(token.span.of(self.text), negative).and_then(|port| u16::try_from(port).ok());
        self.advance();
        match port {
            Some(port) if !negative => Ok(ReplicationStatement::SetRoleReplica { port }),
            _ => Err(CypherError::statement("Port number invalid!")),
        }
    }

    fn register(&mut self) -> Result<ReplicationStatement> {
        self.expect_words(&["REGISTER", "REPLICA"])?;
        let name = self.symbol("a name for the replica")?.name;
        let mode = match self.word_at(0).to_ascii_uppercase().as_str() {
            "SYNC" => SyncMode::Sync,
            "ASYNC" => SyncMode::Async,
            "STRICT_SYNC" => SyncMode::StrictSync,
            _ => return Err(self.expected_words(&["SYNC", "ASYNC", "STRICT_SYNC"])),
        };
        self.advance();
        self.expect_word("TO")?;
        let span = self.span();
        if matches!(self.kind(), T::Integer | T::Float | T::BadNumber) || self.is("TRUE") || self.is("FALSE")
        {
            return Err(CypherError::statement("Socket address should be a string literal!").at(span));
        }
        let text = self.string("an address as a string, such as \"10.0.0.2:10000\"")?;
        let address = replica_address(&text)
            .map_err(|reason| CypherError::statement(format!("{INVALID_ADDRESS} {reason}")).at(span))?;
        Ok(ReplicationStatement::Register { name, mode, address: address.into() })
    }

    fn fence(&mut self) -> Result<ReplicationStatement> {
        self.expect_words(&["FENCE", "REPLICATION", "EPOCH"])?;
        let epoch = self.natural("an epoch as an integer")?;
        self.expect_word("BY")?;
        Ok(ReplicationStatement::Fence { epoch, by: self.string("the operation as a string")? })
    }

    // ------------------------------------------------------------------------------- the rest

    fn admin(&mut self) -> Result<Option<AdminStatement>> {
        let statement = match self.word_at(0).to_ascii_uppercase().as_str() {
            "FREE" => {
                self.expect_words(&["FREE", "MEMORY"])?;
                AdminStatement::FreeMemory
            }
            "TERMINATE" => {
                self.advance();
                if !self.eat_word("TRANSACTION") {
                    self.expect_word("TRANSACTIONS")?;
                }
                let ids = self.list(|p| match p.kind() {
                    T::Text | T::Dollar => p.atom(),
                    _ => Err(p.unexpected("the id of a transaction as a string")),
                })?;
                AdminStatement::TerminateTransactions(ids)
            }
            "STORAGE" => {
                self.expect_words(&["STORAGE", "MODE"])?;
                let mode = match self.word_at(0).to_ascii_uppercase().as_str() {
                    "IN_MEMORY_TRANSACTIONAL" => StorageMode::InMemoryTransactional,
                    "IN_MEMORY_ANALYTICAL" => StorageMode::InMemoryAnalytical,
                    "ON_DISK_TRANSACTIONAL" => StorageMode::OnDiskTransactional,
                    _ => {
                        return Err(self.expected_words(&[
                            "IN_MEMORY_TRANSACTIONAL",
                            "IN_MEMORY_ANALYTICAL",
                            "ON_DISK_TRANSACTIONAL",
                        ]));
                    }
                };
                self.advance();
                AdminStatement::SetStorageMode(mode)
            }
            "ANALYZE" => {
                self.expect_words(&["ANALYZE", "GRAPH"])?;
                let mut labels = Vec::new();
                if self.eat_words(&["ON", "LABELS"]) && !self.eat(T::Star) {
                    labels = self.list(|p| {
                        p.expect(T::Colon, "`:`")?;
                        p.symbol("a label")
                    })?;
                }
                AdminStatement::AnalyzeGraph { labels, delete: self.eat_words(&["DELETE", "STATISTICS"]) }
            }
            "DUMP" => {
                self.expect_words(&["DUMP", "DATABASE"])?;
                AdminStatement::DumpDatabase
            }
            "RECOVER" => {
                self.expect_words(&["RECOVER", "SNAPSHOT"])?;
                let path = match self.kind() {
                    T::Text | T::Dollar => self.atom()?,
                    _ => return Err(self.unexpected("a path as a string")),
                };
                let has_config = self.eat_words(&["WITH", "CONFIG"]);
                if has_config {
                    self.map()?;
                }
                AdminStatement::RecoverSnapshot { path, has_config, force: self.eat_word("FORCE") }
            }
            "LOCK" => {
                self.expect_words(&["LOCK", "DATA", "DIRECTORY"])?;
                AdminStatement::LockDataDirectory
            }
            "UNLOCK" => {
                self.expect_words(&["UNLOCK", "DATA", "DIRECTORY"])?;
                AdminStatement::UnlockDataDirectory
            }
            "DATA" => {
                self.expect_words(&["DATA", "DIRECTORY", "LOCK", "STATUS"])?;
                AdminStatement::DataDirectoryLockStatus
            }
            "USE" => {
                self.expect_words(&["USE", "DATABASE"])?;
                AdminStatement::UseDatabase(self.symbol("a database")?)
            }
            _ => return Ok(None),
        };
        Ok(Some(statement))
    }
}

/// Refuses paths inside maps, which constraints do not know.
fn single_keys(properties: Vec<Vec<Symbol>>) -> Result<Vec<Symbol>> {
    properties
        .into_iter()
        .map(|mut parts| {
            let last = parts.pop().expect("a property has at least one part");
            if parts.is_empty() {
                return Ok(last);
            }
            Err(CypherError::syntax(
                "UnexpectedSyntax",
                last.span,
                "A constraint holds for whole properties, not for parts of a map.",
            ))
        })
        .collect()
}

/// Returns `host:port` with the default port filled in, or what is wrong.
fn replica_address(text: &str) -> Result<String, &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']').ok_or("The `]` is missing.")?;
        if inner.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("What stands in brackets must be an IPv6 address.");
        }
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or("After `]` only `:port` can follow.")?),
        };
        (&text[..inner.len() + 2], port)
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("An IPv6 address needs brackets: `[::1]:10000`.");
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("The host is missing.");
    }
    if host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err("A host has neither spaces nor slashes.");
    }
    let port = match port {
        None => REPLICATION_PORT,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err("The port must be from 1 to 65535."),
        },
        Some(_) => return Err("The port must be from 1 to 65535."),
    };
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::replica_address;

    #[test]
    fn addresses_get_the_default_port_and_are_checked() {
        assert_eq!(replica_address("r1").unwrap(), "r1:10000");
        assert_eq!(replica_address("10.0.0.2:65535").unwrap(), "10.0.0.2:65535");
        assert_eq!(replica_address("[::1]").unwrap(), "[::1]:10000");
        assert_eq!(replica_address("[::1]:7").unwrap(), "[::1]:7");
        for bad in
            ["", ":1", "r:0", "r:65536", "r:x", "r:", "::1", "a:b:c", "[::1", "[x]:1", "[::1]7", "http://r:1"]
        {
            assert!(replica_address(bad).is_err(), "{bad}");
        }
    }
}

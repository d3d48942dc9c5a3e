//! Queries and their clauses.

use super::{Parser, Result};
use crate::ast::*;
use crate::error::{CypherError, did_you_mean};
use crate::lexer::TokenKind as T;

/// What a clause can begin with.
const CLAUSES: [&str; 14] = [
    "MATCH", "OPTIONAL", "CREATE", "MERGE", "SET", "REMOVE", "DELETE", "DETACH", "WITH", "RETURN", "UNWIND",
    "CALL", "FOREACH", "LOAD",
];

impl Parser<'_> {
    /// Takes single queries joined by `UNION`, with what stands before and after them.
    pub(super) fn query(&mut self) -> Result<Query> {
        let start = self.span();
        let mut directives = self.directives()?;
        let mut parts = vec![self.single_query()?];
        let mut union_all = None;
        while self.is("UNION") {
            let union = self.span();
            self.advance();
            let all = self.eat_word("ALL");
            if !all {
                self.eat_word("DISTINCT");
            }
            if *union_all.get_or_insert(all) != all {
                return Err(CypherError::syntax(
                    "InvalidClauseComposition",
                    union,
                    "`UNION` and `UNION ALL` cannot be mixed in one query.",
                ));
            }
            parts.push(self.single_query()?);
        }
        if self.eat_words(&["QUERY", "MEMORY"]) {
            directives.memory_limit_bytes = self.memory_limit()?;
        }
        let span = self.since(start);
        Ok(Query { parts, union_all: union_all == Some(true), directives, span, text: "".into() })
    }

    fn directives(&mut self) -> Result<Directives> {
        let mut directives = Directives::default();
        while self.eat_word("USING") {
            if self.eat_words(&["PERIODIC", "COMMIT"]) {
                directives.periodic_commit = Some(self.atom()?);
            } else if self.eat_words(&["HOPS", "LIMIT"]) {
                directives.hops_limit = Some(self.atom()?);
            } else if self.eat_words(&["PARALLEL", "EXECUTION"]) {
                // A wish about threads, with the number of them.
                if self.kind() == T::Integer {
                    self.advance();
                }
            } else if self.is("INDEX") {
                directives.hints.push(self.hint()?);
                while self.kind() == T::Comma && self.kind_at(1) == T::Colon {
                    self.advance();
                    directives.hints.push(self.hint_body(HintKind::Index)?);
                }
            } else {
                return Err(self.expected_words(&["PERIODIC COMMIT", "INDEX", "HOPS LIMIT"]));
            }
            self.eat(T::Comma);
        }
        Ok(directives)
    }

    fn memory_limit(&mut self) -> Result<Option<u64>> {
        if self.eat_word("UNLIMITED") {
            return Ok(None);
        }
        self.expect_word("LIMIT")?;
        let number = self.natural("a number of `KB` or `MB`")?;
        let unit = match self.word_at(0).to_ascii_uppercase().as_str() {
            "KB" => 1 << 10,
            "MB" => 1 << 20,
            _ => return Err(self.expected_words(&["MB", "KB"])),
        };
        self.advance();
        Ok(Some(number.saturating_mul(unit)))
    }

    fn single_query(&mut self) -> Result<SingleQuery> {
        let start = self.span();
        let mut clauses = Vec::new();
        loop {
            let ends = matches!(self.kind(), T::End | T::Semicolon | T::BraceClose)
                || self.is("UNION")
                || self.are(&["QUERY", "MEMORY"]);
            if ends && !clauses.is_empty() {
                break;
            }
            clauses.push(self.clause()?);
        }
        if let [Clause { kind: ClauseKind::Call(call), .. }] = clauses.as_mut_slice() {
            call.standalone = self.calls == 0;
        }
        Ok(SingleQuery { clauses, columns: Vec::new(), span: self.since(start) })
    }

    fn clause(&mut self) -> Result<Clause> {
        let start = self.span();
        let kind = match self.word_at(0).to_ascii_uppercase().as_str() {
            "MATCH" => ClauseKind::Match(self.match_clause(false)?),
            "OPTIONAL" => {
                self.advance();
                if self.is("CALL") { self.call(true)? } else { ClauseKind::Match(self.match_clause(true)?) }
            }
            "CREATE" => {
                self.advance();
                self.eat_word("UNIQUE");
                ClauseKind::Create(self.list(|p| p.path())?)
            }
            "MERGE" => ClauseKind::Merge(self.merge()?),
            "SET" => {
                self.advance();
                ClauseKind::Set(self.list(|p| p.set_item())?)
            }
            "REMOVE" => {
                self.advance();
                ClauseKind::Remove(self.list(|p| p.remove_item())?)
            }
            "DELETE" | "DETACH" | "NODETACH" => {
                let detach = self.eat_word("DETACH");
                if !detach {
                    self.eat_word("NODETACH");
                }
                self.expect_word("DELETE")?;
                ClauseKind::Delete(Delete { detach, targets: self.list(|p| p.expr())? })
            }
            "WITH" => {
                self.advance();
                ClauseKind::With(self.projection(start, true)?)
            }
            "RETURN" => {
                self.advance();
                ClauseKind::Return(self.projection(start, false)?)
            }
            "UNWIND" => {
                self.advance();
                let list = self.expr()?;
                self.expect_word("AS")?;
                ClauseKind::Unwind(Unwind { list, variable: self.ident("a variable")? })
            }
            "CALL" => self.call(false)?,
            "FOREACH" => ClauseKind::Foreach(self.deeper(|p| p.foreach())?),
            "LOAD" => ClauseKind::LoadCsv(self.load_csv()?),
            _ => return Err(self.no_clause()),
        };
        Ok(Clause { kind, span: self.since(start) })
    }

    fn no_clause(&self) -> CypherError {
        let mut error = self.unexpected("a clause such as `MATCH`, `WITH` or `RETURN`");
        if self.at == 0 || self.kind_at(0) != T::Word {
            let all = CLAUSES.into_iter().chain(super::statements::STATEMENTS);
            if let Some(meant) = did_you_mean(self.word_at(0), all) {
                error.message.push_str(&format!(" Did you mean `{meant}`?"));
            }
        } else {
            let others = ["WHERE", "ORDER", "SKIP", "LIMIT", "UNION", "YIELD", "AND", "CONTAINS"];
            if let Some(meant) = did_you_mean(self.word_at(0), CLAUSES.into_iter().chain(others)) {
                error.message.push_str(&format!(" Did you mean `{meant}`?"));
            }
        }
        error
    }

    fn filter(&mut self) -> Result<Option<Expr>> {
        if self.eat_word("WHERE") { Ok(Some(self.expr()?)) } else { Ok(None) }
    }

    fn match_clause(&mut self, optional: bool) -> Result<Match> {
        self.expect_word("MATCH")?;
        let patterns = self.list(|p| p.path())?;
        let mut hints = Vec::new();
        while self.eat_word("USING") {
            hints.push(self.hint()?);
        }
        Ok(Match { optional, patterns, hints, filter: self.filter()? })
    }

    fn hint(&mut self) -> Result<Hint> {
        let kind = match self.word_at(0).to_ascii_uppercase().as_str() {
            "INDEX" => HintKind::Index,
            "SCAN" => HintKind::Scan,
            "JOIN" => HintKind::Join,
            _ => return Err(self.expected_words(&["INDEX", "SCAN", "JOIN"])),
        };
        self.advance();
        self.hint_body(kind)
    }

    fn hint_body(&mut self, kind: HintKind) -> Result<Hint> {
        let start = self.span();
        let mut hint = Hint { kind, variable: None, label: None, properties: Vec::new(), span: start };
        if kind == HintKind::Join {
            self.expect_word("ON")?;
        } else {
            self.eat_word("SEEK");
        }
        if self.is_name_at(0) {
            hint.variable = Some(self.ident("a variable")?);
        }
        if self.eat(T::Colon) {
            hint.label = Some(self.symbol("a label")?);
        }
        if self.eat(T::ParenOpen) {
            hint.properties = self.list(|p| p.symbol("a property"))?;
            self.expect(T::ParenClose, "`)`")?;
        }
        hint.span = self.since(start);
        Ok(hint)
    }

    fn merge(&mut self) -> Result<Merge> {
        self.advance();
        let mut merge = Merge { pattern: self.path()?, on_create: Vec::new(), on_match: Vec::new() };
        while self.eat_word("ON") {
            let items = match self.word_at(0).to_ascii_uppercase().as_str() {
                "CREATE" => &mut merge.on_create,
                "MATCH" => &mut merge.on_match,
                _ => return Err(self.expected_words(&["CREATE", "MATCH"])),
            };
            self.advance();
            self.expect_word("SET")?;
            items.extend(self.list(|p| p.set_item())?);
        }
        Ok(merge)
    }

    fn set_item(&mut self) -> Result<SetItem> {
        let start = self.span();
        let kind = match (self.is_name_at(0), self.kind_at(1)) {
            (true, T::Colon) => {
                let variable = self.ident("a variable")?;
                SetKind::Labels { variable, labels: self.plain_labels()? }
            }
            (true, T::Equal) => {
                let variable = self.ident("a variable")?;
                self.advance();
                SetKind::Replace { variable, value: self.expr()? }
            }
            (true, T::PlusEqual) => {
                let variable = self.ident("a variable")?;
                self.advance();
                SetKind::Merge { variable, value: self.expr()? }
            }
            _ => {
                let target = self.value()?;
                self.expect(T::Equal, "`=`")?;
                let value = self.expr()?;
                match target.kind {
                    ExprKind::Property { base, key } => SetKind::Property { target: *base, key, value },
                    ExprKind::Index { base, index } => {
                        SetKind::DynamicProperty { target: *base, key: *index, value }
                    }
                    _ => return Err(not_a_place(target.span, "set")),
                }
            }
        };
        Ok(SetItem { kind, span: self.since(start) })
    }

    fn remove_item(&mut self) -> Result<RemoveItem> {
        let start = self.span();
        let kind = if self.is_name_at(0) && self.kind_at(1) == T::Colon {
            let variable = self.ident("a variable")?;
            RemoveKind::Labels { variable, labels: self.plain_labels()? }
        } else {
            let target = self.value()?;
            match target.kind {
                ExprKind::Property { base, key } => RemoveKind::Property { target: *base, key },
                ExprKind::Index { base, index } => RemoveKind::DynamicProperty { target: *base, key: *index },
                _ => return Err(not_a_place(target.span, "removed")),
            }
        };
        Ok(RemoveItem { kind, span: self.since(start) })
    }

    fn plain_labels(&mut self) -> Result<Vec<LabelName>> {
        let mut labels = Vec::new();
        while self.eat(T::Colon) {
            labels.push(self.label_name("a label")?);
        }
        Ok(labels)
    }

    fn projection(&mut self, start: Span, with: bool) -> Result<Projection> {
        let mut projection = Projection {
            distinct: self.eat_word("DISTINCT"),
            star: false,
            items: Vec::new(),
            order_by: Vec::new(),
            skip: None,
            limit: None,
            filter: None,
            aggregates: false,
            span: start,
        };
        if self.eat(T::Star) {
            projection.star = true;
            if self.eat(T::Comma) {
                projection.items = self.list(|p| p.projection_item())?;
            }
        } else {
            projection.items = self.list(|p| p.projection_item())?;
        }
        if self.eat_word("ORDER") {
            self.expect_word("BY")?;
            projection.order_by = self.list(|p| p.sort_item())?;
        }
        if self.eat_word("SKIP") || self.eat_word("OFFSET") {
            projection.skip = Some(self.expr()?);
        }
        if self.eat_word("LIMIT") {
            projection.limit = Some(self.expr()?);
        }
        if with {
            projection.filter = self.filter()?;
        }
        projection.span = self.since(start);
        Ok(projection)
    }

    fn projection_item(&mut self) -> Result<ProjectionItem> {
        let start = self.span();
        let expr = self.expr()?;
        let written = self.since(start).of(self.text);
        let alias = if self.eat_word("AS") { Some(self.ident("an alias")?) } else { None };
        let name = match (&alias, &expr.kind) {
            (Some(alias), _) => alias.name.clone(),
            (None, ExprKind::Variable(variable)) => variable.name.clone(),
            (None, _) => written.into(),
        };
        Ok(ProjectionItem { expr, alias, name, var: VarId::NONE })
    }

    fn sort_item(&mut self) -> Result<SortItem> {
        let expr = self.expr()?;
        let descending = self.eat_word("DESC") || self.eat_word("DESCENDING");
        if !descending && !self.eat_word("ASC") {
            self.eat_word("ASCENDING");
        }
        Ok(SortItem { expr, descending })
    }

    fn call(&mut self, optional: bool) -> Result<ClauseKind> {
        self.expect_word("CALL")?;
        match self.kind() {
            T::BraceOpen | T::ParenOpen => {
                Ok(ClauseKind::Subquery(self.deeper(|p| p.called(|p| p.subquery(optional)))?))
            }
            _ => Ok(ClauseKind::Call(self.procedure(optional)?)),
        }
    }

    fn subquery(&mut self, optional: bool) -> Result<CallSubquery> {
        let mut imports = Imports::Inside;
        if self.eat(T::ParenOpen) {
            imports = if self.eat(T::Star) {
                Imports::All
            } else if self.kind() == T::ParenClose {
                Imports::Named(Vec::new())
            } else {
                Imports::Named(self.list(|p| p.ident("a variable"))?)
            };
            self.expect(T::ParenClose, "`,` or `)`")?;
        }
        self.expect(T::BraceOpen, "`{`")?;
        let query = Box::new(self.query()?);
        self.expect(T::BraceClose, "`}`")?;
        let mut in_transactions = None;
        if self.eat_words(&["IN", "TRANSACTIONS"]) {
            let mut how = InTransactions { rows: None, on_error: OnError::Fail };
            if self.eat_word("OF") {
                how.rows = Some(self.atom()?);
                if !self.eat_word("ROWS") {
                    self.expect_word("ROW")?;
                }
            }
            if self.eat_words(&["ON", "ERROR"]) {
                how.on_error = match self.word_at(0).to_ascii_uppercase().as_str() {
                    "FAIL" => OnError::Fail,
                    "CONTINUE" => OnError::Continue,
                    "BREAK" => OnError::Break,
                    _ => return Err(self.expected_words(&["FAIL", "CONTINUE", "BREAK"])),
                };
                self.advance();
            }
            in_transactions = Some(how);
        }
        Ok(CallSubquery { optional, query, imports, in_transactions, returns: Vec::new() })
    }

    fn procedure(&mut self, optional: bool) -> Result<CallProcedure> {
        let name = self.dotted("a procedure or a subquery")?;
        let mut args = None;
        if self.eat(T::ParenOpen) {
            let mut given = Vec::new();
            if self.kind() != T::ParenClose {
                given = self.list(|p| p.closed_expr())?;
            }
            self.expect(T::ParenClose, "`,` or `)`")?;
            args = Some(given);
        }
        if self.eat_words(&["PROCEDURE", "MEMORY"]) {
            self.memory_limit()?;
        }
        let mut yields = Yield::None;
        let mut filter = None;
        if self.eat_word("YIELD") {
            yields = match self.kind() {
                T::Minus => {
                    self.advance();
                    Yield::Nothing
                }
                T::Star => {
                    self.advance();
                    Yield::All
                }
                _ => Yield::Items(self.list(|p| p.yield_item())?),
            };
            filter = self.filter()?;
        }
        Ok(CallProcedure { optional, name, args, yields, filter, standalone: false })
    }

    fn yield_item(&mut self) -> Result<YieldItem> {
        let field = self.symbol("a field")?;
        let variable = if self.eat_word("AS") {
            self.ident("an alias")?
        } else {
            Ident { name: field.name.clone(), span: field.span, var: VarId::NONE }
        };
        Ok(YieldItem { field, variable })
    }

    fn foreach(&mut self) -> Result<Foreach> {
        self.advance();
        self.called(|p| {
            p.expect(T::ParenOpen, "`(`")?;
            let variable = p.ident("a variable")?;
            p.expect_word("IN")?;
            let bar_ends = std::mem::replace(&mut p.bar_ends, true);
            let list = p.expr();
            p.bar_ends = bar_ends;
            let list = list?;
            p.expect(T::Bar, "`|`")?;
            let mut body = Vec::new();
            while body.is_empty() || p.kind() != T::ParenClose {
                let clause = p.clause()?;
                let writes = matches!(
                    clause.kind,
                    ClauseKind::Create(_)
                        | ClauseKind::Merge(_)
                        | ClauseKind::Set(_)
                        | ClauseKind::Remove(_)
                        | ClauseKind::Delete(_)
                        | ClauseKind::Foreach(_)
                );
                if !writes {
                    return Err(CypherError::syntax(
                        "InvalidClauseComposition",
                        clause.span,
                        "`FOREACH` can only hold clauses that write.",
                    ));
                }
                body.push(clause);
            }
            p.expect(T::ParenClose, "`)`")?;
            Ok(Foreach { variable, list, body })
        })
    }

    fn load_csv(&mut self) -> Result<LoadCsv> {
        self.advance();
        if self.is("JSONL") || self.is("PARQUET") {
            return Err(CypherError::statement(format!(
                "LOAD {} is not supported; LOAD CSV is.",
                self.word_at(0).to_ascii_uppercase()
            )));
        }
        self.expect_word("CSV")?;
        // Neo4j's form: `LOAD CSV [WITH HEADERS] FROM url AS row [FIELDTERMINATOR c]`.
        let mut with_header = self.eat_words(&["WITH", "HEADERS"]);
        self.expect_word("FROM")?;
        let source = self.expr()?;
        let mut is_lenient = true;
        if self.eat_words(&["WITH", "HEADER"]) {
            (with_header, is_lenient) = (true, false);
        } else if self.eat_words(&["NO", "HEADER"]) {
            (with_header, is_lenient) = (false, false);
        }
        let ignore_bad = self.eat_words(&["IGNORE", "BAD"]);
        let mut delimiter = if self.eat_word("DELIMITER") { Some(self.atom()?) } else { None };
        let quote = if self.eat_word("QUOTE") { Some(self.atom()?) } else { None };
        let null_text = if self.eat_word("NULLIF") { Some(self.atom()?) } else { None };
        self.expect_word("AS")?;
        let variable = self.ident("a variable")?;
        if self.eat_word("FIELDTERMINATOR") {
            delimiter = Some(self.atom()?);
        }
        Ok(LoadCsv { source, with_header, is_lenient, ignore_bad, delimiter, quote, null_text, variable })
    }
}

fn not_a_place(span: Span, verb: &str) -> CypherError {
    CypherError::syntax("UnexpectedSyntax", span, format!("Only a property or labels can be {verb} here."))
}

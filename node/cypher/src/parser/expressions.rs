//! Expressions: operators by binding power, then what they work on.
//!
//! From loose to tight: `OR`, `XOR`, `AND`, `NOT`, comparison, the tests (`IN`, `STARTS WITH`,
//! `IS NULL`, ...), `+ - ||`, `* / %`, `^`, signs, and what follows a value (`.key`, `[i]`, `:Label`).

use super::{Parser, Result, is_reserved};
use crate::ast::*;
use crate::error::CypherError;
use crate::lexer::TokenKind as T;
use crate::parser::patterns::shortest_by_name;

const OR: u8 = 1;
const XOR: u8 = 2;
const AND: u8 = 3;
const NOT: u8 = 4;
const COMPARISON: u8 = 5;
const TEST: u8 = 6;
const ADD: u8 = 7;
const MULTIPLY: u8 = 8;
const POWER: u8 = 9;
const SIGN: u8 = 10;

/// An operator between two values.
#[derive(Clone, Copy, PartialEq)]
enum Infix {
    Or,
    Xor,
    And,
    Compare(CompareOp),
    In,
    Text(StringOp),
    IsNull,
    Arithmetic(ArithmeticOp),
}

impl Infix {
    fn power(self) -> u8 {
        match self {
            Infix::Or => OR,
            Infix::Xor => XOR,
            Infix::And => AND,
            Infix::Compare(_) => COMPARISON,
            Infix::In | Infix::Text(_) | Infix::IsNull => TEST,
            Infix::Arithmetic(op) => match op {
                ArithmeticOp::Add | ArithmeticOp::Subtract | ArithmeticOp::Concatenate => ADD,
                ArithmeticOp::Multiply | ArithmeticOp::Divide | ArithmeticOp::Modulo => MULTIPLY,
                ArithmeticOp::Power => POWER,
            },
        }
    }
}

impl Parser<'_> {
    /// Takes an expression.
    pub(super) fn expr(&mut self) -> Result<Expr> {
        self.operators(0)
    }

    /// Takes an expression between brackets of some kind, one level deeper.
    pub(super) fn closed_expr(&mut self) -> Result<Expr> {
        let bar_ends = std::mem::replace(&mut self.bar_ends, false);
        let expr = self.deeper(|p| p.expr());
        self.bar_ends = bar_ends;
        expr
    }

    /// Takes an expression that a `|` ends, one level deeper.
    fn expr_before_bar(&mut self) -> Result<Expr> {
        let bar_ends = std::mem::replace(&mut self.bar_ends, true);
        let expr = self.deeper(|p| p.expr());
        self.bar_ends = bar_ends;
        expr
    }

    fn infix(&self) -> Option<Infix> {
        use ArithmeticOp::*;
        use CompareOp::*;
        Some(match self.kind() {
            T::Equal => Infix::Compare(Equal),
            T::NotEqual => Infix::Compare(NotEqual),
            T::Less => Infix::Compare(Less),
            T::LessOrEqual => Infix::Compare(LessOrEqual),
            T::Greater => Infix::Compare(Greater),
            T::GreaterOrEqual => Infix::Compare(GreaterOrEqual),
            T::Match => Infix::Text(StringOp::Matches),
            T::Plus => Infix::Arithmetic(Add),
            T::Minus => Infix::Arithmetic(Subtract),
            T::Star => Infix::Arithmetic(Multiply),
            T::Slash => Infix::Arithmetic(Divide),
            T::Percent => Infix::Arithmetic(Modulo),
            T::Caret => Infix::Arithmetic(Power),
            T::BarBar => Infix::Arithmetic(Concatenate),
            T::Word => match self.word_at(0).to_ascii_uppercase().as_str() {
                "OR" => Infix::Or,
                "XOR" => Infix::Xor,
                "AND" => Infix::And,
                "IN" => Infix::In,
                "CONTAINS" => Infix::Text(StringOp::Contains),
                "STARTS" => Infix::Text(StringOp::StartsWith),
                "ENDS" => Infix::Text(StringOp::EndsWith),
                "IS" => Infix::IsNull,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Takes operands and the operators between them that bind at least as tightly as `least`.
    fn operators(&mut self, least: u8) -> Result<Expr> {
        self.called(|p| {
            let above = std::mem::take(&mut p.height);
            let mut left = p.prefixed(least)?;
            while let Some(op) = p.infix()
                && op.power() >= least
            {
                left = p.chain(left, op)?;
                p.higher()?;
            }
            p.height = p.height.max(above);
            Ok(left)
        })
    }

    /// Takes operators of one power and their right sides.
    fn chain(&mut self, left: Expr, op: Infix) -> Result<Expr> {
        let power = op.power();
        let start = left.span;
        let kind = match op {
            Infix::Or | Infix::Xor | Infix::And => {
                let mut all = vec![left];
                while self.infix() == Some(op) {
                    self.advance();
                    all.push(self.operators(power + 1)?);
                }
                match op {
                    Infix::Or => ExprKind::Or(all),
                    Infix::Xor => ExprKind::Xor(all),
                    _ => ExprKind::And(all),
                }
            }
            Infix::Compare(_) => {
                let mut rest = Vec::new();
                while let Some(Infix::Compare(op)) = self.infix() {
                    self.advance();
                    rest.push((op, self.operators(power + 1)?));
                }
                ExprKind::Comparison { first: Box::new(left), rest }
            }
            Infix::Arithmetic(_) => {
                let mut rest = Vec::new();
                while let Some(next @ Infix::Arithmetic(op)) = self.infix()
                    && next.power() == power
                {
                    self.advance();
                    rest.push((op, self.operators(power + 1)?));
                }
                ExprKind::Arithmetic { first: Box::new(left), rest }
            }
            Infix::In => {
                self.advance();
                let list = Box::new(self.operators(power + 1)?);
                ExprKind::In { element: Box::new(left), list }
            }
            Infix::Text(op) => {
                self.advance();
                if matches!(op, StringOp::StartsWith | StringOp::EndsWith) {
                    self.expect_word("WITH")?;
                }
                let right = Box::new(self.operators(power + 1)?);
                ExprKind::StringTest { op, left: Box::new(left), right }
            }
            Infix::IsNull => {
                self.advance();
                let negated = self.eat_word("NOT");
                self.expect_word("NULL")?;
                ExprKind::IsNull { expr: Box::new(left), negated }
            }
        };
        Ok(Expr::new(kind, self.since(start)))
    }

    fn prefixed(&mut self, least: u8) -> Result<Expr> {
        let start = self.span();
        if self.is("NOT") && least <= NOT {
            return self.deeper(|p| {
                p.advance();
                let inner = p.operators(NOT)?;
                Ok(Expr::new(ExprKind::Not(Box::new(inner)), p.since(start)))
            });
        }
        match self.kind() {
            T::Minus if matches!(self.kind_at(1), T::Integer | T::Float | T::BadNumber) => {
                self.advance();
                let number = self.number(true, start)?;
                self.followed(number)
            }
            T::Minus | T::Plus => self.deeper(|p| {
                let minus = p.advance().kind == T::Minus;
                let inner = Box::new(p.operators(SIGN)?);
                let kind = if minus { ExprKind::Negate(inner) } else { ExprKind::Plus(inner) };
                Ok(Expr::new(kind, p.since(start)))
            }),
            _ => self.value(),
        }
    }

    /// Takes a value and what follows it.
    pub(super) fn value(&mut self) -> Result<Expr> {
        let atom = self.atom()?;
        self.followed(atom)
    }

    fn followed(&mut self, mut base: Expr) -> Result<Expr> {
        loop {
            let start = base.span;
            let kind = match self.kind() {
                T::Dot => {
                    self.advance();
                    let key = self.symbol("a property")?;
                    ExprKind::Property { base: Box::new(base), key }
                }
                T::BracketOpen => {
                    self.advance();
                    self.index(base)?
                }
                T::Colon => {
                    let labels = self.labels(!self.bar_ends)?;
                    ExprKind::HasLabels { expr: Box::new(base), labels }
                }
                _ => return Ok(base),
            };
            self.higher()?;
            base = Expr::new(kind, self.since(start));
        }
    }

    fn index(&mut self, base: Expr) -> Result<ExprKind> {
        let base = Box::new(base);
        let from = if self.kind() == T::DotDot { None } else { Some(Box::new(self.closed_expr()?)) };
        if self.eat(T::DotDot) {
            let to = if self.kind() == T::BracketClose { None } else { Some(Box::new(self.closed_expr()?)) };
            self.expect(T::BracketClose, "`]`")?;
            return Ok(ExprKind::Slice { base, from, to });
        }
        self.expect(T::BracketClose, "`]` or `..`")?;
        match from {
            Some(index) => Ok(ExprKind::Index { base, index }),
            None => Err(self.unexpected("an index")),
        }
    }

    /// Takes a value without what follows it.
    pub(super) fn atom(&mut self) -> Result<Expr> {
        let start = self.span();
        let kind = match self.kind() {
            T::Integer | T::Float | T::BadNumber => return self.number(false, start),
            T::Text => ExprKind::Literal(Literal::String(self.string("a string")?)),
            T::Dollar => ExprKind::Parameter(self.parameter()?),
            T::ParenOpen => {
                if self.begins_path_at(0) {
                    let path = self.deeper(|p| p.path_element())?;
                    ExprKind::PatternPredicate(Box::new(path))
                } else {
                    self.advance();
                    let inner = self.closed_expr()?;
                    self.expect(T::ParenClose, "`)`")?;
                    return Ok(Expr::new(inner.kind, self.since(start)));
                }
            }
            T::BracketOpen => self.bracketed()?,
            T::BraceOpen => ExprKind::Map(self.map()?),
            T::Word => self.worded()?,
            T::Quoted => self.named()?,
            _ => return Err(self.unexpected("an expression")),
        };
        Ok(Expr::new(kind, self.since(start)))
    }

    fn number(&mut self, negative: bool, start: Span) -> Result<Expr> {
        let token = self.advance();
        let raw = token.span.of(self.text);
        let span = start.to(token.span);
        let literal = match token.kind {
            T::Integer => integer(raw, negative).map(Literal::Integer).ok_or_else(|| {
                let sign = if negative { "-" } else { "" };
                let message = format!("Integer {sign}{} is too large for 64 bits.", short(raw));
                CypherError::syntax("IntegerOverflow", span, message)
            })?,
            T::Float => {
                let value: f64 = raw.parse().unwrap_or(f64::INFINITY);
                if value.is_infinite() {
                    let message = format!("Number {} is too large for a float.", short(raw));
                    return Err(CypherError::syntax("FloatingPointOverflow", span, message));
                }
                Literal::Float(if negative { -value } else { value })
            }
            _ => {
                let help = if raw.len() > 1 && raw.starts_with('0') && raw.bytes().all(|b| b.is_ascii_digit())
                {
                    " Leave out the leading zeros, or write an octal number as `0o17`."
                } else {
                    ""
                };
                let message = format!("Invalid number `{}`.{help}", short(raw));
                return Err(CypherError::syntax("InvalidNumberLiteral", span, message));
            }
        };
        Ok(Expr::new(ExprKind::Literal(literal), span))
    }

    fn parameter(&mut self) -> Result<Name> {
        self.expect(T::Dollar, "`$`")?;
        if self.kind() == T::Integer {
            return Ok(self.advance().span.of(self.text).into());
        }
        Ok(self.symbol("the name of a parameter")?.name)
    }

    pub(super) fn map(&mut self) -> Result<Vec<(Symbol, Expr)>> {
        self.expect(T::BraceOpen, "`{`")?;
        let mut entries = Vec::new();
        if self.eat(T::BraceClose) {
            return Ok(entries);
        }
        loop {
            let key = self.symbol("a key")?;
            self.expect(T::Colon, "`:`")?;
            entries.push((key, self.closed_expr()?));
            if !self.eat(T::Comma) {
                break;
            }
        }
        self.expect(T::BraceClose, "`,` or `}`")?;
        Ok(entries)
    }

    /// Takes a list, a list comprehension or a pattern comprehension.
    fn bracketed(&mut self) -> Result<ExprKind> {
        self.advance();
        let named_path = self.is_name_at(0) && self.kind_at(1) == T::Equal && self.begins_path_at(2);
        if named_path || self.begins_path_at(0) {
            return self.deeper(|p| {
                let pattern = p.path()?;
                let filter = if p.eat_word("WHERE") { Some(p.expr_before_bar()?) } else { None };
                p.expect(T::Bar, "`|`")?;
                let result = p.closed_expr()?;
                p.expect(T::BracketClose, "`]`")?;
                let comprehension = PatternComprehension { pattern, filter, result };
                Ok(ExprKind::PatternComprehension(Box::new(comprehension)))
            });
        }
        if self.is_name_at(0) && self.is_at(1, "IN") {
            let comprehension = self.list_comprehension()?;
            self.expect(T::BracketClose, "`]`")?;
            return Ok(comprehension);
        }
        if self.eat(T::BracketClose) {
            return Ok(ExprKind::List(Vec::new()));
        }
        let items = self.list(|p| p.closed_expr())?;
        self.expect(T::BracketClose, "`,` or `]`")?;
        Ok(ExprKind::List(items))
    }

    /// Takes `x IN list WHERE filter | result`.
    fn list_comprehension(&mut self) -> Result<ExprKind> {
        let variable = self.ident("a variable")?;
        self.expect_word("IN")?;
        let list = self.expr_before_bar()?;
        let filter = if self.eat_word("WHERE") { Some(self.expr_before_bar()?) } else { None };
        let result = if self.eat(T::Bar) { Some(self.closed_expr()?) } else { None };
        Ok(ExprKind::ListComprehension(Box::new(ListComprehension { variable, list, filter, result })))
    }

    /// Takes what begins with a word: a literal, `CASE`, a function, a variable, ...
    fn worded(&mut self) -> Result<ExprKind> {
        let word = self.word_at(0);
        let upper = if word.len() <= 16 { word.to_ascii_uppercase() } else { String::new() };
        let called = self.kind_at(1) == T::ParenOpen;
        let braced = self.kind_at(1) == T::BraceOpen;
        match upper.as_str() {
            "TRUE" | "FALSE" => {
                self.advance();
                return Ok(ExprKind::Literal(Literal::Boolean(upper == "TRUE")));
            }
            "NULL" => {
                self.advance();
                return Ok(ExprKind::Literal(Literal::Null));
            }
            "CASE" => return self.deeper(|p| p.case()),
            "EXISTS" if braced => return Ok(ExprKind::Exists(Box::new(self.braced_query()?))),
            "EXISTS" if called => return self.exists(),
            "COUNT" | "COLLECT" if braced && !matches!(self.kind_at(2), T::Dot | T::BraceClose) => {
                let query = Box::new(self.braced_query()?);
                return Ok(match upper.as_str() {
                    "COUNT" => ExprKind::CountSubquery(query),
                    _ => ExprKind::CollectSubquery(query),
                });
            }
            "COUNT" if called && self.kind_at(2) == T::Star && self.kind_at(3) == T::ParenClose => {
                self.at += 4;
                let count =
                    Aggregate { function: AggregateFunction::CountStar, distinct: false, args: Vec::new() };
                return Ok(ExprKind::Aggregate(Box::new(count)));
            }
            "ALL" | "ANY" | "NONE" | "SINGLE" if called && self.is_name_at(2) && self.is_at(3, "IN") => {
                let kind = match upper.as_str() {
                    "ALL" => QuantifierKind::All,
                    "ANY" => QuantifierKind::Any,
                    "NONE" => QuantifierKind::None,
                    _ => QuantifierKind::Single,
                };
                return self.quantifier(kind);
            }
            "REDUCE" if called && self.is_name_at(2) && self.kind_at(3) == T::Equal => return self.reduce(),
            "EXTRACT" | "FILTER" if called && self.is_name_at(2) && self.is_at(3, "IN") => {
                self.at += 2;
                let comprehension = self.list_comprehension()?;
                self.expect(T::ParenClose, "`)`")?;
                return Ok(comprehension);
            }
            _ => {}
        }
        if called && let Some(shortest) = shortest_by_name(word) {
            let path = self.deeper(|p| p.shortest_path(shortest))?;
            return Ok(ExprKind::ShortestPath(Box::new(path)));
        }
        if is_reserved(word) && !called {
            return Err(self.unexpected("an expression"));
        }
        self.named()
    }

    /// Takes a function, an enum value, a map projection or a variable.
    fn named(&mut self) -> Result<ExprKind> {
        let mut ahead = 1;
        while self.kind_at(ahead) == T::Dot && self.is_name_at(ahead + 1) {
            ahead += 2;
        }
        if self.kind_at(ahead) == T::ParenOpen {
            return self.function();
        }
        if self.kind_at(1) == T::ColonColon {
            let name = self.symbol("an enum")?;
            self.advance();
            let value = self.symbol("a value of the enum")?;
            return Ok(ExprKind::Enum { name, value });
        }
        let variable = self.ident("an expression")?;
        if self.kind() == T::BraceOpen {
            return self.map_projection(variable);
        }
        Ok(ExprKind::Variable(variable))
    }

    /// Takes a name with its namespaces.
    pub(super) fn dotted(&mut self, what: &str) -> Result<Symbol> {
        let first = self.symbol(what)?;
        if self.kind() != T::Dot {
            return Ok(first);
        }
        let mut name = first.name.to_string();
        while self.eat(T::Dot) {
            name.push('.');
            name.push_str(&self.symbol(what)?.name);
        }
        Ok(Symbol { name: name.into(), span: self.since(first.span) })
    }

    fn function(&mut self) -> Result<ExprKind> {
        let name = self.dotted("a function")?;
        self.expect(T::ParenOpen, "`(`")?;
        let distinct = self.eat_word("DISTINCT");
        let mut args = Vec::new();
        if self.kind() != T::ParenClose {
            args = self.list(|p| p.closed_expr())?;
        }
        self.expect(T::ParenClose, "`,` or `)`")?;
        let Some(function) = AggregateFunction::by_name(&name.name) else {
            if distinct {
                let message = format!("`DISTINCT` belongs into an aggregate, which `{}` is not.", name.name);
                return Err(CypherError::syntax("UnexpectedSyntax", name.span, message));
            }
            return Ok(ExprKind::Function { name, args });
        };
        if args.len() != function.arity() {
            let (needed, given) = (function.arity(), args.len());
            let message = format!("`{}` takes {needed} argument(s), {given} given.", name.name);
            return Err(CypherError::syntax("InvalidNumberOfArguments", name.span, message));
        }
        Ok(ExprKind::Aggregate(Box::new(Aggregate { function, distinct, args })))
    }

    fn map_projection(&mut self, base: Ident) -> Result<ExprKind> {
        self.advance();
        let mut items = Vec::new();
        if !self.eat(T::BraceClose) {
            items = self.list(|p| p.map_projection_item())?;
            self.expect(T::BraceClose, "`,` or `}`")?;
        }
        Ok(ExprKind::MapProjection(Box::new(MapProjection { base, items })))
    }

    fn map_projection_item(&mut self) -> Result<MapProjectionItem> {
        if self.eat(T::Dot) {
            if self.eat(T::Star) {
                return Ok(MapProjectionItem::All);
            }
            return Ok(MapProjectionItem::Property(self.symbol("a property or `*`")?));
        }
        if self.kind_at(1) == T::Colon {
            let key = self.symbol("a key")?;
            self.advance();
            return Ok(MapProjectionItem::Entry(key, self.closed_expr()?));
        }
        Ok(MapProjectionItem::Variable(self.ident("`.key`, `key: value` or a variable")?))
    }

    fn case(&mut self) -> Result<ExprKind> {
        self.advance();
        let subject = if self.is("WHEN") { None } else { Some(self.closed_expr()?) };
        let mut branches = Vec::new();
        while self.eat_word("WHEN") {
            let when = self.closed_expr()?;
            self.expect_word("THEN")?;
            branches.push((when, self.closed_expr()?));
        }
        if branches.is_empty() {
            return Err(self.expected_words(&["WHEN"]));
        }
        let default = if self.eat_word("ELSE") { Some(self.closed_expr()?) } else { None };
        if !self.eat_word("END") {
            return Err(self.expected_words(&["END", "WHEN", "ELSE"]));
        }
        Ok(ExprKind::Case(Box::new(Case { subject, branches, default })))
    }

    /// Takes `exists(pattern)`, which is `EXISTS { pattern }`, and `exists(n.property)`, which is
    /// `n.property IS NOT NULL`.
    fn exists(&mut self) -> Result<ExprKind> {
        self.at += 2;
        let start = self.span();
        let kind = if self.begins_path_at(0) || (self.kind() == T::ParenOpen && self.begins_path_at(1)) {
            let path = self.deeper(|p| p.path_element())?;
            ExprKind::Exists(Box::new(match_only(vec![path], None, self.since(start))))
        } else {
            let expr = Box::new(self.closed_expr()?);
            ExprKind::IsNull { expr, negated: true }
        };
        self.expect(T::ParenClose, "`)`")?;
        Ok(kind)
    }

    fn quantifier(&mut self, kind: QuantifierKind) -> Result<ExprKind> {
        self.at += 2;
        let variable = self.ident("a variable")?;
        self.expect_word("IN")?;
        let list = self.closed_expr()?;
        self.expect_word("WHERE")?;
        let predicate = self.closed_expr()?;
        self.expect(T::ParenClose, "`)`")?;
        Ok(ExprKind::Quantifier(Box::new(Quantifier { kind, variable, list, predicate })))
    }

    fn reduce(&mut self) -> Result<ExprKind> {
        self.at += 2;
        let accumulator = self.ident("a variable")?;
        self.expect(T::Equal, "`=`")?;
        let initial = self.closed_expr()?;
        self.expect(T::Comma, "`,`")?;
        let variable = self.ident("a variable")?;
        self.expect_word("IN")?;
        let list = self.expr_before_bar()?;
        self.expect(T::Bar, "`|`")?;
        let body = self.closed_expr()?;
        self.expect(T::ParenClose, "`)`")?;
        Ok(ExprKind::Reduce(Box::new(Reduce { accumulator, initial, variable, list, body })))
    }

    /// Takes the query inside `EXISTS { ... }` and its like; a pattern alone is a `MATCH`.
    fn braced_query(&mut self) -> Result<Query> {
        self.advance();
        self.expect(T::BraceOpen, "`{`")?;
        let bar_ends = std::mem::replace(&mut self.bar_ends, false);
        let start = self.span();
        let named_path = self.is_name_at(0) && self.kind_at(1) == T::Equal;
        let query = self.deeper(|p| {
            if p.kind() != T::ParenOpen && !named_path && shortest_by_name(p.word_at(0)).is_none() {
                return p.query();
            }
            let patterns = p.list(|p| p.path())?;
            let filter = if p.eat_word("WHERE") { Some(p.closed_expr()?) } else { None };
            Ok(match_only(patterns, filter, p.since(start)))
        })?;
        self.bar_ends = bar_ends;
        self.expect(T::BraceClose, "`}`")?;
        Ok(query)
    }
}

/// Makes the query that is a `MATCH` and nothing else.
fn match_only(patterns: Vec<PathPattern>, filter: Option<Expr>, span: Span) -> Query {
    let kind = ClauseKind::Match(Match { optional: false, patterns, hints: Vec::new(), filter });
    let part = SingleQuery { clauses: vec![Clause { kind, span }], columns: Vec::new(), span };
    Query { parts: vec![part], union_all: false, directives: Directives::default(), span, text: "".into() }
}

/// Returns the value of an integer literal; None where it is too large.
pub(super) fn integer(raw: &str, negative: bool) -> Option<i64> {
    let magnitude = match raw.get(..2) {
        Some("0x" | "0X") => u64::from_str_radix(&raw[2..], 16),
        Some("0o" | "0O") => u64::from_str_radix(&raw[2..], 8),
        _ => raw.parse(),
    };
    let magnitude = i128::from(magnitude.ok()?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn short(raw: &str) -> String {
    if raw.chars().count() <= 40 {
        raw.into()
    } else {
        format!("{}...", raw.chars().take(40).collect::<String>())
    }
}

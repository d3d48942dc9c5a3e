//! Tokens to tree: recursive descent, with binding powers for operators.
//!
//! The parser looks ahead and never goes back, so its work is linear in the text. It recurses only
//! where the text nests, and refuses to nest deeper than a fixed limit: [`DEPTH_MAX`] bounds the tree
//! for those who walk it, and a bound on its own calls keeps its stack small.

mod clauses;
mod expressions;
mod patterns;
mod statements;
mod triggers;

pub use statements::refused_statements;

use crate::ast::{Ident, Name, Span, Statement, Symbol, VarId};
use crate::error::{CypherError, did_you_mean};
use crate::lexer::{Token, TokenKind, lex, unescape, unknown, unquote};

/// How deep a tree can be.
pub const DEPTH_MAX: usize = 200;

/// How many calls of the parser can be under way, which operators use too.
const CALLS_MAX: usize = 400;

/// Parses one statement, with or without a `;` at its end.
pub fn parse(text: &str) -> Result<Statement, CypherError> {
    parse_unlocated(text).map_err(|error| error.located(text))
}

fn parse_unlocated(text: &str) -> Result<Statement, CypherError> {
    let tokens = lex(text)?;
    let mut parser = Parser { text, tokens, at: 0, calls: 0, height: 0, bar_ends: false };
    let mut statement = parser.statement()?;
    while parser.eat(TokenKind::Semicolon) {}
    if parser.kind() != TokenKind::End {
        return Err(parser.unexpected("the end of the statement"));
    }
    if let Statement::Query(query) | Statement::Explain(query) | Statement::Profile(query) = &mut statement {
        query.text = text.into();
    }
    Ok(statement)
}

type Result<T, E = CypherError> = std::result::Result<T, E>;

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// Calls under way.
    calls: usize,
    /// Height of the highest tree made since the innermost mark; see [`Parser::deeper`].
    height: usize,
    /// A `|` ends the expression, so it is no "or" between labels.
    bar_ends: bool,
}

/// Words that begin or join clauses or operators and so cannot name a variable without backquotes.
const RESERVED: [&str; 45] = [
    "AND",
    "AS",
    "ASC",
    "ASCENDING",
    "BY",
    "CALL",
    "CASE",
    "CONTAINS",
    "CREATE",
    "DELETE",
    "DESC",
    "DESCENDING",
    "DETACH",
    "DISTINCT",
    "ELSE",
    "END",
    "ENDS",
    "EXISTS",
    "FALSE",
    "FOREACH",
    "IN",
    "IS",
    "LIMIT",
    "MATCH",
    "MERGE",
    "NOT",
    "NULL",
    "ON",
    "OPTIONAL",
    "OR",
    "ORDER",
    "REMOVE",
    "RETURN",
    "SET",
    "SKIP",
    "STARTS",
    "THEN",
    "TRUE",
    "UNION",
    "UNWIND",
    "WHEN",
    "WHERE",
    "WITH",
    "XOR",
    "YIELD",
];

impl<'a> Parser<'a> {
    // ------------------------------------------------------------------------------------- looking

    fn token(&self, ahead: usize) -> Token {
        let last = self.tokens.len() - 1;
        self.tokens[(self.at + ahead).min(last)]
    }

    fn kind(&self) -> TokenKind {
        self.token(0).kind
    }

    fn kind_at(&self, ahead: usize) -> TokenKind {
        self.token(ahead).kind
    }

    fn span(&self) -> Span {
        self.token(0).span
    }

    /// Returns the span of the token before.
    fn last_span(&self) -> Span {
        self.at.checked_sub(1).map_or(Span::default(), |at| self.tokens[at].span)
    }

    /// Returns the span from `start` to the token before.
    fn since(&self, start: Span) -> Span {
        start.to(self.last_span())
    }

    /// Returns the word that many tokens ahead; empty where there is none.
    fn word_at(&self, ahead: usize) -> &'a str {
        let token = self.token(ahead);
        if token.kind == TokenKind::Word { token.span.of(self.text) } else { "" }
    }

    fn is(&self, word: &str) -> bool {
        self.is_at(0, word)
    }

    fn is_at(&self, ahead: usize, word: &str) -> bool {
        self.word_at(ahead).eq_ignore_ascii_case(word)
    }

    /// Tells whether these words come next.
    fn are(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.is_at(ahead, word))
    }

    fn is_name_at(&self, ahead: usize) -> bool {
        matches!(self.kind_at(ahead), TokenKind::Word | TokenKind::Quoted)
    }

    // ------------------------------------------------------------------------------------- taking

    fn advance(&mut self) -> Token {
        let token = self.token(0);
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn eat(&mut self, kind: TokenKind) -> bool {
        let found = self.kind() == kind;
        if found {
            self.advance();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.advance();
        }
        found
    }

    /// Takes all of the words or none.
    fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = self.are(words);
        if found {
            self.at += words.len();
        }
        found
    }

    fn expect(&mut self, kind: TokenKind, what: &str) -> Result<Token> {
        if self.kind() == kind { Ok(self.advance()) } else { Err(self.unexpected(what)) }
    }

    fn expect_word(&mut self, word: &'static str) -> Result<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.expected_words(&[word])) }
    }

    fn expect_words(&mut self, words: &[&'static str]) -> Result<()> {
        words.iter().try_for_each(|word| self.expect_word(word))
    }

    /// Takes the name of a variable.
    fn ident(&mut self, what: &str) -> Result<Ident> {
        if self.kind() == TokenKind::Word && is_reserved(self.word_at(0)) {
            let word = self.word_at(0);
            let mut error = self.unexpected(what);
            error.message.push_str(&format!(" `{word}` is a keyword: as a name it needs backquotes."));
            return Err(error);
        }
        let symbol = self.symbol(what)?;
        Ok(Ident { name: symbol.name, span: symbol.span, var: VarId::NONE })
    }

    /// Takes a name for which keywords serve too.
    fn symbol(&mut self, what: &str) -> Result<Symbol> {
        let token = self.token(0);
        let raw = token.span.of(self.text);
        let name: Name = match token.kind {
            TokenKind::Word => raw.into(),
            TokenKind::Quoted => unquote(raw).as_ref().into(),
            _ => return Err(self.unexpected(what)),
        };
        self.advance();
        Ok(Symbol { name, span: token.span })
    }

    /// Takes a string literal.
    fn string(&mut self, what: &str) -> Result<Name> {
        let token = self.expect(TokenKind::Text, what)?;
        Ok(unescape(token.span.of(self.text), token.span)?.as_ref().into())
    }

    /// Takes what `one` takes, once or more, between commas.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.eat(TokenKind::Comma) {
            all.push(one(self)?);
        }
        Ok(all)
    }

    // ------------------------------------------------------------------------------------- nesting

    /// Runs `inner` one level deeper in the tree.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let above = std::mem::take(&mut self.height);
        let made = self.called(inner)?;
        self.higher()?;
        self.height = self.height.max(above);
        Ok(made)
    }

    /// Runs `inner` as one more call under way.
    fn called<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.calls >= CALLS_MAX {
            return Err(self.too_deep());
        }
        self.calls += 1;
        let made = inner(self);
        self.calls -= 1;
        made
    }

    /// Notes that what was made is put below one more node.
    fn higher(&mut self) -> Result<()> {
        self.height += 1;
        if self.height > DEPTH_MAX { Err(self.too_deep()) } else { Ok(()) }
    }

    fn too_deep(&self) -> CypherError {
        CypherError::syntax(
            "UnexpectedSyntax",
            self.span(),
            format!("The query is nested too deeply here: more than {DEPTH_MAX} levels."),
        )
    }

    // ------------------------------------------------------------------------------------- errors

    /// Returns what comes next, for a message.
    fn shown(&self) -> String {
        let token = self.token(0);
        let text = token.span.of(self.text);
        match token.kind {
            TokenKind::End => "the end of the query".into(),
            TokenKind::Text if text.chars().count() > 32 => "a string".into(),
            _ if text.chars().count() > 40 => format!("`{}...`", text.chars().take(40).collect::<String>()),
            _ => format!("`{text}`"),
        }
    }

    fn unexpected(&self, expected: &str) -> CypherError {
        let token = self.token(0);
        if let TokenKind::Dash | TokenKind::LeftHead | TokenKind::RightHead = token.kind
            && let Some(c) = token.span.of(self.text).chars().next()
        {
            return unknown(c, token.span);
        }
        let message = format!("Unexpected {}, expected {expected}.", self.shown());
        CypherError::syntax("UnexpectedSyntax", self.span(), message)
    }

    /// Reports that one of these words should come next.
    fn expected_words(&self, words: &[&str]) -> CypherError {
        let list: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        let mut error = self.unexpected(&join_or(&list));
        if let Some(meant) = did_you_mean(self.word_at(0), words.iter().copied()) {
            error.message.push_str(&format!(" Did you mean `{meant}`?"));
        }
        error
    }
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

fn join_or(list: &[String]) -> String {
    match list {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests;

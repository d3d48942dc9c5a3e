//! Text to tokens.
//!
//! A token is a kind and a span; nothing is copied. Keywords are words like any other: only the parser
//! knows where a word is a keyword, so every word can be a label, a type or a key.

use crate::ast::Span;
use crate::error::CypherError;
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TokenKind {
    /// A name or a keyword.
    Word,
    /// A name in backquotes; the span includes them.
    Quoted,
    /// Decimal, `0x` or `0o`.
    Integer,
    Float,
    /// Begins with a digit and is no number.
    BadNumber,
    /// In single or double quotes; the span includes them.
    Text,
    ParenOpen,
    ParenClose,
    BracketOpen,
    BracketClose,
    BraceOpen,
    BraceClose,
    Comma,
    Dot,
    DotDot,
    Colon,
    ColonColon,
    Semicolon,
    Bar,
    BarBar,
    Plus,
    PlusEqual,
    Minus,
    Star,
    Slash,
    Percent,
    Caret,
    Equal,
    Match,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Dollar,
    Ampersand,
    Exclamation,
    /// One of the dashes besides `-` that the arrows of a pattern can be drawn with, and nothing else.
    Dash,
    /// As [`Dash`](Self::Dash), for `<`.
    LeftHead,
    /// As [`Dash`](Self::Dash), for `>`.
    RightHead,
    /// After the last token, as often as one looks.
    End,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// Splits a text into tokens. The last one is [`TokenKind::End`].
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, CypherError> {
    if text.len() >= u32::MAX as usize {
        return Err(CypherError::limit("The query is longer than 4 GiB."));
    }
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0 };
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    loop {
        lexer.skip_blank()?;
        let start = lexer.at;
        let kind = lexer.token()?;
        tokens.push(Token { kind, span: Span::new(start, lexer.at) });
        if kind == TokenKind::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn char(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// Skips white space and comments.
    fn skip_blank(&mut self) -> Result<(), CypherError> {
        while let Some(c) = self.char() {
            if c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c) || c == '\u{feff}' {
                self.at += c.len_utf8();
            } else if c == '/' && self.byte(1) == b'/' {
                self.at = self.text[self.at..].find(['\n', '\r']).map_or(self.text.len(), |n| self.at + n);
            } else if c == '/' && self.byte(1) == b'*' {
                let start = self.at;
                match self.text[self.at + 2..].find("*/") {
                    Some(n) => self.at += n + 4,
                    None => {
                        let span = Span::new(start, start + 2);
                        return Err(CypherError::syntax(
                            "UnexpectedSyntax",
                            span,
                            "This comment has no end: `*/` is missing.",
                        ));
                    }
                }
            } else {
                break;
            }
        }
        Ok(())
    }

    fn token(&mut self) -> Result<TokenKind, CypherError> {
        use TokenKind::*;
        let Some(c) = self.char() else { return Ok(End) };
        if is_name_start(c) {
            self.skip_name();
            return Ok(Word);
        }
        if c.is_ascii_digit() || (c == '.' && self.byte(1).is_ascii_digit()) {
            return Ok(self.number());
        }
        let (kind, length) = match (c, self.byte(1)) {
            ('\'' | '"', _) => return self.quoted(c as u8, true).map(|()| Text),
            ('`', _) => return self.quoted(b'`', false).map(|()| Quoted),
            ('(', _) => (ParenOpen, 1),
            (')', _) => (ParenClose, 1),
            ('[', _) => (BracketOpen, 1),
            (']', _) => (BracketClose, 1),
            ('{', _) => (BraceOpen, 1),
            ('}', _) => (BraceClose, 1),
            (',', _) => (Comma, 1),
            ('.', b'.') => (DotDot, 2),
            ('.', _) => (Dot, 1),
            (':', b':') => (ColonColon, 2),
            (':', _) => (Colon, 1),
            (';', _) => (Semicolon, 1),
            ('|', b'|') => (BarBar, 2),
            ('|', _) => (Bar, 1),
            ('+', b'=') => (PlusEqual, 2),
            ('+', _) => (Plus, 1),
            ('-', _) => (Minus, 1),
            ('*', _) => (Star, 1),
            ('/', _) => (Slash, 1),
            ('%', _) => (Percent, 1),
            ('^', _) => (Caret, 1),
            ('=', b'~') => (Match, 2),
            ('=', _) => (Equal, 1),
            ('!', b'=') => (NotEqual, 2),
            ('!', _) => (Exclamation, 1),
            ('<', b'>') => (NotEqual, 2),
            ('<', b'=') => (LessOrEqual, 2),
            ('<', _) => (Less, 1),
            ('>', b'=') => (GreaterOrEqual, 2),
            ('>', _) => (Greater, 1),
            ('$', _) => (Dollar, 1),
            ('&', _) => (Ampersand, 1),
            _ => match arrow_part(c) {
                Some(kind) => (kind, c.len_utf8()),
                None => return Err(unknown(c, Span::new(self.at, self.at + c.len_utf8()))),
            },
        };
        self.at += length;
        Ok(kind)
    }

    fn skip_name(&mut self) {
        while let Some(c) = self.char() {
            if !is_name_part(c) {
                break;
            }
            self.at += c.len_utf8();
        }
    }

    fn skip_digits(&mut self) {
        while self.byte(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn number(&mut self) -> TokenKind {
        let start = self.at;
        let mut kind = TokenKind::Integer;
        if self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X' | b'o' | b'O') {
            let radix = if self.byte(1).eq_ignore_ascii_case(&b'x') { 16 } else { 8 };
            self.at += 2;
            let digits = self.at;
            while char::from(self.byte(0)).is_digit(radix) {
                self.at += 1;
            }
            if self.at == digits {
                kind = TokenKind::BadNumber;
            }
        } else {
            self.skip_digits();
            if self.at - start > 1 && self.bytes[start] == b'0' {
                kind = TokenKind::BadNumber;
            }
            if self.byte(0) == b'.' && self.byte(1).is_ascii_digit() {
                kind = TokenKind::Float;
                self.at += 1;
                self.skip_digits();
            }
            let sign = usize::from(matches!(self.byte(1), b'-' | b'+'));
            if matches!(self.byte(0), b'e' | b'E') && self.byte(1 + sign).is_ascii_digit() {
                kind = TokenKind::Float;
                self.at += 1 + sign;
                self.skip_digits();
            }
        }
        if self.char().is_some_and(is_name_part) {
            self.skip_name();
            kind = TokenKind::BadNumber;
        }
        kind
    }

    /// Skips to behind the closing quote.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Result<(), CypherError> {
        let start = self.at;
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            if byte == b'\\' && escapes {
                // The next byte may begin a longer character; its other bytes are no quotes.
                self.at += 1;
            } else if byte == quote {
                if escapes || self.byte(0) != quote {
                    return Ok(());
                }
                self.at += 1;
            }
        }
        self.at = self.text.len();
        let what = if escapes { "This string" } else { "This name" };
        let quote = char::from(quote);
        Err(CypherError::syntax(
            "UnexpectedSyntax",
            Span::new(start, start + 1),
            format!("{what} has no end: the closing `{quote}` is missing."),
        ))
    }
}

/// What the arrows of a pattern can be drawn with besides `-`, `<` and `>`.
fn arrow_part(c: char) -> Option<TokenKind> {
    match c {
        '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => {
            Some(TokenKind::Dash)
        }
        '\u{27e8}' | '\u{3008}' | '\u{fe64}' | '\u{ff1c}' => Some(TokenKind::LeftHead),
        '\u{27e9}' | '\u{3009}' | '\u{fe65}' | '\u{ff1e}' => Some(TokenKind::RightHead),
        _ => None,
    }
}

/// Says that a character has no meaning where it stands.
pub(crate) fn unknown(c: char, span: Span) -> CypherError {
    if c.is_ascii() {
        let shown = if c.is_ascii_graphic() { c.to_string() } else { c.escape_default().to_string() };
        return CypherError::syntax("UnexpectedSyntax", span, format!("Unexpected character `{shown}`."));
    }
    let meant = match (arrow_part(c), c) {
        (Some(TokenKind::Dash), _) => "-",
        (Some(TokenKind::LeftHead), _) => "<",
        (Some(TokenKind::RightHead), _) => ">",
        (_, '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{2032}') => "'",
        (_, '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{2033}') => "\"",
        _ => "",
    };
    let help = if meant.is_empty() { String::new() } else { format!(" Did you mean `{meant}`?") };
    let code = u32::from(c);
    CypherError::syntax(
        "InvalidUnicodeCharacter",
        span,
        format!("Invalid character `{}` (U+{code:04X}).{help}", c.escape_debug()),
    )
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '\u{203f}' || c == '\u{2040}'
}

fn is_name_part(c: char) -> bool {
    is_name_start(c)
        || c.is_alphanumeric()
        || matches!(c, '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// Returns the name inside backquotes.
pub(crate) fn unquote(raw: &str) -> Cow<'_, str> {
    let inner = raw.strip_prefix('`').and_then(|raw| raw.strip_suffix('`')).unwrap_or(raw);
    if inner.contains("``") { Cow::Owned(inner.replace("``", "`")) } else { Cow::Borrowed(inner) }
}

/// Returns what a string literal means.
pub(crate) fn unescape(raw: &str, span: Span) -> Result<Cow<'_, str>, CypherError> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(n) = rest.find('\\') {
        out.push_str(&rest[..n]);
        let offset = raw.len() - 1 - (rest.len() - n);
        rest = &rest[n + 1..];
        let mut chars = rest.chars();
        let escape = chars.next().unwrap_or('\\');
        let place = Span::new(span.start as usize + offset, span.start as usize + offset + 2);
        rest = chars.as_str();
        match escape {
            '\\' | '\'' | '"' | '`' | '/' => out.push(escape),
            'b' | 'B' => out.push('\u{8}'),
            'f' | 'F' => out.push('\u{c}'),
            'n' | 'N' => out.push('\n'),
            'r' | 'R' => out.push('\r'),
            't' | 'T' => out.push('\t'),
            'u' => {
                let mut code = hex(&mut rest, 4, place)?;
                if (0xd800..0xdc00).contains(&code)
                    && let Some(mut low_text) = rest.strip_prefix("\\u")
                {
                    let low = hex(&mut low_text, 4, place)?;
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                        rest = low_text;
                    }
                }
                out.push(character(code, place)?);
            }
            'U' => {
                let code = hex(&mut rest, 8, place)?;
                out.push(character(code, place)?);
            }
            other => {
                return Err(CypherError::syntax(
                    "UnexpectedSyntax",
                    place,
                    format!("Unknown escape `\\{other}` in a string; write `\\\\` for a backslash."),
                ));
            }
        }
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

fn hex(rest: &mut &str, digits: usize, place: Span) -> Result<u32, CypherError> {
    let code = rest.get(..digits).filter(|word| word.bytes().all(|b| b.is_ascii_hexdigit()));
    let code = code.and_then(|word| u32::from_str_radix(word, 16).ok()).ok_or_else(|| {
        let letter = if digits == 4 { 'u' } else { 'U' };
        CypherError::syntax(
            "InvalidUnicodeLiteral",
            place,
            format!("`\\{letter}` must be followed by {digits} hexadecimal digits."),
        )
    })?;
    *rest = &rest[digits..];
    Ok(code)
}

fn character(code: u32, place: Span) -> Result<char, CypherError> {
    char::from_u32(code).ok_or_else(|| {
        CypherError::syntax("InvalidUnicodeLiteral", place, format!("U+{code:04X} is not a character."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        lex(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn numbers_and_ranges_are_told_apart() {
        use TokenKind::*;
        assert_eq!(
            kinds("1..3 .5 1.5e-3 0xFF 0o17"),
            [Integer, DotDot, Integer, Float, Float, Integer, Integer, End]
        );
        assert_eq!(kinds("0x 12ab 0o8 007"), [BadNumber, BadNumber, BadNumber, BadNumber, End]);
        assert_eq!(kinds("1.x"), [Integer, Dot, Word, End]);
    }

    #[test]
    fn comments_and_unusual_space_are_blank() {
        use TokenKind::*;
        assert_eq!(kinds("a//b\n/* c\n */\u{a0}`d``e`"), [Word, Quoted, End]);
        assert!(lex("/* never").is_err());
    }

    #[test]
    fn escapes_mean_their_characters() {
        let raw = r"'a\n\u00e9\U0001F600\uD83D\uDE00\\'";
        assert_eq!(unescape(raw, Span::default()).unwrap(), "a\né\u{1f600}\u{1f600}\\");
        for bad in [r"'\u12'", r"'\uD83D'", r"'\UFFFFFFFF'"] {
            assert_eq!(unescape(bad, Span::default()).unwrap_err().detail, "InvalidUnicodeLiteral");
        }
        assert_eq!(unquote("`a``b`"), "a`b");
    }

    #[test]
    fn an_escape_before_a_wide_character_does_not_split_it() {
        assert!(lex("'\\é'").is_ok());
        assert!(lex("'\\").is_err());
    }

    #[test]
    fn a_character_from_a_word_processor_gets_a_hint() {
        let error = lex("RETURN “42”").unwrap_err();
        assert_eq!(error.detail, "InvalidUnicodeCharacter");
        assert!(error.message.ends_with("Did you mean `\"`?"));
    }
}

//! Text ▶ tokens. One pass, hand-written; keywords stay identifiers and get their meaning from the parser, because
//! PromQL lets almost every keyword be a metric or label name too.

use series::Millis;

use super::error::ParseError;
use crate::ast::{Number, Span};

/// A token with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) span: Span,
}

/// What the parser sees.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// Name or keyword; may hold `:` outside of braces and brackets.
    Ident(String),
    /// Number or duration.
    Number(Number),
    /// Quoted text, escapes resolved.
    Text(String),
    /// Operator or bracket.
    Symbol(&'static str),
    /// End of the query.
    End,
}

/// Longest first, so that `==` is not read as `=` twice.
const SYMBOLS: [&str; 27] = [
    "==", "!=", "<=", ">=", "</", ">/", "=~", "!~", "+", "-", "*", "/", "%", "^", "<", ">", "=", "(", ")", "{", "}",
    "[", "]", ",", ":", "@", "!",
];

struct Lexer<'q> {
    query: &'q str,
    at: usize,
    brackets: usize,
    braces: usize,
}

/// All tokens of a query, [`Token::End`] last.
pub(crate) fn lex(query: &str) -> Result<Vec<Lexeme>, ParseError> {
    let mut lexer = Lexer { query, at: 0, brackets: 0, braces: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.at;
        let token = lexer.next()?;
        let ended = token == Token::End;
        tokens.push(Lexeme { token, span: Span { start, end: lexer.at } });
        if ended {
            return Ok(tokens);
        }
    }
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.query[self.at..]
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.query.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn fault(&self, start: usize, message: impl Into<String>, hint: Option<&str>) -> ParseError {
        let end = self.at.max(start + 1).min(self.query.len().max(start));
        ParseError::new(self.query, Span { start, end }, message, hint.map(str::to_owned))
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.byte(0) {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                _ => return,
            }
        }
    }

    fn next(&mut self) -> Result<Token, ParseError> {
        if self.at >= self.query.len() {
            return Ok(Token::End);
        }
        let byte = self.byte(0);
        let colon_starts_name = byte == b':' && self.brackets == 0 && self.braces == 0;
        match byte {
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_ascii_digit() => self.number(),
            b'"' | b'\'' | b'`' => self.text(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Ok(self.ident()),
            _ if colon_starts_name => Ok(self.ident()),
            _ => self.symbol(),
        }
    }

    fn ident(&mut self) -> Token {
        let colons = self.brackets == 0 && self.braces == 0;
        let len = self
            .rest()
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_' || (colons && *b == b':'))
            .count();
        let name = self.rest()[..len].to_owned();
        self.at += len;
        Token::Ident(name)
    }

    fn symbol(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        let Some(symbol) = SYMBOLS.into_iter().find(|symbol| self.rest().starts_with(symbol)) else {
            let found = self.rest().chars().next().unwrap_or(' ');
            return Err(self.fault(start, format!("unexpected character {found:?}"), hint_for(found)));
        };
        match symbol {
            "[" => self.brackets += 1,
            "]" => self.brackets = self.brackets.saturating_sub(1),
            "{" => self.braces += 1,
            "}" => self.braces = self.braces.saturating_sub(1),
            _ => {}
        }
        self.at += symbol.len();
        Ok(Token::Symbol(symbol))
    }

    fn number(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        let hex = self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X');
        let parsed = if hex { self.hex() } else { self.decimal_or_duration() };
        let tail = self.rest().bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
        if tail > 0 || parsed.is_none() {
            self.at += tail;
            let text = &self.query[start..self.at];
            let hint = Some("durations are written like 30s, 5m or 1h30m, units in falling order");
            return Err(self.fault(start, format!("bad number or duration {text:?}"), hint));
        }
        parsed.map(Token::Number).ok_or_else(|| self.fault(start, "bad number", None))
    }

    fn hex(&mut self) -> Option<Number> {
        self.at += 2;
        let len = self.rest().bytes().take_while(|b| b.is_ascii_hexdigit() || *b == b'_').count();
        let digits = self.rest()[..len].replace('_', "");
        self.at += len;
        u64::from_str_radix(&digits, 16).ok().map(|value| Number { value: value as f64, is_duration: false })
    }

    fn digits(&mut self) -> usize {
        let len = self.rest().bytes().take_while(|b| b.is_ascii_digit() || *b == b'_').count();
        self.at += len;
        len
    }

    fn decimal_or_duration(&mut self) -> Option<Number> {
        let start = self.at;
        self.digits();
        if matches!(self.byte(0), b's' | b'm' | b'h' | b'd' | b'w' | b'y') {
            let len = self.rest().bytes().take_while(u8::is_ascii_alphanumeric).count();
            self.at += len;
            let span = Millis::parse(&self.query[start..self.at]).ok()?;
            return Some(Number { value: span.as_secs_f64(), is_duration: true });
        }
        if self.byte(0) == b'.' {
            self.at += 1;
            self.digits();
        }
        if matches!(self.byte(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(1), b'+' | b'-'));
            if self.byte(1 + sign).is_ascii_digit() {
                self.at += 1 + sign;
                self.digits();
            }
        }
        let text = self.query[start..self.at].replace('_', "");
        // As in Go's integers a leading zero says octal, where the rest allows it.
        let octal = text.strip_prefix('0').and_then(|rest| u64::from_str_radix(rest, 8).ok());
        let value = octal.map(|value| value as f64).or_else(|| text.parse().ok())?;
        Some(Number { value, is_duration: false })
    }

    fn text(&mut self) -> Result<Token, ParseError> {
        let (start, quote) = (self.at, self.byte(0));
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            if self.at >= self.query.len() || (self.byte(0) == b'\n' && quote != b'`') {
                return Err(self.fault(start, "unterminated quoted string", None));
            }
            let byte = self.byte(0);
            self.at += 1;
            if byte == quote {
                break;
            }
            if byte == b'\\' && quote != b'`' {
                self.escape(quote, &mut bytes)?;
            } else {
                bytes.push(byte);
            }
        }
        let text = String::from_utf8(bytes);
        text.map(Token::Text).map_err(|_| self.fault(start, "string is not valid UTF-8 after its escapes", None))
    }

    /// After a backslash: Go's escapes.
    fn escape(&mut self, quote: u8, bytes: &mut Vec<u8>) -> Result<(), ParseError> {
        let start = self.at - 1;
        let kind = self.byte(0);
        let simple = match kind {
            b'a' => Some(7),
            b'b' => Some(8),
            b'f' => Some(12),
            b'n' => Some(b'\n'),
            b'r' => Some(b'\r'),
            b't' => Some(b'\t'),
            b'v' => Some(11),
            b'\\' => Some(b'\\'),
            _ if kind == quote => Some(quote),
            _ => None,
        };
        if let Some(byte) = simple {
            self.at += 1;
            bytes.push(byte);
            return Ok(());
        }
        let (skip, len, radix) = match kind {
            b'x' => (1, 2, 16),
            b'u' => (1, 4, 16),
            b'U' => (1, 8, 16),
            b'0'..=b'7' => (0, 3, 8),
            _ => return Err(self.fault(start, "unknown escape sequence", Some("write \\\\ for a backslash"))),
        };
        let digits = self.query.get(self.at + skip..self.at + skip + len).unwrap_or("");
        let all_digits = digits.chars().all(|c| c.is_digit(radix));
        let code = if all_digits { u32::from_str_radix(digits, radix).ok() } else { None };
        let bad = || self.fault(start, "bad escape sequence", None);
        let code = code.ok_or_else(bad)?;
        if matches!(kind, b'u' | b'U') {
            let letter = char::from_u32(code).ok_or_else(bad)?;
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            bytes.push(u8::try_from(code).map_err(|_| bad())?);
        }
        self.at += skip + len;
        Ok(())
    }
}

/// What may be meant by a character that PromQL does not use.
fn hint_for(found: char) -> Option<&'static str> {
    Some(match found {
        '&' => "write and",
        '|' => "write or",
        '.' => "names with dots go in quotes: {\"my.metric\"}",
        '$' => "variables such as $__rate_interval are replaced by the dashboard before a query is sent",
        ';' => "one query at a time",
        '“' | '”' | '„' | '‘' | '’' => "use straight quotes",
        '−' | '–' => "use the minus sign of the keyboard",
        '≤' => "write <=",
        '≥' => "write >=",
        '≠' => "write !=",
        _ if !found.is_ascii() => "write names with such characters in quotes: {\"name\"}",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(query: &str) -> Vec<Token> {
        lex(query).expect("lexes").into_iter().map(|lexeme| lexeme.token).collect()
    }

    fn number(value: f64) -> Token {
        Token::Number(Number { value, is_duration: false })
    }

    #[test]
    fn numbers_take_every_form() {
        for (text, value) in [
            ("0755", 493.0),
            ("0789", 789.0),
            ("0", 0.0),
            ("1_000", 1000.0),
            ("0x_1F", 31.0),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("1.5E-1", 0.15),
            ("5.", 5.0),
        ] {
            assert_eq!(tokens(text), [number(value), Token::End], "{text}");
        }
        assert_eq!(tokens("1h30m")[0], Token::Number(Number { value: 5400.0, is_duration: true }));
        for bad in ["1x", "0x", "5m1h", "1.2.3", "3z"] {
            assert!(lex(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_resolve_escapes() {
        assert_eq!(tokens(r#""a\n\x41\u00e9\101\"""#)[0], Token::Text("a\nAéA\"".into()));
        assert_eq!(tokens(r"`a\n`")[0], Token::Text("a\\n".into()));
        for bad in [r#""\q""#, "\"a", "\"a\nb\"", r#""\xff""#, r#""\u12""#, r#""\U00110000""#] {
            assert!(lex(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn colons_belong_to_names_only_outside_of_brackets() {
        assert_eq!(tokens("job:up:sum")[0], Token::Ident("job:up:sum".into()));
        assert_eq!(tokens("x[step():1m]")[5], Token::Symbol(":"));
    }
}

//! One point of the line protocol, read with a cursor: a quoted text may hold line breaks, so lines cannot be cut first.

/// A position in a text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    at: usize,
    line: u64,
}

/// A field: its key with escapes, and its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Field<'t> {
    pub(crate) key: &'t str,
    pub(crate) value: Number,
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// A number or a boolean.
    Stored(f64),
    /// A text, which no series can hold.
    Text,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// Number of the line under the cursor, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Moves to the next line with a point, over blank lines and comments; false at the end.
    pub(crate) fn next_point(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return false,
                Some(b'\n') => self.line += 1,
                Some(b' ' | b'\t' | b'\r') => {}
                Some(b'#') => {
                    self.skip_line();
                    continue;
                }
                Some(_) => return true,
            }
            self.at += 1;
        }
    }

    /// Moves to the end of the line and gives what was passed over.
    pub(crate) fn skip_line(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let line = rest.find('\n').map_or(rest, |end| &rest[..end]);
        self.at += line.len();
        line
    }

    /// Reads a point: measurement and tags as they are spelled, its fields, its time.
    pub(crate) fn point(&mut self, fields: &mut Vec<Field<'t>>) -> Result<(&'t str, Option<i64>), &'static str> {
        let set = self.set()?;
        loop {
            fields.push(self.field()?);
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => break,
            }
        }
        self.blanks();
        let time = match self.peek() {
            None | Some(b'\n' | b'\r') => None,
            Some(_) => Some(self.word().parse().map_err(|_| "the time is not a whole number")?),
        };
        self.blanks();
        if self.peek() == Some(b'\r') {
            self.at += 1;
        }
        match self.peek() {
            None | Some(b'\n') => Ok((set, time)),
            Some(_) => Err("there is text after the time"),
        }
    }

    /// Measurement and tags, and the blanks behind them.
    fn set(&mut self) -> Result<&'t str, &'static str> {
        let start = self.at;
        let (mut tag_has_key, mut part_start) = (None, start);
        loop {
            let byte = self.peek();
            match byte {
                None | Some(b'\n') => return Err("there are no fields"),
                Some(b'\\') => self.at += 1,
                Some(b'=') if tag_has_key == Some(false) => {
                    if self.at == part_start {
                        return Err("a tag has no key");
                    }
                    tag_has_key = Some(true);
                    part_start = self.at + 1;
                }
                Some(b'=') if tag_has_key == Some(true) => return Err("a tag value holds an unescaped `=`"),
                Some(b',' | b' ') => {
                    if self.at == part_start {
                        return Err(if tag_has_key.is_none() {
                            "there is no measurement"
                        } else {
                            "a tag has no value"
                        });
                    }
                    if tag_has_key == Some(false) {
                        return Err("a tag has no value");
                    }
                    if byte == Some(b' ') {
                        break;
                    }
                    tag_has_key = Some(false);
                    part_start = self.at + 1;
                }
                Some(_) => {}
            }
            self.at += 1;
            if self.at > self.text.len() {
                return Err("there are no fields");
            }
        }
        let set = &self.text[start..self.at];
        self.blanks();
        Ok(set)
    }

    fn field(&mut self) -> Result<Field<'t>, &'static str> {
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'=') => break,
                Some(b'\\') => self.at += 1,
                None | Some(b'\n' | b' ' | b',') => return Err("a field has no value"),
                Some(_) => {}
            }
            self.at += 1;
            if self.at >= self.text.len() {
                return Err("a field has no value");
            }
        }
        let key = &self.text[start..self.at];
        if key.is_empty() {
            return Err("a field has no key");
        }
        self.at += 1;
        if self.peek() == Some(b'"') {
            self.quoted()?;
            return Ok(Field { key, value: Number::Text });
        }
        let start = self.at;
        while !matches!(self.peek(), None | Some(b',' | b' ' | b'\n' | b'\r')) {
            self.at += 1;
        }
        Ok(Field { key, value: Number::Stored(number(&self.text[start..self.at])?) })
    }

    /// Moves behind the closing quote; line breaks inside are counted.
    fn quoted(&mut self) -> Result<(), &'static str> {
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err("a quote is not closed"),
                Some(b'"') => break,
                Some(b'\\') if matches!(self.text.as_bytes().get(self.at + 1), Some(b'"' | b'\\')) => self.at += 1,
                Some(b'\n') => self.line += 1,
                Some(_) => {}
            }
            self.at += 1;
        }
        self.at += 1;
        match self.peek() {
            None | Some(b',' | b' ' | b'\n' | b'\r') => Ok(()),
            Some(_) => Err("there is text behind a closing quote"),
        }
    }

    fn word(&mut self) -> &'t str {
        let start = self.at;
        while !matches!(self.peek(), None | Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// A number or boolean. Infinity and NaN are no field values.
fn number(text: &str) -> Result<f64, &'static str> {
    const FAULT: &str = "a field value is neither a number, a boolean nor a quoted text";
    let integer = |digits: &str, value: Option<f64>| match digits.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        true => value.ok_or("an integer is beyond the range of 64 bits"),
        false => Err(FAULT),
    };
    match text.as_bytes() {
        [] => Err("a field has no value"),
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(1.0),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(0.0),
        [digits @ .., b'i'] if !digits.is_empty() => {
            let digits = &text[..digits.len()];
            integer(digits, digits.parse::<i64>().ok().map(|n| n as f64))
        }
        [digits @ .., b'u'] if !digits.is_empty() => {
            let digits = &text[..digits.len()];
            integer(digits, digits.parse::<u64>().ok().map(|n| n as f64))
        }
        bytes if bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')) => {
            text.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or(FAULT)
        }
        _ => Err(FAULT),
    }
}

/// Measurement and tags of a set that [`Cursor::point`] has read.
pub(crate) fn unescape_set(set: &str, measurement: &mut String, tags: &mut Vec<(String, String)>) {
    tags.clear();
    measurement.clear();
    let mut parts = unescaped_split(set, b',');
    measurement.push_str(&unescape(parts.next().unwrap_or("")));
    for part in parts {
        let mut halves = unescaped_split(part, b'=');
        let (key, value) = (halves.next().unwrap_or(""), halves.next().unwrap_or(""));
        tags.push((unescape(key).into_owned(), unescape(value).into_owned()));
    }
}

/// Pieces between separators that no backslash precedes.
fn unescaped_split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let piece = rest?;
        let (bytes, mut at) = (piece.as_bytes(), 0);
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 1,
                byte if byte == separator => {
                    rest = Some(&piece[at + 1..]);
                    return Some(&piece[..at]);
                }
                _ => {}
            }
            at += 1;
        }
        rest = None;
        Some(piece)
    })
}

/// A name without the backslashes that escape `,`, `=` and blanks; other backslashes stay.
pub(crate) fn unescape(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let (mut plain, mut chars) = (String::with_capacity(text.len()), text.chars().peekable());
    while let Some(c) = chars.next() {
        if c != '\\' || !matches!(chars.peek(), Some(',' | '=' | ' ')) {
            plain.push(c);
        }
    }
    plain.into()
}

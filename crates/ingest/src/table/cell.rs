//! One cell of a row, whatever the file's format calls it.

use series::Timestamp;

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Cell<'a> {
    /// Nothing.
    #[default]
    Null,
    /// A text, which may spell a number or a time.
    Text(&'a str),
    /// A number with a fraction.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// True or false: 1 or 0 as a value.
    Flag(bool),
    /// A time of the file's own type.
    Time(Timestamp),
    /// Names and texts: labels.
    Pairs(&'a [(String, String)]),
}

impl Cell<'_> {
    /// As a value; `None` where there is none.
    pub(crate) fn number(&self) -> Result<Option<f64>, String> {
        Ok(Some(match self {
            Self::Null => return Ok(None),
            Self::Text(text) => match text.trim() {
                "" | "null" | "NULL" | "NA" | "N/A" => return Ok(None),
                "true" | "True" | "TRUE" => 1.0,
                "false" | "False" | "FALSE" => 0.0,
                text => text.parse().map_err(|_| format!("`{text}` is not a number"))?,
            },
            Self::Number(value) => *value,
            Self::Integer(value) => *value as f64,
            Self::Flag(flag) => f64::from(u8::from(*flag)),
            Self::Time(_) => return Err("is a time, not a number".to_owned()),
            Self::Pairs(_) => return Err("is an object, not a number".to_owned()),
        }))
    }

    /// As a label's value.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Text(text) => (*text).to_owned(),
            Self::Number(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Time(at) => at.to_string(),
            Self::Pairs(pairs) => serde_json::to_string(pairs).unwrap_or_default(),
        }
    }

    /// As labels: pairs, or a text with a JSON object; an empty cell has none. `None` for anything else.
    pub(crate) fn pairs(&self) -> Option<Vec<(String, String)>> {
        match self {
            Self::Null => Some(Vec::new()),
            Self::Pairs(pairs) => Some(pairs.to_vec()),
            Self::Text(text) if text.trim().is_empty() => Some(Vec::new()),
            Self::Text(text) => {
                let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
                let text = |value: serde_json::Value| match value {
                    serde_json::Value::Null => String::new(),
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                Some(object.ok()?.into_iter().map(|(name, value)| (name, text(value))).collect())
            }
            _ => None,
        }
    }

    /// Bytes that differ where cells differ.
    pub(crate) fn spell(&self, key: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Text(text) => key.extend_from_slice(text.as_bytes()),
            Self::Number(value) => key.extend_from_slice(&value.to_bits().to_le_bytes()),
            Self::Integer(value) => key.extend_from_slice(&value.to_le_bytes()),
            Self::Flag(flag) => key.push(u8::from(*flag)),
            Self::Time(at) => key.extend_from_slice(&at.0.to_le_bytes()),
            Self::Pairs(pairs) => {
                for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
                    key.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    key.extend_from_slice(text.as_bytes());
                }
            }
        }
    }

    /// Whether a column that begins with this cell looks like one of values.
    pub(crate) fn looks_like_a_value(&self) -> bool {
        match self {
            Self::Number(_) | Self::Integer(_) | Self::Flag(_) => true,
            Self::Text(text) => text.trim().parse::<f64>().is_ok(),
            Self::Null | Self::Time(_) | Self::Pairs(_) => false,
        }
    }
}

//! Label matchers with Prometheus' rules: regular expressions are anchored, an absent label equals the empty text.

use crate::labels::LabelsRef;
use std::fmt;

/// Longest accepted pattern in bytes; the compiled program is bounded as well, so a query cannot buy memory with a regex.
const PATTERN_BYTES_MAX: usize = 4096;
const PROGRAM_BYTES_MAX: usize = 1 << 20;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// One condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// Label name; [`crate::METRIC_NAME`] for the metric.
    pub name: String,
    /// Comparison.
    pub op: MatchOp,
    /// Text or pattern as written.
    pub value: String,
    regex: Option<regex::Regex>,
}

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// The pattern has a syntax error or compiles to too large a program.
    #[error("matcher {name}=~{pattern:?}: {why}")]
    Pattern {
        /// Label name.
        name: String,
        /// Pattern as written.
        pattern: String,
        /// The regex compiler's reason.
        why: String,
    },
}

impl Matcher {
    /// A matcher; regular expressions are compiled here, once.
    ///
    /// # Errors
    /// [`MatcherError::Pattern`] for a bad, longer than 4 KiB, or too large pattern.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(compile(&name, &value)?),
        };
        Ok(Self { name, op, value, regex })
    }

    /// `name="value"`, which cannot fail.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// Whether a label value passes; an absent label is `""`.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Regex => self.regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            MatchOp::NotRegex => self.regex.as_ref().is_some_and(|regex| !regex.is_match(value)),
        }
    }

    /// Whether a series without this label passes.
    pub fn matches_absent(&self) -> bool {
        self.matches("")
    }

    /// Whether a whole label set passes.
    pub fn matches_labels(&self, labels: LabelsRef<'_>) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }
}

/// `name=~"pattern"` as PromQL writes it.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write!(f, "{}{op}{:?}", self.name, self.value)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

fn compile(name: &str, pattern: &str) -> Result<regex::Regex, MatcherError> {
    let fault = |why: String| MatcherError::Pattern { name: name.to_owned(), pattern: pattern.to_owned(), why };
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(fault(format!("{} bytes long; at most {PATTERN_BYTES_MAX} are taken", pattern.len())));
    }
    // `(?s:…)` because Prometheus lets `.` match a newline since 3.0.
    regex::RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(PROGRAM_BYTES_MAX)
        .dfa_size_limit(8 * PROGRAM_BYTES_MAX)
        .nest_limit(50)
        .build()
        .map_err(|err| fault(err.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regexes_are_anchored_and_absent_is_empty() {
        let re = Matcher::new("job", MatchOp::Regex, "api|db.*").expect("valid");
        assert!(re.matches("api") && re.matches("db-1") && !re.matches("xapi") && !re.matches_absent());
        let not = Matcher::new("job", MatchOp::NotRegex, ".+").expect("valid");
        assert!(not.matches_absent() && !not.matches("x"));
        assert!(Matcher::new("job", MatchOp::Regex, "a.b").expect("valid").matches("a\nb"));
    }

    #[test]
    fn bad_patterns_are_named() {
        let err = Matcher::new("job", MatchOp::Regex, "a(").expect_err("unclosed group");
        assert!(err.to_string().starts_with("matcher job=~\"a(\""), "{err}");
        assert!(Matcher::new("job", MatchOp::Regex, "a".repeat(5000)).is_err());
        assert!(Matcher::new("job", MatchOp::Regex, "(((a{100}){100}){100})").is_err());
    }
}

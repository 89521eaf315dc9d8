//! Label sets in one canonical byte string.
//!
//! ```text
//!   canonical := pair*                 names strictly rising (bytewise), no empty name, no empty value
//!   pair      := len name len value    len is LEB128 (varint), texts are UTF-8
//! ```
//!
//! The canonical bytes are what is hashed ([`SeriesId`]), logged and compared, so a label set is one allocation.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::value::SeriesId;

/// Name of the label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// An owned, immutable label set. Cloning is cheap (one reference count).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

/// A borrowed label set over canonical bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelsRef<'a>(&'a [u8]);

/// Collects pairs in any order and makes canonical bytes of them. Reuse one builder: it keeps its buffers.
#[derive(Debug, Default, Clone)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

/// Why a list of pairs is not a label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A label without a name.
    #[error("a label has an empty name (its value is `{0}`)")]
    EmptyName(String),
    /// The same name twice.
    #[error("label `{0}` appears twice")]
    Repeated(String),
    /// The bytes are not canonical label bytes.
    #[error("bytes are not a canonical label set (at byte {0})")]
    NotCanonical(usize),
}

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self(Arc::from(&[][..]))
    }

    /// From pairs in any order. Pairs with an empty value are left out, as in Prometheus.
    ///
    /// # Errors
    /// [`LabelError`] for an empty or repeated name.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, LabelError> {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            if name.as_ref().is_empty() {
                return Err(LabelError::EmptyName(value.as_ref().to_owned()));
            }
            if !value.as_ref().is_empty() {
                builder.pairs.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
            }
        }
        builder.pairs.sort();
        if let Some(twice) = builder.pairs.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(LabelError::Repeated(twice[0].0.clone()));
        }
        Ok(builder.build())
    }

    /// From bytes that someone else keeps, checking that they are canonical.
    ///
    /// # Errors
    /// [`LabelError::NotCanonical`] with the byte offset.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, LabelError> {
        LabelsRef::checked(bytes).map(LabelsRef::to_owned)
    }

    /// Borrowed view.
    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef(&self.0)
    }

    /// The canonical bytes.
    pub fn canonical(&self) -> &[u8] {
        &self.0
    }

    /// Pairs in rising order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.as_ref().iter()
    }

    /// The value of `name`; `None` when absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.as_ref().get(name)
    }

    /// The metric's name, or `""`.
    pub fn metric(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// The series' identity.
    pub fn id(&self) -> SeriesId {
        self.as_ref().id()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Only the labels in `names` (`keep = true`), or all but those (`keep = false`).
    pub fn project(&self, names: &[String], keep: bool) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        self.as_ref().project_into(names, keep, &mut bytes);
        Self(Arc::from(bytes))
    }

    /// A builder that starts with these pairs.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }
}

impl<'a> LabelsRef<'a> {
    /// Wraps bytes known to be canonical (from [`LabelsBuilder`], the log or a table). Not checked.
    pub fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Wraps bytes after checking order, UTF-8 and lengths.
    ///
    /// # Errors
    /// [`LabelError::NotCanonical`] with the byte offset.
    pub fn checked(bytes: &'a [u8]) -> Result<Self, LabelError> {
        let (mut at, mut last): (usize, Option<&[u8]>) = (0, None);
        while at < bytes.len() {
            let start = at;
            let name = take(bytes, &mut at).ok_or(LabelError::NotCanonical(start))?;
            let value = take(bytes, &mut at).ok_or(LabelError::NotCanonical(start))?;
            let rising = last.is_none_or(|before| before < name);
            let text = std::str::from_utf8(name).is_ok() && std::str::from_utf8(value).is_ok();
            if !rising || !text || name.is_empty() || value.is_empty() {
                return Err(LabelError::NotCanonical(start));
            }
            last = Some(name);
        }
        Ok(Self(bytes))
    }

    /// An owned copy.
    pub fn to_owned(self) -> Labels {
        Labels(Arc::from(self.0))
    }

    /// The canonical bytes.
    pub fn canonical(self) -> &'a [u8] {
        self.0
    }

    /// Pairs in rising order of names.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (bytes, mut at) = (self.0, 0);
        std::iter::from_fn(move || {
            let name = take(bytes, &mut at)?;
            let value = take(bytes, &mut at)?;
            Some((text(name), text(value)))
        })
    }

    /// Each pair as a label set of its own, in order.
    pub fn pairs(self) -> impl Iterator<Item = LabelsRef<'a>> {
        let (bytes, mut at) = (self.0, 0);
        std::iter::from_fn(move || {
            let start = at;
            take(bytes, &mut at)?;
            take(bytes, &mut at)?;
            Some(LabelsRef(&bytes[start..at]))
        })
    }

    /// The value of `name`.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let mut at = 0;
        loop {
            let found = take(self.0, &mut at)?;
            let value = take(self.0, &mut at)?;
            if found == name.as_bytes() {
                return Some(text(value));
            }
        }
    }

    /// Appends the canonical bytes of the labels in `names` (`keep = true`), or of all but those (`keep = false`).
    pub fn project_into(self, names: &[String], keep: bool, out: &mut Vec<u8>) {
        // None of them: all groups of `sum(x)` are one.
        let bytes = if keep && names.is_empty() { &[] } else { self.0 };
        let mut at = 0;
        loop {
            let start = at;
            let (Some(name), Some(_)) = (take(bytes, &mut at), take(bytes, &mut at)) else { return };
            if names.iter().any(|wanted| wanted.as_bytes() == name) == keep {
                out.extend_from_slice(&bytes[start..at]);
            }
        }
    }

    /// xxh3-64 of the canonical bytes.
    pub fn id(self) -> SeriesId {
        SeriesId(xxhash_rust::xxh3::xxh3_64(self.0))
    }

    /// The identity to try after `seed` collisions of [`LabelsRef::id`].
    pub fn id_with_seed(self, seed: u64) -> SeriesId {
        SeriesId(xxhash_rust::xxh3::xxh3_64_with_seed(self.0, seed))
    }
}

impl LabelsBuilder {
    /// Adds or replaces a pair; an empty value removes the label, as in Prometheus.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.remove(name);
        if !value.is_empty() {
            self.pairs.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Removes a label if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// The label set; the builder stays usable.
    pub fn build(&mut self) -> Labels {
        self.pairs.sort();
        let mut bytes = Vec::with_capacity(self.pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (name, value) in &self.pairs {
            put_text(&mut bytes, name);
            put_text(&mut bytes, value);
        }
        Labels(Arc::from(bytes))
    }
}

/// Appends the canonical form of `pairs`, which should be sorted by name, without repeats, empty names or empty values;
/// [`LabelsRef::checked`] tells whether they were.
pub fn put_canonical<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>, bytes: &mut Vec<u8>) {
    for (name, value) in pairs {
        put_text(bytes, name);
        put_text(bytes, value);
    }
}

/// Appends one `len text` item of the canonical form.
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let mut len = text.len();
    while len >= 0x80 {
        bytes.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(text.as_bytes());
}

fn take<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let (mut len, mut shift) = (0_usize, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        len |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    let item = bytes.get(*at..at.checked_add(len)?)?;
    *at += len;
    Some(item)
}

/// Canonical bytes are UTF-8 by construction; damaged ones read as empty text rather than as a panic.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}

/// Prometheus' order: pair by pair, names before values, a prefix first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&*self.0, &*other.0);
        let differ = common_prefix(a, b);
        if differ == a.len() || differ == b.len() {
            return a.len().cmp(&b.len());
        }
        // Up to the item that holds the first difference both are cut alike.
        let (mut start, mut end) = (0, 0);
        while end <= differ {
            start = end;
            if take(a, &mut end).is_none() {
                break;
            }
        }
        let (mut of_a, mut of_b) = (start, start);
        take(a, &mut of_a).cmp(&take(b, &mut of_b))
    }
}

/// Number of first bytes that are the same.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const WORD: usize = size_of::<u64>();
    let word = |bytes: &[u8]| bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
    let n = a.len().min(b.len());
    let mut at = 0;
    while at + WORD <= n {
        let differ = word(&a[at..]) ^ word(&b[at..]);
        if differ != 0 {
            return at + differ.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    at + a[at..n].iter().zip(&b[at..n]).take_while(|(a, b)| a == b).count()
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `name{label="value", …}` with Prometheus' escapes.
impl fmt::Display for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.get(METRIC_NAME).unwrap_or("");
        f.write_str(metric)?;
        let mut open = false;
        for (name, value) in self.iter().filter(|(name, _)| *name != METRIC_NAME) {
            f.write_str(if open { ", " } else { "{" })?;
            open = true;
            write!(f, "{name}={value:?}")?;
        }
        f.write_str(if open {
            "}"
        } else if metric.is_empty() {
            "{}"
        } else {
            ""
        })
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Labels({self})")
    }
}

impl fmt::Debug for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LabelsRef({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_comes_twice_is_refused_unless_one_of_them_is_empty() {
        let twice = Labels::from_pairs([("a", "1"), ("a", "2")]);
        assert_eq!(twice, Err(LabelError::Repeated("a".into())));
        assert_eq!(Labels::from_pairs([("a", "1"), ("a", "")]), Labels::from_pairs([("a", "1")]));
    }

    #[test]
    fn pairs_are_sorted_and_empty_values_left_out() {
        let labels = Labels::from_pairs([("job", "api"), ("__name__", "up"), ("zone", "")]).expect("valid");
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("__name__", "up"), ("job", "api")]);
        assert_eq!(labels.to_string(), "up{job=\"api\"}");
        assert_eq!(labels.metric(), "up");
        assert_eq!(labels.get("zone"), None);
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(Labels::from_pairs([("", "x")]), Err(LabelError::EmptyName("x".into())));
        assert_eq!(Labels::from_canonical(&[1, b'a', 9, b'b']), Err(LabelError::NotCanonical(0)));
        assert_eq!(Labels::from_canonical(&[1, b'b', 1, b'x', 1, b'a', 1, b'x']), Err(LabelError::NotCanonical(4)));
    }

    #[test]
    fn the_id_of_a_label_set_never_changes() {
        // The hash is part of the file format: a new value here would orphan every stored series.
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "api")]).expect("valid");
        assert_eq!(labels.id(), SeriesId(xxhash_rust::xxh3::xxh3_64(b"\x08__name__\x02up\x03job\x03api")));
    }

    proptest! {
        #[test]
        fn canonical_bytes_round_trip(pairs in proptest::collection::btree_map("[a-zé]{1,200}", ".{0,20}", 0..8)) {
            let labels = Labels::from_pairs(&pairs).expect("names are unique and not empty");
            let back = Labels::from_canonical(labels.canonical()).expect("canonical");
            prop_assert_eq!(&back, &labels);
            let kept: Vec<_> = pairs.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(back.iter().collect::<Vec<_>>(), kept);
        }

        #[test]
        fn the_order_is_that_of_the_pairs(sets in proptest::collection::vec(
            proptest::collection::btree_map("[ab]{1,2}|[a]{126,130}", "[ab]{1,2}|[b]{126,130}", 0..4), 2..5)) {
            let sets: Vec<Labels> = sets.iter().map(|set| Labels::from_pairs(set).expect("valid")).collect();
            for (a, b) in sets.iter().flat_map(|a| sets.iter().map(move |b| (a, b))) {
                prop_assert_eq!(a.cmp(b), a.iter().cmp(b.iter()), "{} and {}", a, b);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(labels) = LabelsRef::checked(&bytes) {
                prop_assert!(labels.iter().count() <= 32);
            }
        }
    }
}

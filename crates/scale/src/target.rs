//! What a piece of advice is about: `deployment/shop/checkout`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A scalable or sizeable thing, written `kind/namespace/name` or, outside Kubernetes, `kind/name`.
///
/// Parts hold only ASCII letters, digits, `-`, `_` and `.`, begin and end with a letter or digit and are at most 253
/// bytes, so a target can stand in a shell command, a URL path and a manifest without quoting.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    kind: String,
    namespace: Option<String>,
    name: String,
}

/// A text that is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a target: {fault}; write kind/namespace/name, for instance deployment/shop/checkout")]
pub struct TargetParseError {
    text: String,
    fault: &'static str,
}

impl Target {
    /// The kind in lower case: `deployment`, `statefulset`, `asg`…
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The namespace, absent for targets outside Kubernetes.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The name inside the namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `Deployment/checkout`, as tables show it: the Kubernetes spelling of the kind, without the namespace.
    pub fn short(&self) -> String {
        format!("{}/{}", self.manifest().map_or(self.kind.as_str(), |(_, kind)| kind), self.name)
    }

    /// `(apiVersion, kind)` of the Kubernetes object, for the kinds that have a pod template we can patch.
    pub fn manifest(&self) -> Option<(&'static str, &'static str)> {
        self.namespace.as_ref()?;
        match self.kind.as_str() {
            "deployment" => Some(("apps/v1", "Deployment")),
            "statefulset" => Some(("apps/v1", "StatefulSet")),
            "replicaset" => Some(("apps/v1", "ReplicaSet")),
            "daemonset" => Some(("apps/v1", "DaemonSet")),
            "rollout" => Some(("argoproj.io/v1alpha1", "Rollout")),
            _ => None,
        }
    }
}

impl FromStr for Target {
    type Err = TargetParseError;

    fn from_str(text: &str) -> Result<Self, TargetParseError> {
        let fail = |fault| TargetParseError { text: text.chars().take(120).collect(), fault };
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let (kind, namespace, name) = match parts[..] {
            [kind, name] => (kind, None, name),
            [kind, namespace, name] => (kind, Some(namespace), name),
            _ => return Err(fail("it needs two or three parts")),
        };
        for part in [Some(kind), namespace, Some(name)].into_iter().flatten() {
            check_part(part).map_err(fail)?;
        }
        Ok(Self { kind: kind.to_ascii_lowercase(), namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }
}

fn check_part(part: &str) -> Result<(), &'static str> {
    if part.is_empty() || part.len() > 253 {
        return Err("a part must have 1 to 253 characters");
    }
    if !part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err("a part may hold only letters, digits, `-`, `_` and `.`");
    }
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    if !edge(part.bytes().next()) || !edge(part.bytes().last()) {
        return Err("a part must begin and end with a letter or digit");
    }
    Ok(())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_print_as_they_are_written() {
        for text in ["deployment/shop/checkout", "statefulset/db/pg-0.a", "asg/web_1"] {
            assert_eq!(text.parse::<Target>().map(|t| t.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("Deployment/shop/checkout".parse::<Target>().map(|t| t.short()), Ok("Deployment/checkout".into()));
        assert_eq!("asg/web".parse::<Target>().map(|t| t.short()), Ok("asg/web".into()));
    }

    #[test]
    fn hostile_targets_are_refused() {
        let long = format!("a/b/{}", "c".repeat(254));
        for text in
            ["", "a", "a/b/c/d", "a//b", "a/../b", "a/b/$(reboot)", "a/b/c d", "a/b/c\n", "-a/b", "é/b/c", &long]
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}

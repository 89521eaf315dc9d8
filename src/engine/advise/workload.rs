//! From names of pods to what owns them.
//!
//! Kubernetes names a Deployment's pods `name-<hash>-<5>` and a StatefulSet's `name-<number>`; where the owner metrics
//! of kube-state-metrics are missing, that is all there is to go by.

use scale::Target;
use series::Labels;

/// Letters of Kubernetes' generated names: no vowels and nothing that looks like one (`k8s.io/apimachinery/pkg/util/rand`).
const GENERATED: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The workload of a pod.
pub(super) fn target_of(labels: &Labels) -> Option<Target> {
    let (namespace, pod) = (labels.get("namespace")?, labels.get("pod")?);
    let (kind, name) = owner_of(pod);
    format!("{kind}/{namespace}/{name}").parse().ok()
}

/// A matcher for the pods of a workload.
pub(super) fn pods_of(target: &Target) -> String {
    let namespace = target.namespace().unwrap_or("default");
    let suffix = match target.kind() {
        "statefulset" => "[0-9]+",
        "daemonset" => "[a-z0-9]{5}",
        _ => "[a-z0-9]+-[a-z0-9]{5}",
    };
    // Names of targets hold only letters, digits, `-`, `_` and `.`; a dot is the only one a pattern would misread.
    let name = target.name().replace('.', "[.]");
    format!("namespace=\"{namespace}\",pod=~\"{name}-{suffix}\"")
}

fn owner_of(pod: &str) -> (&'static str, &str) {
    let Some((rest, last)) = pod.rsplit_once('-') else { return ("pod", pod) };
    if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) {
        return ("statefulset", rest);
    }
    let generated = |text: &str| text.bytes().all(|b| GENERATED.contains(&b));
    match rest.rsplit_once('-') {
        Some((name, hash)) if last.len() == 5 && generated(last) && hash.len() >= 5 && generated(hash) => {
            ("deployment", name)
        }
        _ if last.len() == 5 && generated(last) => ("daemonset", rest),
        _ => ("pod", pod),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_belong_to_what_made_their_names() {
        for (pod, owner) in [
            ("checkout-7d9f8c6b5-x2x4z", ("deployment", "checkout")),
            ("db-0", ("statefulset", "db")),
            ("node-agent-x2x4z", ("daemonset", "node-agent")),
            ("my-first-house", ("pod", "my-first-house")),
            ("single", ("pod", "single")),
        ] {
            assert_eq!(owner_of(pod), owner, "{pod}");
        }
    }

    #[test]
    fn matchers_find_the_pods_of_a_target() {
        let target: Target = "deployment/shop/checkout".parse().expect("valid");
        assert_eq!(pods_of(&target), "namespace=\"shop\",pod=~\"checkout-[a-z0-9]+-[a-z0-9]{5}\"");
    }
}

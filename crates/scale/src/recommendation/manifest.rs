//! Recommendations as Kubernetes manifests, for `kubectl diff -f -` and `kubectl apply --server-side -f -`.

use super::{Details, Recommendation, Status};
use crate::quantity::{format_bytes, format_cpu};
use crate::rightsize::{Resources, Sizing};
use crate::target::Target;

/// One YAML document for each open scaling or right-sizing recommendation on a Kubernetes object that changes
/// something: only the fields that change, so that a server-side apply owns nothing else. Others become comments.
pub fn plan_yaml(recommendations: &[Recommendation]) -> String {
    let mut out = String::from("# foretide plan\n");
    for one in recommendations.iter().filter(|one| one.status == Status::Open && one.changes()) {
        let body = match &one.details {
            Details::Scale(decision) => {
                let to = decision.upcoming.filter(|_| decision.from == decision.to).map_or(decision.to, |next| next.to);
                object(&decision.target, &format!("  replicas: {to}\n"))
            }
            Details::Rightsize(sizing) => object(&sizing.target, &template(sizing)),
            Details::Capacity(_) => None,
        };
        out.push_str(&format!("---\n# {}\n", comment(&one.title)));
        match body {
            Some(body) => out.push_str(&body),
            None => out.push_str("# by hand: no manifest for this target\n"),
        }
    }
    out
}

fn object(target: &Target, spec: &str) -> Option<String> {
    let ((version, kind), namespace) = (target.manifest()?, target.namespace()?);
    Some(format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n{spec}",
        quoted(target.name()),
        quoted(namespace)
    ))
}

fn template(sizing: &Sizing) -> String {
    let Resources { cpu_request_cores, cpu_limit_cores, memory_request_bytes, memory_limit_bytes } = sizing.proposed;
    let mut out = format!(
        "  template:\n    spec:\n      containers:\n        - name: {}\n          resources:\n",
        quoted(&sizing.container)
    );
    for (name, cpu, memory) in
        [("requests", cpu_request_cores, memory_request_bytes), ("limits", cpu_limit_cores, memory_limit_bytes)]
    {
        if cpu.is_none() && memory.is_none() {
            continue;
        }
        out.push_str(&format!("            {name}:\n"));
        for (resource, amount) in [("cpu", cpu.map(format_cpu)), ("memory", memory.map(format_bytes))] {
            if let Some(amount) = amount {
                out.push_str(&format!("              {resource}: {}\n", quoted(&amount)));
            }
        }
    }
    out
}

/// A double-quoted YAML scalar; every character that could end or escape it is written by number.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_graphic() || c == ' ' => out.push(c),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Text that cannot leave its comment line.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

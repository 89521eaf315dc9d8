//! Paths that do not exist and methods that a path does not take.

use axum::http::{Method, StatusCode, Uri};

use crate::fault::Fault;

/// What a lost caller may have meant. Routes with a variable part are listed by their fixed part.
const PATHS: [&str; 45] = [
    "/",
    "/-/flush",
    "/-/healthy",
    "/-/ready",
    "/api/anomalies",
    "/api/figures",
    "/api/figures/forecast",
    "/api/figures/ingest",
    "/api/figures/series",
    "/api/forecasts",
    "/api/jobs",
    "/api/live",
    "/api/pulse",
    "/api/recommendations",
    "/api/scaling/policies",
    "/api/series",
    "/api/sql",
    "/api/tables",
    "/api/v1/alerts",
    "/api/v1/format_query",
    "/api/v1/import/prometheus",
    "/api/v1/import/write",
    "/api/v1/label/__name__/values",
    "/api/v1/labels",
    "/api/v1/metadata",
    "/api/v1/otlp/v1/metrics",
    "/api/v1/push",
    "/api/v1/query",
    "/api/v1/query_exemplars",
    "/api/v1/query_range",
    "/api/v1/rules",
    "/api/v1/series",
    "/api/v1/status/buildinfo",
    "/api/v1/status/flags",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/tsdb",
    "/api/v1/targets",
    "/api/v1/write",
    "/api/v2/write",
    "/api/v3/write_lp",
    "/health",
    "/metrics",
    "/ping",
    "/v1/metrics",
    "/write",
];

/// Similarity (0 to 1) from which a path is worth suggesting.
const SIMILAR_MIN: f64 = 0.75;
/// Longest path shown or compared.
const PATH_CHARS_MAX: usize = 120;

/// The 404. Its text holds "page not found", by which Grafana tells that there is no ruler API.
pub(crate) async fn not_found(uri: Uri) -> Fault {
    let path: String = uri.path().chars().take(PATH_CHARS_MAX).collect();
    let fault = Fault::not_found(format!("page not found: {path}"));
    match nearest(&path) {
        Some(known) => fault.hint(format!("did you mean {known} ?")),
        None => fault.hint("the page at / shows what is here"),
    }
}

/// The 405; the router adds `Allow`.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Fault {
    let path: String = uri.path().chars().take(PATH_CHARS_MAX).collect();
    let message = format!("{path} does not take {method}");
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        .hint("the Allow header lists what it takes")
}

fn nearest(path: &str) -> Option<&'static str> {
    let lower = path.to_lowercase();
    let asked = lower.trim_end_matches('/');
    let scored = PATHS.into_iter().map(|known| (strsim::jaro_winkler(asked, known), known));
    let (score, known) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    // A shared prefix alone makes Jaro-Winkler generous, so the edit distance must be small as well.
    let near = strsim::levenshtein(asked, known) <= known.len() / 3;
    (score >= SIMILAR_MIN && near).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_path_is_suggested_or_none() {
        for (path, known) in [
            ("/api/v1/quer", Some("/api/v1/query")),
            ("/api/recomendations", Some("/api/recommendations")),
            ("/metric", Some("/metrics")),
            ("/API/SQL", Some("/api/sql")),
            ("/api/sql/", Some("/api/sql")),
            ("/wp-login.php", None),
            ("", None),
        ] {
            assert_eq!(nearest(path), known, "{path}");
        }
    }
}

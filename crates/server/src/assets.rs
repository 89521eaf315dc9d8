//! The page, embedded in the binary, and the chart script of the `plotly` crate. Looked up by name in fixed tables, so no
//! path ever reaches a file system.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;

use crate::fault::Fault;
use crate::missing;

const CHART_SCRIPT: &str = "plotly.js";

/// `crates/server/ui`: in debug builds read from disk at each request, so that edits show on reload.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/ui"]
struct Ui;

/// A large file made once. Only its gzip is kept; the rare client that cannot take it has it unpacked for itself.
struct Prepared {
    gzip: Bytes,
    etag: String,
}

/// The script without MathJax, which the crate appends and our charts never use.
static SCRIPT: LazyLock<Prepared> = LazyLock::new(|| {
    let sources = plotly::Plot::offline_js_sources();
    let plain = chart_script(&sources).as_bytes();
    let gzip = Bytes::from(gzip(plain).unwrap_or_default());
    Prepared { etag: format!("W/\"{:x}-{:x}\"", plain.len(), checksum(plain)), gzip }
});

/// `GET /`
pub(crate) async fn index(headers: HeaderMap) -> Response {
    // The page will ask for the script next; not awaited.
    drop(tokio::task::spawn_blocking(|| LazyLock::force(&SCRIPT).etag.len()));
    embedded("index.html", &headers).unwrap_or_else(|| Fault::internal("the page is not in this build").into_response())
}

/// `GET /assets/{path}`
pub(crate) async fn asset(uri: Uri, path: Path<String>, headers: HeaderMap) -> Response {
    if path.0 == CHART_SCRIPT {
        let zipped = accepts_gzip(&headers);
        // The first request pays for packing; later ones only for sending.
        return match tokio::task::spawn_blocking(move || script(zipped)).await {
            Ok(Ok((etag, body))) => packed(etag, body, zipped, &headers),
            Ok(Err(_)) | Err(_) => Fault::internal("the chart script could not be prepared").into_response(),
        };
    }
    match embedded(&path.0, &headers) {
        Some(answer) if path.0 != "index.html" => answer,
        _ => missing::not_found(uri).await.into_response(),
    }
}

fn embedded(name: &str, headers: &HeaderMap) -> Option<Response> {
    let file = Ui::get(name)?;
    let hash: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let body = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Some(tagged(&format!("W/\"{hash}\""), mime(name), body, headers))
}

/// The tag and the script, packed or plain.
fn script(zipped: bool) -> std::io::Result<(&'static str, Bytes)> {
    let Prepared { gzip, etag } = &*SCRIPT;
    if zipped {
        return Ok((etag, gzip.clone()));
    }
    let mut plain = Vec::new();
    GzDecoder::new(&gzip[..]).read_to_end(&mut plain)?;
    Ok((etag, Bytes::from(plain)))
}

fn packed(etag: &str, body: Bytes, zipped: bool, headers: &HeaderMap) -> Response {
    let mut answer = tagged(etag, "text/javascript; charset=utf-8", body, headers);
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if zipped && answer.status() == StatusCode::OK {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// 304 when the client has this version already. `no-cache` means "ask each time", which costs one small round trip and
/// never shows the page of an older binary.
fn tagged(etag: &str, mime: &'static str, body: Bytes, headers: &HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or("");
    // Tags are weak: the same content travels plain and zipped.
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let same = known.split(',').any(|tag| bare(tag) == bare(etag));
    let mut answer = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, mime)], body).into_response()
    };
    let set: [(HeaderName, Option<HeaderValue>); 2] = [
        (header::ETAG, HeaderValue::from_str(etag).ok()),
        (header::CACHE_CONTROL, Some(HeaderValue::from_static("no-cache"))),
    ];
    for (name, value) in set {
        value.map(|value| answer.headers_mut().insert(name, value));
    }
    answer
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        named
            && !parts
                .any(|parameter| matches!(parameter.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn mime(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

/// The inside of the first `<script>` element; the second one holds MathJax. The last opening tag is searched from the
/// end, because a script may itself contain such a text.
fn chart_script(sources: &str) -> &str {
    const OPEN: &str = "<script type=\"text/javascript\">";
    let start = sources.find(OPEN).map_or(0, |at| at + OPEN.len());
    let end = sources.rfind(OPEN).filter(|at| *at >= start).unwrap_or(sources.len());
    let body = &sources[start..end];
    body.rfind("</script>").map_or(body, |at| &body[..at])
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// FNV-1a: tells versions apart, nothing more.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_script_is_cut_out_whole_and_alone() {
        let sources = plotly::Plot::offline_js_sources();
        let script = chart_script(&sources);
        assert!(script.len() > 3_000_000 && !script.contains("<script type=\"text/javascript\">"), "{}", script.len());
        assert!(script.contains("Plotly") && !script.contains("MathJax.loader"), "only the plotly part");
        assert_eq!(
            chart_script("<script type=\"text/javascript\">a</script>\n<script type=\"text/javascript\">b</script>"),
            "a"
        );
    }

    #[test]
    fn accepted_encodings_are_weighed() {
        let accepts = |text: &'static str| {
            accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(text))]))
        };
        assert!(accepts("gzip, deflate, br") && accepts("br;q=1.0, GZIP;q=0.5"));
        assert!(!accepts("br") && !accepts("gzip;q=0") && !accepts("gzip; q=0.0") && !accepts_gzip(&HeaderMap::new()));
    }
}

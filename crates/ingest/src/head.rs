//! Which schema a request carries, by its headers.

use crate::error::IngestError;
use crate::outcome::shorten;

/// The content type of remote write 1.0, as [`crate::encode_write_request`]'s bodies must be sent.
pub const CONTENT_TYPE: &str = "application/x-protobuf;proto=prometheus.WriteRequest";

/// The value of `X-Prometheus-Remote-Write-Version` for remote write 1.0.
pub const VERSION: &str = "0.1.0";

/// The content type of remote write 2.0, as [`crate::encode_write_request_v2`]'s bodies must be sent.
pub const CONTENT_TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// The value of `X-Prometheus-Remote-Write-Version` for remote write 2.0.
pub const VERSION_V2: &str = "2.0.0";

/// Which message a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// The request headers that decide; absent ones are `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestHead<'a> {
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a str>,
    /// `X-Prometheus-Remote-Write-Version`.
    pub version: Option<&'a str>,
}

impl RequestHead<'_> {
    /// Accepts remote write 1.0 and 2.0 in snappy. Old senders that leave headers out are taken as 1.0, as Prometheus does;
    /// the content type wins over the version header.
    pub(crate) fn schema(&self) -> Result<Schema, IngestError> {
        let schema = self.schema_of_type()?;
        match self.content_encoding.map(str::trim) {
            None | Some("") => Ok(schema),
            Some(encoding) if encoding.eq_ignore_ascii_case("snappy") => Ok(schema),
            Some(other) => Err(IngestError::ContentEncoding { found: quoted(other) }),
        }
    }

    fn schema_of_type(&self) -> Result<Schema, IngestError> {
        let given = self.content_type.unwrap_or("").trim();
        if given.is_empty() {
            let speaks_v2 = self.version.is_some_and(|version| version.trim().starts_with("2."));
            return Ok(if speaks_v2 { Schema::V2 } else { Schema::V1 });
        }
        let mut parts = given.split(';').map(str::trim);
        if !parts.next().unwrap_or("").eq_ignore_ascii_case("application/x-protobuf") {
            return Err(IngestError::ContentType { found: quoted(given) });
        }
        let mut schema = Schema::V1;
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            if !name.trim().eq_ignore_ascii_case("proto") {
                continue;
            }
            match value.trim().trim_matches('"') {
                "prometheus.WriteRequest" => schema = Schema::V1,
                "io.prometheus.write.v2.Request" => schema = Schema::V2,
                _ => return Err(IngestError::ContentType { found: quoted(given) }),
            }
        }
        Ok(schema)
    }
}

fn quoted(text: &str) -> String {
    format!("`{}`", shorten(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(head: RequestHead<'_>) -> Result<Schema, u16> {
        head.schema().map_err(|error| error.status())
    }

    #[test]
    fn the_content_type_chooses_and_anything_else_is_415() {
        let snappy = Some("snappy");
        for (content_type, content_encoding, version, expected) in [
            (Some("application/x-protobuf"), snappy, Some("0.1.0"), Ok(Schema::V1)),
            (Some("application/x-protobuf"), snappy, Some("2.0.0"), Ok(Schema::V1)),
            (Some(CONTENT_TYPE), snappy, Some(VERSION), Ok(Schema::V1)),
            (Some("application/x-protobuf; proto=prometheus.WriteRequest"), Some("Snappy"), None, Ok(Schema::V1)),
            (Some("Application/X-Protobuf; charset=utf-8"), snappy, None, Ok(Schema::V1)),
            (None, None, None, Ok(Schema::V1)),
            (None, snappy, Some("2.0.0"), Ok(Schema::V2)),
            (Some(CONTENT_TYPE_V2), snappy, Some(VERSION_V2), Ok(Schema::V2)),
            (Some("application/x-protobuf; proto=\"io.prometheus.write.v2.Request\""), snappy, None, Ok(Schema::V2)),
            (Some("application/x-protobuf;proto=io.prometheus.write.v9.Request"), snappy, None, Err(415)),
            (Some("application/json"), snappy, None, Err(415)),
            (Some("application/x-protobuf"), Some("gzip"), None, Err(415)),
            (Some(CONTENT_TYPE_V2), Some("br"), None, Err(415)),
        ] {
            let head = RequestHead { content_type, content_encoding, version };
            assert_eq!(schema(head), expected, "{head:?}");
        }
    }

    #[test]
    fn the_refusal_names_both_messages() {
        let head = RequestHead { content_type: Some("image/png"), ..RequestHead::default() };
        let message = head.schema().expect_err("a picture").to_string();
        assert!(message.contains(CONTENT_TYPE) && message.contains(CONTENT_TYPE_V2), "{message}");
    }
}

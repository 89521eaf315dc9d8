//! Which schema a request carries, by its headers.

use crate::error::IngestError;
use crate::outcome::shorten;

/// The content type of remote write 1.0, as the encoder's messages must be sent.
pub const CONTENT_TYPE: &str = "application/x-protobuf;proto=prometheus.WriteRequest";

/// The value of `X-Prometheus-Remote-Write-Version` for remote write 1.0.
pub const VERSION: &str = "0.1.0";

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
    /// Accepts remote write 1.0 in snappy. Old senders that leave headers out are taken as 1.0, as Prometheus does; the
    /// content type wins over the version header.
    pub(crate) fn check(&self) -> Result<(), IngestError> {
        self.check_type()?;
        match self.content_encoding.map(str::trim) {
            None | Some("") => Ok(()),
            Some(encoding) if encoding.eq_ignore_ascii_case("snappy") => Ok(()),
            Some(other) => Err(IngestError::ContentEncoding { found: quoted(other) }),
        }
    }

    fn check_type(&self) -> Result<(), IngestError> {
        let given = self.content_type.unwrap_or("").trim();
        if given.is_empty() {
            let speaks_v2 = self.version.is_some_and(|version| version.trim().starts_with("2."));
            return if speaks_v2 { Err(IngestError::RemoteWriteV2) } else { Ok(()) };
        }
        let mut parts = given.split(';').map(str::trim);
        if !parts.next().unwrap_or("").eq_ignore_ascii_case("application/x-protobuf") {
            return Err(IngestError::ContentType { found: quoted(given) });
        }
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            if !name.trim().eq_ignore_ascii_case("proto") {
                continue;
            }
            match value.trim().trim_matches('"') {
                "prometheus.WriteRequest" => {}
                "io.prometheus.write.v2.Request" => return Err(IngestError::RemoteWriteV2),
                _ => return Err(IngestError::ContentType { found: quoted(given) }),
            }
        }
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    format!("`{}`", shorten(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: Option<&str>, content_encoding: Option<&str>, version: Option<&str>) -> u16 {
        RequestHead { content_type, content_encoding, version }.check().map_or_else(|error| error.status(), |()| 200)
    }

    #[test]
    fn one_zero_is_taken_and_anything_else_is_415() {
        let snappy = Some("snappy");
        for (content_type, encoding, version, status) in [
            (Some("application/x-protobuf"), snappy, Some("0.1.0"), 200),
            (Some(CONTENT_TYPE), snappy, Some(VERSION), 200),
            (Some("application/x-protobuf; proto=prometheus.WriteRequest"), Some("Snappy"), None, 200),
            (Some("Application/X-Protobuf; charset=utf-8"), snappy, None, 200),
            (None, None, None, 200),
            (None, snappy, Some("2.0.0"), 415),
            (Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"), snappy, Some("2.0.0"), 415),
            (Some("application/x-protobuf;proto=io.prometheus.write.v9.Request"), snappy, None, 415),
            (Some("application/json"), snappy, None, 415),
            (Some("application/x-protobuf"), Some("gzip"), None, 415),
            (Some("application/x-protobuf"), Some("br"), None, 415),
        ] {
            assert_eq!(check(content_type, encoding, version), status, "{content_type:?} {encoding:?} {version:?}");
        }
    }

    #[test]
    fn the_refusal_of_2_0_names_what_to_fall_back_to() {
        let head = RequestHead {
            content_type: Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"),
            ..RequestHead::default()
        };
        let message = head.check().expect_err("2.0").to_string();
        assert!(message.contains("prometheus.WriteRequest") && message.contains("0.1.0"), "{message}");
    }
}

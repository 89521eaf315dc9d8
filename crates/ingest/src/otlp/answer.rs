//! What a sender is answered, in the encoding of its request.
//!
//! ```text
//!   ExportMetricsServiceResponse{partial_success = 1{rejected_data_points = 1, error_message = 2}}
//!   google.rpc.Status{code = 1, message = 2}
//! ```

use serde_json::json;

use crate::wire::{put_bytes, put_varint};

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpEncoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl OtlpEncoding {
    /// By the media type of a request; `None` for others.
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The media type of an answer.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// The answer to a request that was taken: empty, or with what was not taken and why.
    pub fn response(self, rejected: u64, message: &str) -> Vec<u8> {
        let is_partial = rejected > 0 || !message.is_empty();
        match self {
            Self::Json if is_partial => {
                let partial = json!({ "rejectedDataPoints": rejected.to_string(), "errorMessage": message });
                json!({ "partialSuccess": partial }).to_string().into_bytes()
            }
            Self::Json => b"{}".to_vec(),
            Self::Protobuf => {
                let (mut partial, mut out) = (Vec::new(), Vec::new());
                if rejected > 0 {
                    put_varint(&mut partial, 1 << 3);
                    put_varint(&mut partial, rejected);
                }
                put_bytes(&mut partial, 2, message.as_bytes());
                if is_partial {
                    put_bytes(&mut out, 1, &partial);
                }
                out
            }
        }
    }

    /// The answer to a request of which nothing was taken; `code` is one of gRPC's.
    pub fn status(self, code: u32, message: &str) -> Vec<u8> {
        match self {
            Self::Json => json!({ "code": code, "message": message }).to_string().into_bytes(),
            Self::Protobuf => {
                let mut out = Vec::new();
                put_varint(&mut out, 1 << 3);
                put_varint(&mut out, u64::from(code));
                put_bytes(&mut out, 2, message.as_bytes());
                out
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_the_protocol() {
        assert_eq!(OtlpEncoding::Protobuf.response(0, ""), b"");
        assert_eq!(OtlpEncoding::Protobuf.response(300, "no"), b"\x0a\x07\x08\xac\x02\x12\x02no");
        assert_eq!(OtlpEncoding::Json.response(0, ""), b"{}");
        let partial = br#"{"partialSuccess":{"errorMessage":"no","rejectedDataPoints":"3"}}"#;
        assert_eq!(OtlpEncoding::Json.response(3, "no"), partial);
        assert_eq!(OtlpEncoding::Protobuf.status(3, "no"), b"\x08\x03\x12\x02no");
        assert_eq!(OtlpEncoding::Json.status(3, "no"), br#"{"code":3,"message":"no"}"#);
    }
}

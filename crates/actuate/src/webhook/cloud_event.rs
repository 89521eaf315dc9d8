//! CloudEvents 1.0 in HTTP, binary and structured.

use serde_json::json;

use crate::error::ActuateError;
use crate::message::Message;

/// Header names and values of ours.
pub(super) type Headers = Vec<(&'static str, String)>;

/// Attributes as headers. Values are percent-encoded as the HTTP binding asks (§3.1.3.2): everything outside visible
/// ASCII, the double quote and the percent sign. A line break can therefore never reach a header.
pub(super) fn binary_headers(message: &Message) -> Headers {
    vec![
        ("Content-Type", "application/json".into()),
        ("ce-specversion", "1.0".into()),
        ("ce-id", encode(&message.id)),
        ("ce-source", encode(&message.source)),
        ("ce-type", encode(&message.event_type)),
        ("ce-subject", encode(&message.subject)),
        ("ce-time", message.time.to_string()),
    ]
}

/// Headers and body of one JSON object.
pub(super) fn structured(message: &Message) -> Result<(Headers, Vec<u8>), ActuateError> {
    let event = json!({
        "specversion": "1.0",
        "id": message.id,
        "source": message.source,
        "type": message.event_type,
        "subject": message.subject,
        "time": message.time.to_string(),
        "datacontenttype": "application/json",
        "data": message.payload,
    });
    let body = serde_json::to_vec(&event)
        .map_err(|_| ActuateError::Message { field: "payload", fault: "cannot be written as JSON" })?;
    Ok((vec![("Content-Type", "application/cloudevents+json".into())], body))
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_hold_visible_ascii_only() {
        assert_eq!(encode("Euro € \"100%\""), "Euro%20%E2%82%AC%20%22100%25%22");
        assert_eq!(encode("a\r\nX-Evil: 1"), "a%0D%0AX-Evil:%201");
        assert_eq!(encode("deployment/shop/checkout"), "deployment/shop/checkout");
    }
}

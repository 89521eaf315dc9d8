//! Attribute values as label texts: texts as they are, numbers and booleans written out, lists and maps as JSON.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;
use serde_json::value::RawValue;

use super::json_fields::AnyValue;

/// Longest list or map that is looked into; longer ones are too long for a label in any case.
pub(crate) const NESTED_BYTES_MAX: usize = 64 << 10;

/// Lists and maps inside each other, at most.
pub(crate) const DEPTH_MAX: usize = 16;

/// A label's text.
pub(crate) fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A number, or the text of one that JSON lacks. Whole numbers are written without a fraction.
pub(crate) fn double(value: f64) -> Value {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        return Value::from(value as i64);
    }
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

/// A value of OTLP's JSON as a label's text.
pub(crate) fn json_text(any: AnyValue<'_>) -> Cow<'_, str> {
    if let Some(text) = any.string_value.or(any.bytes_value) {
        return text.0;
    }
    let whole = any.int_value.map(|value| Value::from(value.0));
    let plain = any.bool_value.map(Value::Bool).or(whole).or(any.double_value.map(|value| double(value.0)));
    match (plain, any.array_value.or(any.kvlist_value)) {
        (Some(plain), _) => text(plain).into(),
        (None, Some(nested)) => nested_text(nested).into(),
        (None, None) => Cow::default(),
    }
}

fn nested_text(nested: &RawValue) -> String {
    if nested.get().len() > NESTED_BYTES_MAX {
        return nested.get().to_owned();
    }
    // What is not of the expected form is shown as it was sent.
    let Ok(value) = serde_json::from_str::<Value>(nested.get()) else { return nested.get().to_owned() };
    plain(&value, 0).unwrap_or(value).to_string()
}

/// `{"values": [{"intValue": "1"}]}` as `[1]`; `None` for another form.
fn plain(value: &Value, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let any = |value: &Value| {
        let (kind, inner) = value.as_object()?.iter().next()?;
        Some(match (kind.as_str(), inner) {
            ("intValue", Value::String(digits)) => Value::from(digits.parse::<i64>().ok()?),
            ("arrayValue" | "kvlistValue", inner) => plain(inner, depth + 1)?,
            (_, inner) => inner.clone(),
        })
    };
    let values = value.get("values")?.as_array()?;
    if values.iter().all(|item| item.get("key").is_some()) && !values.is_empty() {
        let pair = |item: &Value| Some((item["key"].as_str()?.to_owned(), any(&item["value"]).unwrap_or_default()));
        return Some(Value::Object(values.iter().map(pair).collect::<Option<_>>()?));
    }
    Some(Value::Array(values.iter().map(|item| any(item).unwrap_or_default()).collect()))
}

/// Lower-case hexadecimal, as trace identifiers are shown.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Base64 with padding (RFC 4648, §4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = [0, 1, 2].map(|i| chunk.get(i).copied().unwrap_or(0));
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        for i in 0..4 {
            let is_padding = i > chunk.len();
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if is_padding { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_labels_want_them() {
        for (value, wanted) in [
            (json!("a b"), "a b"),
            (json!(true), "true"),
            (json!(-7), "-7"),
            (double(2.0), "2"),
            (double(0.25), "0.25"),
            (double(f64::INFINITY), "inf"),
            (json!(["a", 1]), "[\"a\",1]"),
            (json!({"k": null}), "{\"k\":null}"),
            (Value::Null, ""),
        ] {
            assert_eq!(text(value), wanted);
        }
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, wanted) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), wanted);
        }
        assert_eq!(hex(&[0, 0xab, 0x0f]), "00ab0f");
    }
}

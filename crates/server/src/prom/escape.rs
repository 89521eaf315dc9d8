//! Names in paths: a label name that the classic charset cannot hold travels as `U__…`, where `__` stands for `_` and
//! `_<hex>_` for a code point.

/// The name behind a path segment. A segment without the mark, or one that does not decode, is the name itself.
pub(crate) fn unescape_name(segment: &str) -> String {
    segment.strip_prefix("U__").and_then(decode).unwrap_or_else(|| segment.to_owned())
}

fn decode(text: &str) -> Option<String> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let end = rest.find('_')?;
        // Six digits hold every code point; more cannot be one.
        let digits = rest.get(..end).filter(|digits| !digits.is_empty() && digits.len() <= 6)?;
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_decode_and_others_stay() {
        for (segment, name) in [
            ("job", "job"),
            ("U__http_2e_status", "http.status"),
            ("U__a__b", "a_b"),
            ("U___1f600_", "😀"),
            ("U__plain", "plain"),
            ("U__", ""),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__open_2e", "U__open_2e"),
            ("U__surrogate_d800_", "U__surrogate_d800_"),
            ("U__x_1234567_", "U__x_1234567_"),
        ] {
            assert_eq!(unescape_name(segment), name, "{segment}");
        }
    }
}

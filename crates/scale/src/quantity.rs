//! Kubernetes quantities: `420m` cores, `1.5Gi` bytes.

/// Cores as `420m`, or `2` for whole cores; never below `1m` for a positive amount.
pub fn format_cpu(cores: f64) -> String {
    if !cores.is_finite() || cores <= 0.0 {
        return "0".into();
    }
    let milli = (cores * 1000.0 - 1e-6).ceil().max(1.0) as u64;
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// Bytes in the largest binary unit that shows them exactly with at most three digits behind the point, else in Mi or
/// bytes: `1536Mi`, `4Gi`, `1Ti`.
pub fn format_bytes(bytes: f64) -> String {
    if !bytes.is_finite() || bytes <= 0.0 {
        return "0".into();
    }
    let whole = (bytes - 1e-3).ceil() as u64;
    for (shift, unit) in [(50, "Pi"), (40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
        if whole >= 1 << shift && whole.is_multiple_of(1 << shift) {
            return format!("{}{unit}", whole >> shift);
        }
    }
    whole.to_string()
}

/// Bytes for people: two significant places in the unit that fits, `1.3Gi`, `820Mi`.
pub(crate) fn human_bytes(bytes: f64) -> String {
    for (shift, unit) in [(50, "Pi"), (40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
        let scaled = bytes / (1_u64 << shift) as f64;
        if scaled >= 1.0 {
            let text = if scaled < 10.0 { format!("{scaled:.1}") } else { format!("{scaled:.0}") };
            return format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text));
        }
    }
    format!("{bytes:.0}")
}

/// Cores for people: `380m` below one, `1.9` above.
pub(crate) fn human_cpu(cores: f64) -> String {
    if cores < 1.0 { format!("{:.0}m", cores * 1000.0) } else { format!("{cores:.1} cores") }
}

/// Parses a Kubernetes quantity into base units: `250m` → 0.25, `1.5Gi` → 1 610 612 736, `2` → 2, `1e3` → 1000.
/// `None` for anything else, negative amounts included.
pub fn parse_quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (digits, factor) =
        UNITS.iter().find_map(|(unit, factor)| text.strip_suffix(unit).map(|d| (d, *factor))).unwrap_or((text, 1.0));
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let number: f64 =
        digits.parse().ok().filter(|_| plain && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.'))?;
    let value = number * factor;
    (value.is_finite() && value >= 0.0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_round_trip() {
        for (text, value) in [("420m", 0.42), ("2", 2.0), ("16Mi", 16_777_216.0), ("1536Mi", 1_610_612_736.0)] {
            assert_eq!(parse_quantity(text), Some(value), "{text}");
        }
        assert_eq!(format_cpu(0.42), "420m");
        assert_eq!(format_cpu(2.0), "2");
        assert_eq!(format_cpu(0.0001), "1m");
        assert_eq!(format_bytes(1_610_612_736.0), "1536Mi");
        assert_eq!(format_bytes(4.0 * 1_073_741_824.0), "4Gi");
        assert_eq!(format_bytes(f64::NAN), "0");
        assert_eq!(human_bytes(1_395_864_371.0), "1.3Gi");
        assert_eq!(parse_quantity("1e3"), Some(1000.0));
        assert_eq!(parse_quantity("1E"), Some(1e18));
    }

    #[test]
    fn other_texts_are_not_quantities() {
        for text in ["", "m", "-1", "1 Gi", "inf", "NaN", "1x", "+5", "1e999"] {
            assert_eq!(parse_quantity(text), None, "{text}");
        }
    }
}

//! Signatures: HMAC-SHA-256 (RFC 2104) over `timestamp.body`.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use series::{Millis, Timestamp};
use sha2::{Digest, Sha256};

const BLOCK: usize = 64;

/// A text that never shows: `Debug`, `Display` and JSON print `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one request that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str("***")
    }
}

/// `sha256=` and 64 hex digits over `seconds.body`.
pub(super) fn signature(secret: &Secret, seconds: i64, body: &[u8]) -> String {
    let stamp = seconds.to_string();
    let mac = hmac(secret.0.as_bytes(), &[stamp.as_bytes(), b".", body]);
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// What a receiver checks: the signature fits and the stamp (`X-Timestamp`, Unix seconds) is within `skew` of `now`
/// (five minutes are usual). Compares in constant time.
pub fn verify_signature(
    secret: &Secret,
    timestamp: &str,
    signature_header: &str,
    body: &[u8],
    now: Timestamp,
    skew: Millis,
) -> bool {
    let Ok(seconds) = timestamp.parse::<i64>() else {
        return false;
    };
    let away = now.0.abs_diff(seconds.saturating_mul(1000));
    let expected = signature(secret, seconds, body);
    let same_length = expected.len() == signature_header.len();
    let differing = expected.bytes().zip(signature_header.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    away <= skew.0.unsigned_abs() && same_length && differing == 0
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new();
    inner.update(block.map(|byte| byte ^ 0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new();
    outer.update(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(mac: [u8; 32]) -> String {
        mac.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4231, cases 1, 2, 3 and 6.
    #[test]
    fn the_published_vectors_hold() {
        let cases: [(&[u8], &[u8], &str); 4] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, text, expected) in cases {
            assert_eq!(hex(hmac(key, &[text])), expected);
        }
    }

    #[test]
    fn a_receiver_accepts_only_what_was_signed_now() {
        let (secret, now) = (Secret::new("0123456789abcdef"), Timestamp(1_795_244_400_000));
        let made = signature(&secret, 1_795_244_400, b"{}");
        let skew = Millis::from_mins(5);
        let check = |stamp: &str, made: &str, body: &[u8], now| verify_signature(&secret, stamp, made, body, now, skew);
        assert!(check("1795244400", &made, b"{}", now));
        assert!(!check("1795244400", &made, b"{ }", now));
        assert!(!check("1795244401", &made, b"{}", now));
        assert!(!check("1795244400", &made, b"{}", now + Millis::from_mins(6)));
        assert!(!check("1795244400", &made[..20], b"{}", now));
        assert!(!check("soon", &made, b"{}", now));
    }

    #[test]
    fn a_secret_does_not_show() {
        let secret = Secret::new("hunter2hunter2hunter2");
        assert_eq!(format!("{secret} {secret:?} {}", serde_json::to_string(&secret).expect("text")), "*** *** \"***\"");
    }
}

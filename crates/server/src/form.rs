//! Parameters of a request: the query string and, on POST, a form body; repeated names are kept (`match[]`).

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, header};

use crate::body::{self, BodyLimit};
use crate::fault::Fault;
use crate::state::App;

/// Longest form body: long selectors fit, floods do not.
const FORM_BYTES_MAX: usize = 1 << 20;
/// Most parameters of one request.
const PARAMS_MAX: usize = 1000;

/// Decoded parameters; those of the body come first, so they win over the query string.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// From `a=b&c=d`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let mut params = Self::default();
        params.extend(text)?;
        Ok(params)
    }

    /// The first value of `name` that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A whole number; `None` when absent.
    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, Fault> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let fault = || Fault::bad_request(format!("parameter `{name}`: `{text}` is not a whole number from 0 on"));
        text.parse().map(Some).map_err(|_| fault())
    }

    /// True or false; false when absent.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Fault::bad_request(format!("parameter `{name}`: `{other}` is neither true nor false"))),
        }
    }

    fn extend(&mut self, text: &str) -> Result<(), Fault> {
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if self.0.len() == PARAMS_MAX {
                return Err(Fault::bad_request(format!("more than {PARAMS_MAX} parameters")));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.0.push((decode(name)?, decode(value)?));
        }
        Ok(())
    }
}

impl FromRequest<App> for Params {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &App) -> Result<Self, Fault> {
        let (head, body) = request.into_parts();
        let mut params = Self::default();
        if head.method == Method::POST && is_form(&head.headers) {
            let limit = BodyLimit { bytes_max: FORM_BYTES_MAX, timeout: app.parts.settings.body_timeout };
            let bytes = body::read(body, 0, limit).await?;
            let text = std::str::from_utf8(&bytes).map_err(|_| Fault::bad_request("form body is not UTF-8"))?;
            params.extend(text)?;
        }
        params.extend(head.uri.query().unwrap_or(""))?;
        Ok(params)
    }
}

/// The media type of a request without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    text.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers) == "application/x-www-form-urlencoded"
}

/// Percent and plus decoding; what is not UTF-8 afterwards is refused.
fn decode(text: &str) -> Result<String, Fault> {
    let fault = || Fault::bad_request(format!("parameter text `{text}` is not percent-encoded UTF-8"));
    let (bytes, mut at) = (text.as_bytes(), 0);
    let mut out = Vec::with_capacity(bytes.len());
    while at < bytes.len() {
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |i: usize| bytes.get(i).and_then(|&b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else { return Err(fault()) };
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_plus_and_percent_are_understood() {
        let params = Params::parse("match[]=up&match%5B%5D=a%7Bb%3D%22c+d%22%7D&x=&x=1&flag").expect("valid");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["up", "a{b=\"c d\"}"]);
        assert_eq!(params.get("x"), Some("1"));
        assert_eq!(params.number("x"), Ok(Some(1)));
        assert_eq!(params.get("flag"), None);
    }

    #[test]
    fn broken_encodings_are_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%ff", "%80=1"] {
            assert!(Params::parse(text).is_err(), "{text}");
        }
        assert!(Params::parse(&"a=1&".repeat(PARAMS_MAX + 1)).is_err());
        assert!(Params::parse("n=-1").expect("valid").number("n").is_err());
    }
}

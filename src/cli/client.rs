//! Talking to a running server.

use std::time::Duration;

use serde_json::Value;

use super::CliError;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Largest answer taken into memory.
const ANSWER_BYTES_MAX: u64 = 2 << 30;

/// A running server.
pub(crate) struct Client {
    base: String,
    agent: ureq::Agent,
}

impl Client {
    /// A client of the server at `url`.
    pub(crate) fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .build();
        let base = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        Self { base: base.trim_end_matches('/').to_owned(), agent: config.into() }
    }

    /// Gets a path.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>, CliError> {
        self.answer(self.agent.get(format!("{}{path}", self.base)).call())
    }

    /// Posts a form.
    pub(crate) fn form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Vec<u8>, CliError> {
        self.answer(self.agent.post(format!("{}{path}", self.base)).send_form(fields.iter().copied()))
    }

    /// Posts a body with headers.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Vec<u8>, CliError> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request.send(body))
    }

    fn answer(&self, sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Vec<u8>, CliError> {
        let unreachable =
            |err: &dyn std::fmt::Display| CliError::Unreachable { url: self.base.clone(), why: err.to_string() };
        let mut response = sent.map_err(|err| unreachable(&err))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|err| unreachable(&err))?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        Err(CliError::Answered { url: self.base.clone(), status, message: message_of(&body) })
    }
}

/// The message inside our own or Prometheus' error envelope, or the text as it is.
fn message_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    let Ok(envelope) = serde_json::from_str::<Value>(&text) else { return text.trim().to_owned() };
    let message = envelope["error"]["message"].as_str().or_else(|| envelope["error"].as_str());
    let hint = envelope["error"]["hint"].as_str().map(|hint| format!("; {hint}")).unwrap_or_default();
    message.map_or(text, |message| format!("{message}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_of_both_envelopes() {
        assert_eq!(message_of(br#"{"error":{"code":"x","message":"no","hint":"try"}}"#), "no; try");
        assert_eq!(message_of(br#"{"status":"error","error":"bad"}"#), "bad");
        assert_eq!(message_of(b"plain\n"), "plain");
    }
}

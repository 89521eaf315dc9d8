//! Recommendations as CloudEvents over HTTP.
//!
//! One POST a message: `Idempotency-Key`, an optional HMAC over `timestamp.body`, no redirects, no proxy, answers up to
//! 1 MiB, at most ten seconds. 2xx is accepted; 429, 5xx and silence may be tried again with the same key; everything
//! else is final. The receiver deduplicates by key or by (source, id).

mod cloud_event;
mod retry_after;
mod sign;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use series::{Millis, Timestamp};
use ureq::http::{HeaderName, HeaderValue, Response, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use crate::actuator::{Actuator, Effect, Plan, Receipt, Verified};
use crate::egress::{Destination, Egress, EgressError, Endpoint, Lookup, SystemLookup};
use crate::error::ActuateError;
use crate::message::Message;
pub use sign::{Secret, verify_signature};

/// Largest answer that is read, bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Longest part of a refusal that is kept for the log, characters.
const EXCERPT: usize = 200;

/// Longest time for everything, look-up included.
const LONGEST: Millis = Millis::from_secs(10);

/// Headers that we set, or that would change how a request is framed.
const RESERVED: [&str; 13] = [
    "host",
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "idempotency-key",
    "x-signature",
    "x-timestamp",
];

/// How an event is laid out in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentMode {
    /// Attributes in `ce-` headers, the payload alone in the body.
    #[default]
    Binary,
    /// Everything in one JSON object, `application/cloudevents+json`.
    Structured,
}

/// Where to, and how.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Name in logs and metrics.
    pub name: String,
    /// `https://…`; plain http only where `egress` allows it by host.
    pub url: String,
    /// Layout.
    pub mode: ContentMode,
    /// Signs each request when given.
    pub secret: Option<Secret>,
    /// Further headers, for instance `Authorization`; shown as `***` in plans.
    pub headers: Vec<(String, Secret)>,
    /// For connecting and for the answer, each; at most ten seconds.
    pub timeout: Millis,
    /// Whether the receiver acts on what it is sent; a receiver that only tells people does not.
    pub effect: Effect,
    /// Where requests may go.
    pub egress: Egress,
}

impl WebhookSettings {
    /// Binary mode, unsigned, five seconds, a notification, public addresses only.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            mode: ContentMode::Binary,
            secret: None,
            headers: Vec::new(),
            timeout: Millis::from_secs(5),
            effect: Effect::Notify,
            egress: Egress::default(),
        }
    }
}

/// Posts messages to one URL.
#[derive(Debug)]
pub struct WebhookActuator {
    settings: WebhookSettings,
    uri: Uri,
    endpoint: Endpoint,
    headers: Vec<(HeaderName, HeaderValue)>,
    lookup: Arc<dyn Lookup>,
}

/// A request before it is sent.
struct Request {
    headers: cloud_event::Headers,
    body: Vec<u8>,
}

impl WebhookActuator {
    /// Checks URL, headers and timeout; resolves nothing yet.
    ///
    /// # Errors
    /// [`ActuateError::Settings`] or [`ActuateError::Egress`] for a URL that could never be reached.
    pub fn new(settings: WebhookSettings) -> Result<Self, ActuateError> {
        Self::with_lookup(settings, Arc::new(SystemLookup))
    }

    /// The same with another resolver.
    ///
    /// # Errors
    /// As [`WebhookActuator::new`].
    pub fn with_lookup(settings: WebhookSettings, lookup: Arc<dyn Lookup>) -> Result<Self, ActuateError> {
        let fail = |field, fault: String| ActuateError::Settings { actuator: settings.name.clone(), field, fault };
        if settings.timeout.0 <= 0 || settings.timeout > LONGEST {
            return Err(fail("timeout", format!("is {}, it must be above 0s and at most {LONGEST}", settings.timeout)));
        }
        if settings.secret.as_ref().is_some_and(|secret| secret.reveal().len() < 16) {
            return Err(fail("secret", "is shorter than 16 bytes".into()));
        }
        let uri: Uri = settings.url.parse().map_err(|_| EgressError::Url { fault: "it is not a URL" })?;
        let endpoint = Endpoint::of(&uri)?;
        let headers =
            settings.headers.iter().map(|(name, value)| header(name, value).map_err(|fault| fail("headers", fault)));
        let headers = headers.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { uri, endpoint, headers, lookup, settings })
    }

    fn request(&self, message: &Message, now: Timestamp) -> Result<Request, ActuateError> {
        let payload = message.body()?;
        let (mut headers, body) = match self.settings.mode {
            ContentMode::Binary => (cloud_event::binary_headers(message), payload),
            ContentMode::Structured => cloud_event::structured(message)?,
        };
        headers.push(("Idempotency-Key", message.idempotency_key.clone()));
        if let Some(secret) = &self.settings.secret {
            let seconds = now.0.div_euclid(1000);
            headers.push(("X-Timestamp", seconds.to_string()));
            headers.push(("X-Signature", sign::signature(secret, seconds, &body)));
        }
        Ok(Request { headers, body })
    }

    fn send(&self, request: Request) -> Result<Response<Body>, ActuateError> {
        let started = Instant::now();
        let destination = self.settings.egress.admit(&self.endpoint, &*self.lookup, self.timeout())?;
        let left = Duration::from_millis(LONGEST.0.unsigned_abs()).saturating_sub(started.elapsed());
        let agent = self.agent(&destination, left);
        let mut call = agent.post(&self.uri);
        for (name, value) in request.headers {
            call = call.header(name, value);
        }
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        let origin = destination.origin;
        call.send(&request.body)
            .map_err(|fault| ActuateError::Transport { destination: origin, source: Box::new(fault) })
    }

    /// A fresh agent a request: a kept connection would outlive the check of its address.
    fn agent(&self, destination: &Destination, left: Duration) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("foretide/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(0)
            .max_response_header_size(64 << 10)
            .timeout_connect(Some(self.timeout()))
            .timeout_recv_response(Some(self.timeout()))
            .timeout_global(Some(left.max(Duration::from_millis(1))))
            .build();
        Agent::with_parts(config, DefaultConnector::default(), Pinned(destination.addresses.clone()))
    }

    const fn timeout(&self) -> Duration {
        Duration::from_millis(self.settings.timeout.0.unsigned_abs())
    }

    fn judge(&self, mut answer: Response<Body>, now: Timestamp) -> Result<u16, ActuateError> {
        let (status, destination) = (answer.status().as_u16(), self.endpoint.origin());
        match status {
            200..=299 => Ok(status),
            429 | 500..=599 => {
                let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
                let retry_after = asked.and_then(|text| retry_after::parse(text, now));
                Err(ActuateError::Unavailable { destination, status, retry_after })
            }
            300..=399 => {
                let excerpt = "; redirects are not followed, configure the final URL".to_owned();
                Err(ActuateError::Refused { destination, status, excerpt })
            }
            _ => Err(ActuateError::Refused { destination, status, excerpt: excerpt(answer.body_mut()) }),
        }
    }
}

/// Answers what was resolved and checked before; never asks again.
#[derive(Debug)]
struct Pinned(Vec<std::net::SocketAddr>);

impl Resolver for Pinned {
    fn resolve(&self, _: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        for address in self.0.iter().take(16) {
            found.push(*address);
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

impl Actuator for WebhookActuator {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn effect(&self) -> Effect {
        self.settings.effect
    }

    /// One receiver fails for all subjects together.
    fn endpoint(&self, _: &Message) -> String {
        self.endpoint.origin()
    }

    /// The request as it would be sent, without a signature: that depends on when.
    fn plan(&self, message: &Message) -> Result<Plan, ActuateError> {
        let request = self.request(message, message.time)?;
        let mut headers: Vec<(String, String)> = request
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), if name == "X-Signature" { "***".into() } else { value }))
            .collect();
        headers.extend(self.headers.iter().map(|(name, _)| (name.to_string(), "***".to_owned())));
        Ok(Plan {
            actuator: self.settings.name.clone(),
            destination: self.endpoint.origin(),
            headers,
            body: String::from_utf8_lossy(&request.body).into_owned(),
            changes: true,
        })
    }

    fn apply(&self, message: &Message, now: Timestamp) -> Result<Receipt, ActuateError> {
        let answer = self.send(self.request(message, now)?)?;
        let status = self.judge(answer, now)?;
        Ok(Receipt {
            idempotency_key: message.idempotency_key.clone(),
            repeated: false,
            generation: None,
            status: Some(status),
            applied_at: now,
        })
    }

    /// A webhook has no state to look at.
    fn verify(&self, message: &Message) -> Result<Verified, ActuateError> {
        message.body().map(|_| Verified::Unknowable)
    }
}

fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), String> {
    let shown: String = name.chars().take(64).collect();
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("ce-") {
        return Err(format!("`{shown}` is set by us"));
    }
    let name = HeaderName::try_from(name).map_err(|_| format!("`{}` is not a header name", shown.escape_debug()))?;
    let printable = value.reveal().bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let value = HeaderValue::try_from(value.reveal()).ok().filter(|_| printable);
    let mut value = value.ok_or_else(|| format!("the value of `{shown}` has characters outside printable ASCII"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The printable beginning of a refusal. An answer that is too long, too slow or broken off only loses its excerpt: the
/// status has decided already.
fn excerpt(body: &mut Body) -> String {
    let read = body.with_config().limit(MAX_ANSWER).read_to_vec().unwrap_or_default();
    let text: String = String::from_utf8_lossy(&read[..read.len().min(4 * EXCERPT)])
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(EXCERPT)
        .collect();
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
}

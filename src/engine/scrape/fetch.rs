//! One GET within bounds: resolved once, every address checked, connected to a checked one, no redirects, no proxy.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actuate::{Lookup, Secret};
use ingest::{ContentEncoding, Limits, TextFormat};
use ureq::Agent;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::address::Networks;

const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const USER_AGENT: &str = concat!("foretide/", env!("CARGO_PKG_VERSION"));
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Where to and as whom.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) uri: Uri,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) authorization: Option<Secret>,
    pub(super) timeout: Duration,
    pub(super) limits: Limits,
    pub(super) networks: Arc<Networks>,
    pub(super) lookup: Arc<dyn Lookup>,
}

/// An answer.
pub(super) struct Page {
    pub(super) text: String,
    pub(super) format: TextFormat,
}

impl Source {
    /// The page, or in a sentence why there is none.
    pub(super) fn fetch(&self) -> Result<Page, String> {
        let started = Instant::now();
        let addresses = self.addresses()?;
        let left = self.timeout.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
        let mut request = self
            .agent(addresses, left)
            .get(&self.uri)
            .header("accept", ACCEPT)
            .header("accept-encoding", "gzip")
            .header("x-prometheus-scrape-timeout-seconds", self.timeout.as_secs_f64().to_string());
        if let Some(secret) = &self.authorization {
            request = request.header("authorization", secret.reveal());
        }
        let mut answer = request.call().map_err(|err| self.sentence(&err))?;
        if answer.status().as_u16() != 200 {
            return Err(format!("answered {}", answer.status().as_u16()));
        }
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let format = TextFormat::of(header("content-type").as_deref());
        let encoding = ContentEncoding::of(header("content-encoding").as_deref()).map_err(|err| err.to_string())?;
        let body = answer.body_mut().with_config().limit(self.limits.body_bytes as u64).read_to_vec();
        let body = body.map_err(|err| self.sentence(&err))?;
        let plain = ingest::inflate(encoding, &body, &self.limits).map_err(|err| err.to_string())?;
        let text = String::from_utf8(plain.into_owned());
        let text = text.map_err(|err| format!("not UTF-8 at byte {}", err.utf8_error().valid_up_to()))?;
        Ok(Page { text, format })
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let found = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = self.lookup.lookup(&self.host, self.timeout);
                found.map_err(|err| format!("look up {}: {err}", self.host))?
            }
        };
        if found.is_empty() {
            return Err(format!("look up {}: no address", self.host));
        }
        // One forbidden address refuses the name: a mixed answer is how rebinding starts.
        match found.iter().find_map(|address| self.networks.refusal(*address)) {
            Some(why) => Err(why),
            None => Ok(found.into_iter().take(ADDRESSES_MAX).map(|ip| SocketAddr::new(ip, self.port)).collect()),
        }
    }

    /// A fresh agent a scrape: a kept connection would outlive the check of its address.
    fn agent(&self, addresses: Vec<SocketAddr>, left: Duration) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(USER_AGENT)
            .max_idle_connections(0)
            .max_response_header_size(64 << 10)
            .timeout_global(Some(left))
            .build();
        Agent::with_parts(config, DefaultConnector::default(), Checked(addresses))
    }

    fn sentence(&self, err: &ureq::Error) -> String {
        match err {
            ureq::Error::Timeout(_) => format!("no answer within {} s", self.timeout.as_secs_f64()),
            ureq::Error::BodyExceedsLimit(limit) => format!("the answer is larger than {limit} bytes"),
            err => err.to_string(),
        }
    }
}

/// Answers what was resolved and checked before; never asks again.
#[derive(Debug)]
struct Checked(Vec<SocketAddr>);

impl Resolver for Checked {
    fn resolve(&self, _: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        self.0.iter().take(ADDRESSES_MAX).for_each(|address| found.push(*address));
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

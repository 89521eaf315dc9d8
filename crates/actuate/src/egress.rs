//! Where requests may go: resolve once, check every address, connect to a checked one.
//!
//! A name that answers with one forbidden address is refused altogether: a mixed answer is how rebinding starts. What
//! is checked is what is connected to, there is no second look-up. Allowed exceptions are written out:
//! `10.1.0.0/16` (addresses), `hooks.internal` (a name whose private or loopback addresses are fine, https only) or
//! `http://hooks.internal` (the same, also without TLS). Link-local, metadata, multicast and reserved addresses need a
//! CIDR of their own; a name never opens them.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

use ureq::http::Uri;

/// Why a destination may not be reached.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Not a URL of ours.
    #[error("url: {fault}")]
    Url {
        /// What is wrong; the URL itself is not repeated, it may hold a secret.
        fault: &'static str,
    },
    /// Without TLS.
    #[error("`{host}`: plain http is refused; use https, or allow `http://{host}` in egress.allow")]
    Plaintext {
        /// Host name or address.
        host: String,
    },
    /// An address that is not on the public internet.
    #[error("`{host}` is {address}, {scope}; add it to egress.allow if that is meant")]
    Address {
        /// Host name or address.
        host: String,
        /// The address.
        address: IpAddr,
        /// What kind of address it is.
        scope: &'static str,
    },
    /// An entry of the allow list is not readable.
    #[error("egress.allow entry `{entry}`: {fault}")]
    Allow {
        /// The entry.
        entry: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// The name was not found.
    #[error("look up `{host}`: {source}")]
    Lookup {
        /// Host name.
        host: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

/// Turns names into addresses. A trait, so that tests can answer as an attacker would.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// All addresses of `host`, within `timeout`.
    ///
    /// # Errors
    /// Whatever the resolver says.
    fn lookup(&self, host: &str, timeout: Duration) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str, timeout: Duration) -> io::Result<Vec<IpAddr>> {
        let (answer, waiting) = mpsc::sync_channel(1);
        let name = host.to_owned();
        // The system call cannot be cancelled; the thread ends with it.
        std::thread::Builder::new().name("lookup".into()).spawn(move || {
            let found = (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|at| at.ip()).collect());
            let _ = answer.send(found);
        })?;
        waiting.recv_timeout(timeout).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The rules of going out. The default allows public addresses over https and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    networks: Vec<Network>,
    hosts: Vec<AllowedHost>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct AllowedHost {
    name: String,
    plaintext: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    base: IpAddr,
    prefix: u32,
}

/// A destination that passed: only these addresses are connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// `https://host:port`, for logs.
    pub(crate) origin: String,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// The checked parts of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

impl Endpoint {
    /// Reads `scheme://host[:port]/…`. Refuses user info, other schemes, port 0 and addresses in spellings that only
    /// some resolvers read (octal, hexadecimal, shortened, a trailing dot).
    pub(crate) fn of(uri: &Uri) -> Result<Self, EgressError> {
        let fail = |fault| EgressError::Url { fault };
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(fail("the scheme must be https (or http where allowed)")),
        };
        let authority = uri.authority().ok_or_else(|| fail("a host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(fail("user names and passwords in a URL are refused; use a header"));
        }
        let rest = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => Some(if is_tls { 443 } else { 80 }),
            None => None,
            Some(digits) => digits.parse().ok().filter(|port| *port > 0),
        };
        let port = port.ok_or_else(|| fail("the port is not a number from 1 to 65535"))?;
        let host = authority.host().to_ascii_lowercase();
        check_host(&host).map_err(fail)?;
        Ok(Self { host, port, is_tls })
    }

    /// `https://host:port`.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}:{}", if self.is_tls { "https" } else { "http" }, self.host, self.port)
    }

    fn literal(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => self.host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address.map(|_| ()).ok_or("the IPv6 address is not readable (zones are refused)");
    }
    if host.is_empty() || host.len() > 253 {
        return Err("the host must have 1 to 253 characters");
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        return Err("the host has characters that no host name has");
    }
    if host.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err("the host has an empty or overlong part");
    }
    // As in the WHATWG URL standard: a last part that is a number makes the whole an address, which must then be
    // written the one way that everybody reads alike.
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_number && host.parse::<Ipv4Addr>().is_err() {
        return Err("the address must be written as four decimal numbers without leading zeros");
    }
    Ok(())
}

impl Egress {
    /// Reads an allow list: addresses, CIDRs, host names, host names with `http://`.
    ///
    /// # Errors
    /// [`EgressError::Allow`] names the entry.
    pub fn parse<S: AsRef<str>>(allow: &[S]) -> Result<Self, EgressError> {
        let mut egress = Self::default();
        for entry in allow {
            let entry = entry.as_ref().trim();
            let fail = |fault| EgressError::Allow { entry: entry.chars().take(120).collect(), fault };
            if let Some(network) = Network::parse(entry).map_err(fail)? {
                egress.networks.push(network);
                continue;
            }
            let (name, plaintext) = match entry.strip_prefix("http://") {
                Some(name) => (name, true),
                None => (entry.strip_prefix("https://").unwrap_or(entry), false),
            };
            let name = name.to_ascii_lowercase();
            check_host(&name).map_err(fail)?;
            egress.hosts.push(AllowedHost { name, plaintext });
        }
        Ok(egress)
    }

    /// Resolves and checks; the result is what may be connected to.
    pub(crate) fn admit(
        &self,
        endpoint: &Endpoint,
        lookup: &dyn Lookup,
        timeout: Duration,
    ) -> Result<Destination, EgressError> {
        let entry = self.hosts.iter().filter(|allowed| allowed.name == endpoint.host);
        let (named, plaintext) = entry.fold((false, false), |(_, plain), allowed| (true, plain || allowed.plaintext));
        if !endpoint.is_tls && !plaintext {
            return Err(EgressError::Plaintext { host: endpoint.host.clone() });
        }
        let found = match endpoint.literal() {
            Some(address) => vec![address],
            None => lookup
                .lookup(&endpoint.host, timeout)
                .map_err(|source| EgressError::Lookup { host: endpoint.host.clone(), source })?,
        };
        if found.is_empty() {
            return Err(EgressError::Lookup { host: endpoint.host.clone(), source: io::ErrorKind::NotFound.into() });
        }
        for &address in &found {
            if let Some(scope) = forbidden(address)
                && !self.allows(address, named, scope)
            {
                return Err(EgressError::Address { host: endpoint.host.clone(), address, scope });
            }
        }
        let addresses = found.into_iter().take(16).map(|address| SocketAddr::new(address, endpoint.port)).collect();
        Ok(Destination { origin: endpoint.origin(), addresses })
    }

    fn allows(&self, address: IpAddr, named: bool, scope: &str) -> bool {
        (named && matches!(scope, LOOPBACK | PRIVATE | SHARED | UNIQUE_LOCAL))
            || self.networks.iter().any(|network| network.contains(address))
    }
}

impl Network {
    /// `None` when the entry is not an address at all.
    fn parse(entry: &str) -> Result<Option<Self>, &'static str> {
        let (base, prefix) = match entry.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (entry, None),
        };
        let Ok(base) = base.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() else {
            return Ok(None);
        };
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(prefix) => prefix.parse::<u32>().map_err(|_| "the prefix length is not a number")?,
        };
        if prefix > longest {
            return Err("the prefix length is too long for the address");
        }
        Ok(Some(Self { base, prefix }))
    }

    fn contains(self, address: IpAddr) -> bool {
        let under = |a: u128, b: u128, bits: u32| {
            let free = bits - self.prefix;
            free >= 128 || (a >> free) == (b >> free)
        };
        match (self.base, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => under(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => under(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

const LOOPBACK: &str = "a loopback address";
const PRIVATE: &str = "a private address";
const SHARED: &str = "an address of a carrier's own network";
const UNIQUE_LOCAL: &str = "a unique local address";

/// Why an address is not on the public internet; `None` when it is. By the IANA special-purpose registries (RFC 6890
/// and successors); IPv4 inside IPv6 (mapped, compatible, 6to4, Teredo) is refused as such, NAT64 is looked into.
pub fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("an address of this network"),
        [127, ..] => Some(LOOPBACK),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(PRIVATE),
        [100, 64..=127, ..] => Some(SHARED),
        [169, 254, ..] => Some("a link-local address (metadata services live there)"),
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => Some("a reserved address"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("a documentation address"),
        // 168.63.129.16 answers as the host's agent in every Azure network.
        [168, 63, 129, 16] => Some("a metadata service"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("the unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(LOOPBACK),
        [0, 0, 0, 0, 0, 0xffff, ..] => Some("an IPv4-mapped address"),
        [0, 0, 0, 0, ..] => Some("an IPv4-compatible or reserved address"),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            forbidden_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        [0xfc00..=0xfdff, ..] => Some(UNIQUE_LOCAL),
        [0xfe80..=0xfebf, ..] => Some("a link-local address (metadata services live there)"),
        [0xfec0..=0xfeff, ..] => Some("a site-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        [0x2002, ..] => Some("a 6to4 address"),
        [0x2001, 0x0000..=0x01ff, ..] => Some("a Teredo or protocol address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0x0000..=0x0fff, ..] => Some("a documentation address"),
        // ISATAP hides an IPv4 address in the interface identifier.
        [.., 0x0000 | 0x0200, 0x5efe, _, _] => Some("an ISATAP address"),
        // Only 2000::/3 has been given out as global unicast.
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

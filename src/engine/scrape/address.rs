//! Which addresses may be scraped: those of the allow-list, and never one of a metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that answer with credentials in some cloud; no list opens them.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// An allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Networks(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    base: IpAddr,
    prefix: u32,
}

impl Networks {
    /// From addresses and CIDRs; the error names the entry.
    pub(crate) fn parse(entries: &[String]) -> Result<Self, String> {
        entries.iter().map(|entry| Network::parse(entry)).collect::<Result<_, _>>().map(Self)
    }

    /// Why an address may not be scraped; `None` when it may.
    pub(crate) fn refusal(&self, address: IpAddr) -> Option<String> {
        let address = address.to_canonical();
        if let Some(what) = never(address) {
            return Some(format!("{address} is {what}, which is never scraped"));
        }
        let allowed = self.0.iter().any(|network| network.contains(address));
        (!allowed).then(|| format!("{address} is in no network of scrape.allow"))
    }
}

fn never(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("a metadata service");
    }
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => Some("a link-local address (metadata services live there)"),
        IpAddr::V4(v4) if v4.is_unspecified() || v4.octets()[0] == 0 => Some("an address of this network"),
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Some("no address of one host"),
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Some("the unspecified address"),
            [0xfe80..=0xfebf, ..] => Some("a link-local address (metadata services live there)"),
            [0xff00..=0xffff, ..] => Some("no address of one host"),
            // They carry an IPv4 address that the rules above would have to be asked about.
            [0x2002, ..] | [0x64, 0xff9b, ..] | [0x2001, 0, ..] => Some("an IPv4 address inside an IPv6 one"),
            [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Some("an IPv4 address inside an IPv6 one"),
            _ => None,
        },
    }
}

impl Network {
    fn parse(entry: &str) -> Result<Self, String> {
        let fault = || format!("`{entry}` is neither an address nor a network such as 10.0.0.0/8");
        let (base, prefix) = entry.split_once('/').map_or((entry, None), |(base, prefix)| (base, Some(prefix)));
        let base: IpAddr = base.trim().parse().map_err(|_| fault())?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |text| text.trim().parse::<u32>().map_err(|_| fault()))?;
        if prefix > longest { Err(fault()) } else { Ok(Self { base, prefix }) }
    }

    fn contains(self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| a.checked_shr(bits - self.prefix) == b.checked_shr(bits - self.prefix);
        match (self.base, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => self.prefix == 0 || same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ScrapeSettings;

    fn refused(networks: &Networks, address: &str) -> bool {
        networks.refusal(address.parse().expect("an address")).is_some()
    }

    #[test]
    fn private_networks_are_open_and_the_internet_is_not() {
        let networks = Networks::parse(&ScrapeSettings::default().allow).expect("valid");
        for address in ["127.0.0.1", "::1", "10.1.2.3", "172.31.0.9", "192.168.1.1", "fd12::1", "::ffff:10.0.0.1"] {
            assert!(!refused(&networks, address), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "2606:4700::1", "::2", "::ffff:8.8.8.8"] {
            assert!(refused(&networks, address), "{address}");
        }
    }

    #[test]
    fn no_list_opens_a_metadata_service() {
        let all = Networks::parse(&["0.0.0.0/0".to_owned(), "::/0".to_owned()]).expect("valid");
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            assert!(refused(&all, address), "{address}");
        }
        assert!(!refused(&all, "8.8.8.8") && !refused(&all, "2606:4700::1") && !refused(&all, "::1"));
    }

    #[test]
    fn entries_that_are_no_network_are_named() {
        for entry in ["10.0.0.0/33", "localhost", "", "::/129", "10.0.0.0/x"] {
            assert!(Networks::parse(&[entry.to_owned()]).expect_err("bad").contains(entry), "{entry}");
        }
    }
}

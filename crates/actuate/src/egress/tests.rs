//! Destinations as an attacker writes them.

use super::*;
use proptest::prelude::*;

/// Answers with a fixed list.
#[derive(Debug)]
struct Answers(Vec<IpAddr>);

impl Lookup for Answers {
    fn lookup(&self, _: &str, _: Duration) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.clone())
    }
}

fn admit(egress: &Egress, url: &str, answers: &[&str]) -> Result<Destination, String> {
    let uri: Uri = url.parse().map_err(|_| "not a URI".to_owned())?;
    let endpoint = Endpoint::of(&uri).map_err(|fault| fault.to_string())?;
    let answers = Answers(answers.iter().map(|text| text.parse().expect("an address")).collect());
    egress.admit(&endpoint, &answers, Duration::from_secs(1)).map_err(|fault| fault.to_string())
}

#[test]
fn sixty_and_more_hostile_addresses_are_refused() {
    let hosts = [
        "127.0.0.1",
        "127.1.2.3",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.169.254",
        "169.254.170.2",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        // Spellings that some resolvers read.
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.1.",
        "0",
        "0x0",
        "00000000",
        "3232235521",
        "0xa9fea9fe",
        "169.254.43518",
        "1.2.3.4.5",
        "256.0.0.1",
        // IPv6 in all its forms.
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:8.8.8.8]",
        "[::127.0.0.1]",
        "[::7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::]",
        "[2001:0:7f00:1::1]",
        "[2001:db8::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[febf::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[100::1]",
        "[4000::1]",
        "[5f00::1]",
        "[3fff::1]",
        "[2a00::5efe:7f00:1]",
        "[2a00::200:5efe:7f00:1]",
        "[fe80::1%25eth0]",
        // Names that are no names.
        "-",
        "a..b",
        ".example.com",
        "example.com.",
        "exa mple.com",
        "a%00b.com",
        "localhost@evil.com",
    ];
    for host in hosts {
        let got = admit(&Egress::default(), &format!("https://{host}/hook"), &["127.0.0.1"]);
        assert!(got.is_err(), "{host}: {got:?}");
    }
    assert!(hosts.len() > 60);
}

#[test]
fn public_addresses_pass() {
    for host in
        ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "[2606:4700::1111]", "[64:ff9b::808:808]"]
    {
        let got = admit(&Egress::default(), &format!("https://{host}:8443/hook"), &[]);
        assert!(got.is_ok_and(|got| got.addresses[0].port() == 8443), "{host}");
    }
}

#[test]
fn one_forbidden_address_refuses_the_name() {
    let egress = Egress::default();
    assert!(admit(&egress, "https://hooks.example/x", &["93.184.216.34"]).is_ok());
    for answers in [&["93.184.216.34", "127.0.0.1"][..], &["::1"], &["10.0.0.5", "8.8.8.8"], &["::ffff:10.0.0.1"], &[]]
    {
        assert!(admit(&egress, "https://hooks.example/x", answers).is_err(), "{answers:?}");
    }
}

#[test]
fn other_schemes_users_and_ports_are_refused() {
    for url in [
        "http://8.8.8.8/",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "gopher://8.8.8.8:70/_x",
        "//8.8.8.8/",
        "/etc/passwd",
        "https://user:pass@8.8.8.8/",
        "https://127.0.0.1#@8.8.8.8/",
        "https://8.8.8.8@127.0.0.1/",
        "https://8.8.8.8:0/",
        "https://8.8.8.8:99999/",
        "https://8.8.8.8:/",
        "https:///x",
        "https://",
    ] {
        assert!(admit(&Egress::default(), url, &["8.8.8.8"]).is_err(), "{url}");
    }
}

#[test]
fn exceptions_are_as_wide_as_they_are_written() {
    let egress =
        Egress::parse(&["10.1.0.0/16", "hooks.internal", "http://plain.internal", "fd00::/8"]).expect("readable");
    let ok = |url: &str, answers: &[&str]| admit(&egress, url, answers).is_ok();
    assert!(ok("https://10.1.2.3/", &[]) && !ok("https://10.2.0.1/", &[]));
    assert!(ok("https://[fd00::5]/", &[]) && !ok("https://[fc00::5]/", &[]));
    assert!(ok("https://hooks.internal/", &["192.168.1.1"]) && ok("https://HOOKS.internal/", &["127.0.0.1"]));
    assert!(!ok("http://hooks.internal/", &["192.168.1.1"]), "a name alone does not allow plain http");
    assert!(ok("http://plain.internal/", &["10.9.9.9"]));
    assert!(!ok("https://hooks.internal/", &["169.254.169.254"]), "a name never opens metadata services");
    assert!(!ok("https://other.internal/", &["192.168.1.1"]));
    assert!(!ok("http://10.1.2.3/", &[]), "a network does not allow plain http");
    let metadata = Egress::parse(&["169.254.169.254"]).expect("readable");
    assert!(admit(&metadata, "https://169.254.169.254/", &[]).is_ok(), "unless written out");
    for entry in ["10.0.0.0/33", "fd00::/129", "10.0.0.0/x", "a b", "", "http://", "0177.0.0.1", "host:80"] {
        assert!(Egress::parse(&[entry]).is_err(), "{entry}");
    }
}

proptest! {
    #[test]
    fn no_url_text_panics_or_reaches_loopback(text in "https?://[\\[\\]0-9a-fx:.@%#?/-]{0,40}") {
        if let Ok(found) = admit(&Egress::default(), &text, &["127.0.0.1"]) {
            prop_assert!(found.addresses.iter().all(|at| forbidden(at.ip()).is_none()));
        }
    }

    #[test]
    fn every_address_inside_a_forbidden_ipv4_block_stays_forbidden_when_mapped(bits in any::<u32>()) {
        let address = Ipv4Addr::from_bits(bits);
        prop_assert!(forbidden(IpAddr::V6(address.to_ipv6_mapped())).is_some());
        let std_says = address.is_loopback() || address.is_private() || address.is_link_local() || address.is_multicast()
            || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
        if std_says {
            prop_assert!(forbidden(IpAddr::V4(address)).is_some());
        }
    }
}

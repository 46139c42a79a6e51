//! The names by which the page may be asked for.

use std::net::IpAddr;

/// Names that the `Host` of a request may have, beside localhost and addresses.
///
/// A site can point a name of its own at this machine's address (DNS rebinding) and would then read the page, and what the page stores, as its own.
/// Its requests still carry that name.
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Allows `names` beside localhost and addresses.
    pub fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| plain(name)).collect())
    }

    /// Whether a request with this `Host` is answered. Its port does not matter: a tunnel may have another.
    pub fn allow(&self, host: &str) -> bool {
        let name = plain(without_port(host));
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        name == "localhost"
            || name.ends_with(".localhost")
            || address.parse::<IpAddr>().is_ok()
            || self.0.contains(&name)
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => {
            // The colons of an address of version 6 are within brackets.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_and_allowed_ones_are_answered() {
        let hosts = Hosts::new(&["Lab.example".to_owned()]);
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "a.localhost:1",
            "127.0.0.1:8080",
            "192.168.0.7",
            "[::1]:8080",
            "[::1]",
            "lab.example:443",
            "lab.example.",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xlocalhost",
            ":8080",
            "[::1",
            "[evil]",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }
}

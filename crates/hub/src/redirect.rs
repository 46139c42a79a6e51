//! Redirections: where an answer may lead, and who may see the token.

use ureq::http::Uri;

use crate::error::Problem;

/// Number of redirections that are followed for one file.
pub const MOST: usize = 5;

/// A request's next address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirection {
    /// The address.
    pub address: Uri,
    /// Whether the token may be sent there: the endpoint's own scheme, host and port alone.
    pub carries_token: bool,
}

/// Returns where `location`, in an answer from `from`, leads. `endpoint` is the hub's address; `followed` counts the redirections before this one.
///
/// # Errors
///
/// If there is no location, it is none of `http` or `https`, it leads from `https` to `http`, or too many were followed.
pub fn next_address(
    endpoint: &Uri,
    from: &Uri,
    location: Option<&str>,
    followed: usize,
) -> Result<Redirection, Problem> {
    let refused = |problem: String| Err(Problem::Answer(format!("{}: {problem}", shown(from))));
    let Some(location) = location.map(str::trim).filter(|location| !location.is_empty()) else {
        return refused(
            "a redirection to nowhere (it has no Location): is this the address of a hub?".into(),
        );
    };
    let quoted: String = location.split('?').next().unwrap_or_default().chars().take(200).collect();
    let Some(address) = resolved(from, location) else {
        return refused(format!("a redirection to {quoted:?}, which is no address of http or https"));
    };
    if followed >= MOST {
        let last = shown(&address);
        return refused(format!(
            "more than {MOST} redirections, the last to {last}: they may go on for ever"
        ));
    }
    if from.scheme_str() == Some("https") && address.scheme_str() != Some("https") {
        return refused(format!("a redirection to {quoted:?}, which is not encrypted: it is not followed"));
    }
    let carries_token = is_same_origin(&address, endpoint);
    Ok(Redirection { address, carries_token })
}

/// Whether two addresses have the same scheme, host and port.
pub fn is_same_origin(address: &Uri, other: &Uri) -> bool {
    origin(address).is_some() && origin(address) == origin(other)
}

/// Parses an address of `http` or `https` with a host and without a user's name.
pub fn parsed(address: &str) -> Option<Uri> {
    let address: Uri = address.split('#').next()?.parse().ok()?;
    let is_web = origin(&address).is_some_and(|(_, host, _)| !host.is_empty());
    (is_web && !address.authority()?.as_str().contains('@')).then_some(address)
}

/// Returns an address without its query, which may be a signature: for messages.
pub fn shown(address: &Uri) -> String {
    let authority = address.authority().map(|authority| authority.as_str()).unwrap_or_default();
    format!("{}://{authority}{}", address.scheme_str().unwrap_or_default(), address.path())
}

/// Returns scheme, host and port. `None` for other schemes than `http` and `https`.
fn origin(address: &Uri) -> Option<(String, String, u16)> {
    let scheme = address.scheme_str()?.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = address.authority()?;
    // `http` takes a port that is none, such as 99999, for no port.
    let port = match authority.as_str().rsplit('@').next()?.strip_prefix(authority.host())? {
        "" => usual,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    Some((scheme, address.host()?.to_ascii_lowercase(), port))
}

/// Resolves a reference against an address, by RFC 3986, 5.2.
fn resolved(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?;
    if reference.contains('\\') || reference.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return None;
    }
    if reference.split(['/', '?']).next()?.contains(':') {
        return parsed(reference);
    }
    let scheme = base.scheme_str()?;
    if reference.starts_with("//") {
        return parsed(&format!("{scheme}:{reference}"));
    }
    let root = format!("{scheme}://{}", base.authority()?);
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let folder = || base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = match path {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => without_dots(&format!("{}/{path}", folder())),
    };
    let query = query.or_else(|| reference.is_empty().then(|| base.query()).flatten());
    parsed(&format!("{root}{path}{}", query.map(|query| format!("?{query}")).unwrap_or_default()))
}

/// Removes the segments `.` and `..` of an absolute path, by RFC 3986, 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    // A folder stays one.
    let is_folder = path.ends_with("/.") || path.ends_with("/..");
    format!("/{}{}", kept.join("/"), if is_folder && !kept.is_empty() { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(from: &str, location: &str) -> Result<(String, bool), String> {
        let endpoint = parsed("https://hub.example:8443/mirror").unwrap();
        let found = next_address(&endpoint, &parsed(from).unwrap(), Some(location), 0);
        found.map(|next| (next.address.to_string(), next.carries_token)).map_err(|error| error.to_string())
    }

    #[test]
    fn references_are_resolved_and_the_token_stays_with_the_endpoint() {
        let from = "https://hub.example:8443/o/m/resolve/main/f?x=1";
        for (location, address, carries_token) in [
            ("https://hub.example:8443/g", "https://hub.example:8443/g", true),
            ("HTTPS://HUB.example:8443/g", "https://HUB.example:8443/g", true),
            ("/g?y", "https://hub.example:8443/g?y", true),
            ("g", "https://hub.example:8443/o/m/resolve/main/g", true),
            ("../../x/./g#part", "https://hub.example:8443/o/m/x/g", true),
            ("../../../../../../g", "https://hub.example:8443/g", true),
            ("?q", "https://hub.example:8443/o/m/resolve/main/f?q", true),
            ("https://hub.example/g", "https://hub.example/g", false),
            ("https://cdn.example:8443/g", "https://cdn.example:8443/g", false),
            ("https://hub.example.evil:8443/g", "https://hub.example.evil:8443/g", false),
            ("//cdn.example/g", "https://cdn.example/g", false),
        ] {
            assert_eq!(next(from, location), Ok((address.into(), carries_token)), "{location}");
        }
        // Plain http is another origin than https on the same port.
        let plain = next("http://cdn.example/", "http://hub.example:8443/g");
        assert_eq!(plain, Ok(("http://hub.example:8443/g".into(), false)));
        assert_eq!(
            next("http://cdn.example/", "https://hub.example:8443/"),
            Ok(("https://hub.example:8443/".into(), true))
        );
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let from = "https://hub.example:8443/o/m";
        for location in [
            "http://hub.example:8443/g",
            "file:///etc/passwd",
            "ftp://hub.example/x",
            "javascript:x",
            "https://",
            "https:///x",
            "https://user@hub.example:8443/g",
            "https://hub.example:8443@evil.example/g",
            "https://hub.example:99999/g",
            "https://hub.example:8443\\@evil.example/g",
            "/a b",
            "",
        ] {
            assert!(next(from, location).is_err(), "{location}: {:?}", next(from, location));
        }
        let endpoint = parsed(from).unwrap();
        assert!(next_address(&endpoint, &endpoint, None, 0).unwrap_err().to_string().contains("Location"));
        let many = next_address(&endpoint, &endpoint, Some("?again"), MOST).unwrap_err().to_string();
        assert!(many.contains("more than 5"), "{many}");
    }
}

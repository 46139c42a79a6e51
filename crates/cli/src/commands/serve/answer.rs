//! Answers to requests.

use std::{borrow::Cow, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use lorelei_page::Sent;
use percent_encoding::percent_decode_str;

use super::{
    folder::Folder,
    hosts::Hosts,
    range::{Part, part},
};

/// The page's files, and who may ask for them.
pub struct Site {
    /// The folder of the page; `None` if it is inside this program.
    folder: Option<Folder>,
    hosts: Hosts,
    /// Value of `Content-Security-Policy`.
    policy: HeaderValue,
}

impl Site {
    /// Creates the site with the policy of its `index.html`, and no site around it.
    pub fn new(folder: Option<Folder>, hosts: Hosts) -> Self {
        let mut site = Self { folder, hosts, policy: HeaderValue::from_static("") };
        let index = site.read("index.html").unwrap_or_default();
        let policy =
            policy_of(&String::from_utf8_lossy(&index)).unwrap_or_else(|| "default-src 'self'".into());
        let policy = format!("{policy}; frame-ancestors 'none'");
        site.policy = HeaderValue::try_from(policy)
            .unwrap_or(HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'"));
        site
    }

    fn read(&self, path: &str) -> Option<Cow<'static, [u8]>> {
        match &self.folder {
            None => lorelei_page::file(path),
            Some(folder) => folder.read(path),
        }
    }

    /// Returns the headers that every answer has.
    fn headers() -> [(HeaderName, HeaderValue); 5] {
        let fixed = HeaderValue::from_static;
        [
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::REFERRER_POLICY, fixed("no-referrer")),
            (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
            (HeaderName::from_static("cross-origin-embedder-policy"), fixed("require-corp")),
            (HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin")),
        ]
    }
}

/// Returns the content security policy that a page's `meta` element has.
fn policy_of(index: &str) -> Option<String> {
    let (_, meta) = index.split_once("Content-Security-Policy")?;
    let (_, content) = meta.split_once("content=\"")?;
    Some(content.split('"').next()?.trim().to_owned())
}

/// Answers a request.
pub async fn answer(State(site): State<Arc<Site>>, method: Method, headers: HeaderMap, uri: Uri) -> Response {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = uri.host().unwrap_or_else(|| text(header::HOST));
    let path = uri.path();
    let answer = match method {
        _ if !site.hosts.allow(host) => refused(host),
        Method::GET | Method::HEAD => {
            // Without a validator, the part of a file that may have changed is not joined to another.
            let range = Some(text(header::RANGE))
                .filter(|range| !range.is_empty() && text(header::IF_RANGE).is_empty());
            file(&site, path, text(header::ACCEPT_ENCODING), range)
        }
        _ => {
            (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], "only GET and HEAD are answered")
                .into_response()
        }
    };
    let mut answer = (Site::headers(), answer).into_response();
    // The policy is one of documents. A worker would have that of its own file, and could not ask a hub on this network without https.
    let is_document =
        answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/"));
    if is_document && !path.ends_with(".js") {
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, site.policy.clone());
    }
    answer
}

fn refused(host: &str) -> Response {
    let host: String = host.chars().filter(|letter| letter.is_ascii_graphic()).take(100).collect();
    let message = format!(
        "this server does not answer to the name {host:?}: start it with --allow-host {host} if it is one of its names"
    );
    (StatusCode::MISDIRECTED_REQUEST, message).into_response()
}

fn file(site: &Site, path: &str, accept: &str, range: Option<&str>) -> Response {
    let nothing = || (StatusCode::NOT_FOUND, "not found").into_response();
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return nothing() };
    let path = match path.strip_prefix('/') {
        Some("") => "index.html",
        Some(path) => path,
        None => return nothing(),
    };
    // A part is one of the file as it is.
    let accept = if range.is_some() { "" } else { accept };
    let Some(Sent { bytes, encoding }) = lorelei_page::sent(path, accept, |path| site.read(path)) else {
        return nothing();
    };
    let length = bytes.len();
    let headers = [
        (header::CONTENT_TYPE, lorelei_page::mime(path)),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
        (header::ACCEPT_RANGES, "bytes"),
    ];
    match part(range, length) {
        Part::Beyond => {
            let content_range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            (StatusCode::RANGE_NOT_SATISFIABLE, content_range, "the file has no such bytes").into_response()
        }
        Part::Bytes(range) => {
            let content_range = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            let content_range = [(header::CONTENT_RANGE, content_range)];
            (StatusCode::PARTIAL_CONTENT, headers, content_range, bytes[range].to_vec()).into_response()
        }
        Part::Whole => {
            let encoding = encoding.map(|encoding| [(header::CONTENT_ENCODING, encoding)]);
            (headers, encoding.map(axum::response::AppendHeaders), bytes).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_that_of_the_page() {
        let index = include_str!("../../../../../index.html");
        let policy = policy_of(index).unwrap();
        assert!(
            policy.starts_with("default-src 'self'; ") && policy.ends_with("form-action 'none'"),
            "{policy}"
        );
        assert_eq!(policy_of("<html>"), None);
    }
}

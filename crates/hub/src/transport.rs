//! Requests to a hub over ureq: redirections, retries, and what the heads of answers say.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io::{self, Read},
    time::Duration,
};

use ureq::{
    Agent, Body, BodyReader, Proxy, SendBody,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig},
};

use crate::{
    answer::{Answer, Meaning},
    error::Problem,
    names::{self, EntityTag},
    range::ContentRange,
    redirect,
    settings::Settings,
};

/// What helps where a download's hub cannot be reached.
const OFFLINE_HINT: &str = " With HF_HUB_OFFLINE=1, only the cache is asked";
/// Size of the longest answer that is read to something that was sent, in bytes.
const LONGEST_ANSWER: u64 = 8 << 20;
const USER_AGENT: &str = concat!("lorelei/", env!("CARGO_PKG_VERSION"));

/// Asks a hub for one model's files.
#[derive(Debug)]
pub struct Transport<'s> {
    settings: &'s Settings,
    endpoint: Uri,
    model_page: String,
    /// For each proxy, and for none.
    agents: Vec<(Option<String>, Agent)>,
}

/// What a hub gives.
pub enum Reply {
    File(Box<Opened>),
    Absent { commit: Option<String> },
    OutOfRange,
}

/// A file whose contents are to be read.
pub struct Opened {
    pub head: Head,
    pub body: BodyReader<'static>,
}

/// What the heads of an answer, and of the redirections before it, say of a file.
#[derive(Debug, Default)]
pub struct Head {
    commit: Option<String>,
    linked_tag: Option<String>,
    tag: Option<String>,
    linked_size: Option<u64>,
    size: Option<u64>,
    /// Whether a part of the file follows.
    pub is_part: bool,
    /// Which one, where the answer says it.
    pub range: Option<ContentRange>,
}

impl Head {
    fn read(&mut self, response: &Response<Body>, is_last: bool) {
        let headers = response.headers();
        let add = |value: &mut Option<String>, name: &str| {
            if value.is_none() {
                *value = text(headers, name).map(str::to_owned);
            }
        };
        add(&mut self.commit, "x-repo-commit");
        add(&mut self.linked_tag, "x-linked-etag");
        let linked_size = text(headers, "x-linked-size").and_then(|size| size.trim().parse().ok());
        self.linked_size = self.linked_size.or(linked_size);
        if is_last {
            add(&mut self.tag, "etag");
            self.is_part = response.status().as_u16() == 206;
            self.range = text(headers, "content-range").and_then(ContentRange::parse);
            self.size = match self.is_part {
                true => self.range.and_then(|range| range.total),
                false => response.body().content_length(),
            };
        }
    }

    /// Returns the commit that the file is of.
    pub fn commit(&self) -> Result<Option<&str>, Problem> {
        Ok(self.commit.as_deref().map(names::commit).transpose()?)
    }

    /// Returns the file's tag.
    pub fn tag(&self) -> Result<Option<EntityTag>, Problem> {
        let tag = self.linked_tag.as_deref().or(self.tag.as_deref());
        Ok(tag.map(EntityTag::parse).transpose()?)
    }

    /// Returns the file's size, where it is announced.
    pub fn size(&self) -> Result<Option<u64>, Problem> {
        match (self.linked_size, self.size) {
            (Some(linked), Some(size)) if linked != size => Err(Problem::Answer(format!(
                "the hub announces {linked} bytes, and {size} are to follow: the file is not fetched"
            ))),
            (linked, size) => Ok(linked.or(size)),
        }
    }
}

/// The attempts that are left for a file.
pub struct Attempts<'a> {
    settings: &'a Settings,
    failed: u32,
    notice: &'a dyn Fn(&str, Duration),
}

impl<'a> Attempts<'a> {
    /// Begins to count. `notice` hears of each failure that is followed by another attempt, and of the wait before it.
    pub fn new(settings: &'a Settings, notice: &'a dyn Fn(&str, Duration)) -> Self {
        Self { settings, failed: 0, notice }
    }

    /// Counts anew: the last attempt has brought something.
    pub fn renew(&mut self) {
        self.failed = 0;
    }

    /// Waits for the next attempt.
    ///
    /// # Errors
    ///
    /// If there is none: `reason`, and how often it was tried.
    pub fn again(&mut self, asked: Option<Duration>, reason: &str) -> Result<(), String> {
        self.failed += 1;
        let backoff = &self.settings.backoff;
        match backoff.wait(self.failed, asked, jitter()) {
            Some(wait) => {
                (self.notice)(reason, wait);
                std::thread::sleep(wait);
                Ok(())
            }
            None if self.failed < backoff.attempts => {
                let asked = asked.unwrap_or_default().as_secs();
                Err(format!("{reason} (the hub asks to wait {asked} seconds: run this again then)"))
            }
            None => Err(format!("{reason} (tried {} times)", self.failed)),
        }
    }
}

impl Attempts<'_> {
    /// Waits for the next attempt after a failure.
    ///
    /// # Errors
    ///
    /// If there is none: what has failed.
    pub fn after(&mut self, failure: Failure) -> Result<(), Problem> {
        match failure {
            Failure::Busy(asked, reason) => self.again(asked, &reason).map_err(Problem::Refused),
            Failure::Transient(reason) => self.again(None, &reason).map_err(Problem::Unreachable),
            Failure::Final(problem) => Err(problem),
        }
    }
}

/// Returns a random number from 0 to 1.
fn jitter() -> f64 {
    RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64
}

/// Why an attempt has failed.
pub enum Failure {
    /// The server is busy or broken, and asks to wait.
    Busy(Option<Duration>, String),
    /// It may be gone on another attempt.
    Transient(String),
    Final(Problem),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Final(problem)
    }
}

/// A request whose answer is short, with or without a body.
pub struct Message<'m> {
    pub method: Method,
    pub address: &'m Uri,
    /// Whether the token goes along. It does to the endpoint's own origin alone.
    pub with_token: bool,
    pub headers: &'m [(HeaderName, HeaderValue)],
    pub body: Option<&'m dyn Payload>,
    /// Formats a refusal: its status, its code and what the hub says.
    pub words: &'m dyn Fn(&Answer<'_>) -> String,
}

/// What is sent.
pub trait Payload {
    /// Opens it, once for each attempt: what to read, and its size in bytes.
    fn open(&self) -> io::Result<(Box<dyn Read + '_>, u64)>;
}

impl Payload for Vec<u8> {
    fn open(&self) -> io::Result<(Box<dyn Read + '_>, u64)> {
        Ok((Box::new(self.as_slice()), self.len() as u64))
    }
}

/// A short answer, whatever its status.
pub struct Received {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    /// Returns the parts that say what the answer means. `message` is what the body says.
    pub fn answer<'r>(&'r self, message: Option<&'r str>) -> Answer<'r> {
        Answer {
            error_message: text(&self.headers, "x-error-message").or(message),
            ..answer(self.status, &self.headers)
        }
    }
}

fn answer(status: u16, headers: &HeaderMap) -> Answer<'_> {
    Answer {
        status,
        error_code: text(headers, "x-error-code"),
        error_message: text(headers, "x-error-message"),
        retry_after: text(headers, "retry-after"),
        rate_limit: text(headers, "ratelimit"),
    }
}

impl<'s> Transport<'s> {
    pub fn new(settings: &'s Settings, id: &str) -> Result<Self, Problem> {
        let endpoint = redirect::parsed(&settings.endpoint);
        let endpoint = endpoint.ok_or_else(|| Problem::Setting {
            variable: "HF_ENDPOINT".into(),
            value: settings.endpoint.clone(),
            problem: "is no hub's address".into(),
        })?;
        let proxies = &settings.proxies;
        let mut agents = vec![(None, agent(settings, None)?)];
        for (proxy, variable) in [&proxies.https, &proxies.http].into_iter().flatten() {
            if agents.iter().all(|(known, _)| known.as_ref() != Some(proxy)) {
                let built = Proxy::new(proxy).map_err(|error| Problem::Setting {
                    variable: variable.clone(),
                    // It may have a password.
                    value: proxy.rsplit('@').next().unwrap_or_default().to_owned(),
                    problem: format!("is no proxy's address: {error}"),
                })?;
                agents.push((Some(proxy.clone()), agent(settings, Some(built))?));
            }
        }
        Ok(Self { settings, endpoint, model_page: settings.model_page(id), agents })
    }

    /// Asks for a file, or for its bytes from `from` on.
    ///
    /// # Errors
    ///
    /// If the hub refuses it, stays busy, or cannot be reached.
    pub fn get(&self, address: &Uri, from: u64, attempts: &mut Attempts<'_>) -> Result<Reply, Problem> {
        loop {
            match self.follow(address, from) {
                Ok(reply) => return Ok(reply),
                Err(failure) => attempts.after(failure)?,
            }
        }
    }

    /// Sends a message until it is answered.
    ///
    /// # Errors
    ///
    /// If the server stays busy, cannot be reached, or leads elsewhere in a way that is not followed. An answer of any other status is none.
    pub fn send(&self, message: &Message<'_>, attempts: &mut Attempts<'_>) -> Result<Received, Problem> {
        loop {
            match self.send_once(message) {
                Ok(received) => return Ok(received),
                Err(failure) => attempts.after(failure)?,
            }
        }
    }

    /// Sends a message, and follows redirections that keep it as it is.
    ///
    /// # Errors
    ///
    /// As [`Transport::send`], after one attempt.
    pub fn send_once(&self, message: &Message<'_>) -> Result<Received, Failure> {
        let (mut here, mut with_token) =
            (message.address.clone(), message.with_token && self.is_at_endpoint(message.address));
        for followed in 0.. {
            let response = self.exchange(message, &here, with_token)?;
            let (head, body) = response.into_parts();
            let (status, headers) = (head.status.as_u16(), head.headers);
            match (answer(status, &headers).meaning(), &message.method) {
                (Meaning::Elsewhere, method) if matches!(status, 307 | 308) || *method == Method::GET => {
                    let location = text(&headers, "location");
                    let next = redirect::next_address(&self.endpoint, &here, location, followed)?;
                    with_token = with_token && next.carries_token;
                    here = next.address;
                }
                (Meaning::Elsewhere, _) => {
                    let problem = format!(
                        "{} answers HTTP {status}, which would turn what is sent into a question: is this the address of a hub, and has the \
                         repository another name by now?",
                        redirect::shown(&here)
                    );
                    return Err(Problem::Answer(problem).into());
                }
                (Meaning::Busy { wait, .. }, _) => {
                    return Err(Failure::Busy(wait, (message.words)(&answer(status, &headers))));
                }
                _ => return Ok(Received { status, headers, body: short(&here, body)? }),
            }
        }
        unreachable!("the number of redirections is bounded")
    }

    fn is_at_endpoint(&self, address: &Uri) -> bool {
        redirect::is_same_origin(address, &self.endpoint)
    }

    /// Makes one request of a message, to `address`.
    fn exchange(
        &self,
        message: &Message<'_>,
        address: &Uri,
        with_token: bool,
    ) -> Result<Response<Body>, Failure> {
        let (agent, by_proxy) = self.agent(address)?;
        let mut request = Request::builder().method(message.method.clone()).uri(address);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        if let (true, Some(token)) = (with_token, &self.settings.token) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.secret));
        }
        let unusable =
            |error: ureq::http::Error| Problem::Answer(format!("{}: {error}", redirect::shown(address)));
        let Some(payload) = message.body else {
            let request = request.body(()).map_err(unusable)?;
            return agent.run(request).map_err(|error| failure(address, by_proxy, "", error));
        };
        let opened = payload
            .open()
            .map_err(|error| Problem::Answer(format!("what is to be sent cannot be read: {error}")));
        let (mut body, length) = opened?;
        let request = request.header(header::CONTENT_LENGTH, length).body(SendBody::from_reader(&mut body));
        agent.run(request.map_err(unusable)?).map_err(|error| failure(address, by_proxy, "", error))
    }

    fn agent(&self, address: &Uri) -> Result<(&Agent, bool), Problem> {
        let proxy = self.settings.proxies.of(address).map(|(proxy, _)| proxy);
        let agent = self.agents.iter().find(|(of, _)| of.as_ref() == proxy).or_else(|| self.agents.first());
        let (_, agent) = agent.ok_or_else(|| Problem::Answer("no way to the hub".into()))?;
        Ok((agent, proxy.is_some()))
    }

    fn follow(&self, address: &Uri, from: u64) -> Result<Reply, Failure> {
        let (mut here, mut is_at_hub, mut head) = (address.clone(), true, Head::default());
        for followed in 0.. {
            let response = self.ask(&here, is_at_hub, from)?;
            let headers = response.headers();
            let answer = answer(response.status().as_u16(), headers);
            let meaning = answer.meaning();
            head.read(&response, meaning == Meaning::Content);
            match meaning {
                Meaning::Elsewhere => {
                    let next =
                        redirect::next_address(&self.endpoint, &here, text(headers, "location"), followed)?;
                    // Whoever is elsewhere does not say what the token is sent for.
                    is_at_hub = is_at_hub && next.carries_token;
                    here = next.address;
                }
                Meaning::Content => return Ok(opened(response, head, from)?),
                Meaning::OutOfRange if from > 0 => return Ok(Reply::OutOfRange),
                Meaning::Absent if is_at_hub => {
                    let commit = head.commit().ok().flatten().map(str::to_owned);
                    return Ok(Reply::Absent { commit });
                }
                Meaning::Busy { wait, refusal } => {
                    let words = refusal.words(&self.model_page, &self.settings.login());
                    return Err(Failure::Busy(wait, words));
                }
                Meaning::Refused(refusal) if is_at_hub => {
                    let words = refusal.words(&self.model_page, &self.settings.login());
                    return Err(Problem::Refused(words).into());
                }
                Meaning::OutOfRange | Meaning::Absent | Meaning::Refused(_) => {
                    let problem = format!("{} answers HTTP {}", redirect::shown(&here), answer.status);
                    let problem = match is_at_hub {
                        true => problem,
                        false => format!("the hub has the file elsewhere, and {problem}: try again later"),
                    };
                    return Err(Problem::Answer(problem).into());
                }
            }
        }
        unreachable!("the number of redirections is bounded")
    }

    fn ask(&self, address: &Uri, with_token: bool, from: u64) -> Result<Response<Body>, Failure> {
        let (agent, by_proxy) = self.agent(address)?;
        let mut request = agent.get(address);
        if let (true, Some(token)) = (with_token, &self.settings.token) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.secret));
        }
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| failure(address, by_proxy, OFFLINE_HINT, error))
    }
}

/// Reads an answer that is short.
fn short(address: &Uri, body: Body) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read =
        body.into_with_config().limit(u64::MAX).reader().take(LONGEST_ANSWER + 1).read_to_end(&mut bytes);
    let from = || redirect::shown(address);
    read.map_err(|error| Failure::Transient(format!("the answer of {} broke off ({error})", from())))?;
    match bytes.len() as u64 > LONGEST_ANSWER {
        true => {
            Err(Problem::Answer(format!("{} answers with more than {LONGEST_ANSWER} bytes", from())).into())
        }
        false => Ok(bytes),
    }
}

fn opened(response: Response<Body>, head: Head, from: u64) -> Result<Reply, Problem> {
    if response.status().as_u16() == 206 && from == 0 {
        return Err(Problem::Answer(
            "HTTP 206: the hub sends a part of the file, which was not asked for".into(),
        ));
    }
    let encoding = text(response.headers(), "content-encoding").unwrap_or("identity");
    if !encoding.trim().eq_ignore_ascii_case("identity") {
        return Err(Problem::Answer(format!(
            "the hub sends the file in {encoding:?}, which was not asked for, and so of a size that is not known"
        )));
    }
    let body = response.into_body().into_with_config().limit(u64::MAX).reader();
    Ok(Reply::File(Box::new(Opened { head, body })))
}

fn failure(address: &Uri, by_proxy: bool, hint: &str, error: ureq::Error) -> Failure {
    let address = redirect::shown(address);
    let way = if by_proxy { ", through the proxy of the environment" } else { "" };
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Failure::Final(Problem::Unreachable(format!(
            "{address} is not who it says ({error}){way}: does something read along? SSL_CERT_FILE names further certificates"
        ))),
        ureq::Error::LargeResponseHeader(..) | ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Failure::Final(Problem::Answer(format!("{address}: {error}")))
        }
        error => Failure::Transient(format!(
            "{address} cannot be reached ({error}){way}: is the address right, and are you online?{hint}"
        )),
    }
}

fn agent(settings: &Settings, proxy: Option<Proxy>) -> Result<Agent, Problem> {
    let timeouts = &settings.timeouts;
    let mut tls = TlsConfig::builder();
    if let Some(path) = &settings.certificates {
        let pem = fs::read(path).map_err(Problem::storage("read", path))?;
        let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(Problem::Setting {
                variable: "SSL_CERT_FILE".into(),
                value: path.display().to_string(),
                problem: "is no file of certificates (PEM)".into(),
            });
        }
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy)
        .user_agent(USER_AGENT)
        .accept_encoding("identity")
        .tls_config(tls.build())
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_recv_response(Some(timeouts.answer))
        .timeout_per_read(Some(timeouts.silence.max(timeouts.answer)))
        .timeout_per_write(Some(timeouts.silence));
    Ok(config.build().into())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

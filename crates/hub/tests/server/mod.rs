//! A hub on this machine, which answers as a test tells it to.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use lorelei_hub::{Event, HubError, Repository, Settings, Timeouts, retry::Backoff};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// The commit of every revision.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const ID: &str = "lorelei/tiny";
pub const WEIGHTS: &str = "model.safetensors";

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Number of requests for the same path so far, this one included.
    pub count: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn token(&self) -> Option<&str> {
        self.header("authorization")
    }

    pub fn range(&self) -> Option<&str> {
        self.header("range")
    }

    /// The name of the file: the last part of the path.
    pub fn file(&self) -> &str {
        self.path.split('?').next().unwrap().rsplit('/').next().unwrap()
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Number of bytes of the body that are sent before the connection breaks off.
    pub sent: Option<usize>,
    /// Silence before the head, and before the second half of the body.
    pub silence: (Duration, Duration),
    /// Whether the body is sent in chunks, without its length.
    pub chunked: bool,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Sets a header in place of one with the same name.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn cut(mut self, sent: usize) -> Self {
        self.sent = Some(sent);
        self
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        thread::sleep(self.silence.0);
        write!(stream, "HTTP/1.1 {} .\r\nconnection: close\r\n", self.status)?;
        for (name, value) in &self.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        match self.chunked {
            true => write!(stream, "transfer-encoding: chunked\r\n\r\n")?,
            false => write!(stream, "content-length: {}\r\n\r\n", self.body.len())?,
        }
        let body = &self.body[..self.sent.unwrap_or(self.body.len())];
        if self.chunked {
            for chunk in body.chunks(1 << 14) {
                write!(stream, "{:x}\r\n", chunk.len())?;
                stream.write_all(chunk)?;
                write!(stream, "\r\n")?;
            }
            if self.sent.is_none() {
                write!(stream, "0\r\n\r\n")?;
            }
            return stream.flush();
        }
        let (first, second) = body.split_at(body.len() / 2);
        stream.write_all(first)?;
        stream.flush()?;
        thread::sleep(self.silence.1);
        stream.write_all(second)?;
        stream.flush()
    }
}

type Reading = dyn Fn(&Request) -> usize + Send + Sync;
type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// A server, until the test ends.
#[derive(Clone)]
pub struct Server {
    pub address: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn open(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::open_reading(|_| usize::MAX, handler)
    }

    /// Opens a server that reads so many bytes of a request's body, and breaks off without an answer where the body is longer.
    pub fn open_reading(
        reading: impl Fn(&Request) -> usize + Send + Sync + 'static,
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { address, requests: Arc::default() };
        let (served, handler): (_, Arc<Handler>) = (server.clone(), Arc::new(handler));
        let reading: Arc<Reading> = Arc::new(reading);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, handler, reading) = (served.clone(), handler.clone(), reading.clone());
                thread::spawn(move || drop(served.answer(stream, &*reading, &*handler)));
            }
        });
        server
    }

    fn answer(&self, mut stream: TcpStream, reading: &Reading, handler: &Handler) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut lines = reader.by_ref().lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let method = request.split(' ').next().unwrap_or_default().to_owned();
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let mut requests = self.requests.lock().unwrap();
        let count = requests.iter().filter(|request| request.path == path).count() + 1;
        let mut request = Request { method, path, headers, body: Vec::new(), count };
        let place = requests.len();
        requests.push(request.clone());
        drop(requests);
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let read = reading(&request).min(length);
        reader.take(read as u64).read_to_end(&mut request.body)?;
        self.requests.lock().unwrap()[place].body.clone_from(&request.body);
        if read < length {
            return Ok(());
        }
        handler(&request).send(&mut stream)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.path).collect()
    }

    /// Returns the requests for a file.
    pub fn requests_for(&self, file: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.file() == file).collect()
    }
}

pub fn git_sha1(bytes: &[u8]) -> String {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Contents of a file of the polite hub.
pub fn contents(file: &str) -> Option<Vec<u8>> {
    match file {
        "config.json" => Some(b"{\"model_type\": \"llama\"}".to_vec()),
        "tokenizer.json" => Some(vec![b'a'; 70_000]),
        "empty.txt" => Some(Vec::new()),
        WEIGHTS => Some((0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        _ => None,
    }
}

/// Answers with a file's bytes, or those that are asked for, as git's hub does.
pub fn file(request: &Request, bytes: &[u8], tag: &str) -> Answer {
    let answer = Answer::new(200).with("ETag", format!("\"{tag}\"")).with("X-Repo-Commit", COMMIT);
    let first = request
        .range()
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match first {
        None => answer.body(bytes),
        Some(first) if first >= bytes.len() => Answer::new(416),
        Some(first) => Answer { status: 206, ..answer }
            .with("Content-Range", format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len()))
            .body(&bytes[first..]),
    }
}

/// Answers as Hugging Face does: large files are elsewhere and known by their SHA-256, others by git's SHA-1, and what is not there has a code.
pub fn polite(request: &Request) -> Answer {
    let Some(bytes) = contents(request.file()) else {
        return Answer::new(404).with("X-Error-Code", "EntryNotFound").with("X-Repo-Commit", COMMIT);
    };
    if request.path.starts_with("/stored/") {
        return file(request, &bytes, "the-tag-of-the-storage").without("X-Repo-Commit");
    }
    match request.file() {
        WEIGHTS => Answer::new(302)
            .with("Location", format!("/stored/{WEIGHTS}?signature=secret"))
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-ETag", format!("\"{}\"", sha256(&bytes)))
            .with("X-Linked-Size", bytes.len()),
        _ => file(request, &bytes, &git_sha1(&bytes)),
    }
}

/// A cache of its own, and settings that wait for nothing long.
pub struct Case {
    pub folder: tempfile::TempDir,
    pub settings: Settings,
    pub heard: RefCell<Vec<String>>,
}

impl Case {
    pub fn new(address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::from_variables(&|_| None, Some(folder.path().to_owned())).unwrap();
        let milliseconds = Duration::from_millis;
        settings.endpoint = address.to_owned();
        settings.cache = folder.path().join("hub");
        // So long only where nothing is to come: a busy machine is slow.
        settings.timeouts =
            Timeouts { connect: milliseconds(5000), answer: milliseconds(5000), silence: milliseconds(5000) };
        settings.backoff = Backoff {
            first: milliseconds(2),
            longest: milliseconds(10),
            longest_asked: milliseconds(1000),
            ..Backoff::default()
        };
        Self { folder, settings, heard: RefCell::default() }
    }

    /// Lets a hub be silent for no longer than 200 milliseconds.
    pub fn impatient(mut self) -> Self {
        let short = Duration::from_millis(200);
        self.settings.timeouts = Timeouts { connect: short, answer: short, silence: short };
        self
    }

    pub fn repository(&self, revision: Option<&str>) -> Repository<'_> {
        let hear = |event: &Event<'_>| self.heard.borrow_mut().push(format!("{event:?}"));
        Repository::open(&self.settings, ID, revision, hear).unwrap()
    }

    pub fn get(&self, file: &str) -> Result<Option<PathBuf>, HubError> {
        self.repository(None).get(file)
    }

    /// Fetches a file, which has to arrive as the polite hub has it.
    pub fn ok(&self, file: &str) -> PathBuf {
        let path = self.get(file).unwrap_or_else(|error| panic!("{file}: {error}")).unwrap();
        assert!(std::fs::read(&path).unwrap() == contents(file).unwrap(), "{file} differs");
        path
    }

    /// Fails to fetch a file, in these words, and leaves nothing that would be taken for it.
    pub fn refused(&self, file: &str, words: &[&str]) -> String {
        let error = self.get(file).unwrap_err().to_string();
        for word in [ID, file].iter().chain(words) {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
        assert!(!self.repository(None).is_cached(file), "{file} is there");
        self.stays_inside();
        error
    }

    /// All that was written is in the model's part of the cache, and its parts are there alone.
    pub fn stays_inside(&self) {
        self.is_inside(|commit| commit.len() == 40);
    }

    /// As [`Case::stays_inside`], whatever the commit's name is.
    pub fn stays_inside_any_commit(&self) {
        self.is_inside(|_| true);
    }

    fn is_inside(&self, is_commit: impl Fn(&str) -> bool) {
        for path in files(self.folder.path()) {
            let inside = path.strip_prefix(&self.settings.cache).unwrap_or_else(|_| panic!("{path:?}"));
            let parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
            let is_known = match &parts[..] {
                [".locks", "models--lorelei--tiny", lock] => lock.ends_with(".lock"),
                ["models--lorelei--tiny", "refs", ..] => true,
                ["models--lorelei--tiny", "blobs", _] => true,
                ["models--lorelei--tiny", "snapshots" | ".no_exist", commit, ..] => is_commit(commit),
                _ => false,
            };
            assert!(is_known, "{path:?}");
        }
    }

    pub fn model(&self) -> PathBuf {
        self.settings.cache.join("models--lorelei--tiny")
    }

    /// Returns the names of what is stored.
    pub fn blobs(&self) -> Vec<String> {
        let blobs = std::fs::read_dir(self.model().join("blobs")).into_iter().flatten();
        blobs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Returns all files and links below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

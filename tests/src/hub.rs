//! A hub on this machine: the routes of Hugging Face's, with the faults that a real hub can have.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use lorelei_hub::checksum::{git_sha1, sha256};

/// The header with the commit of every revision.
const COMMIT: &str = "x-repo-commit: 0123456789abcdef0123456789abcdef01234567\r\n";

/// The licence of every model.
pub const LICENSE: &str = "cc-by-4.0";

/// The contents of the hub, its faults, and its requests.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Contents by `owner/name/file`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files that are answered with an error of this status.
    pub refused: BTreeMap<String, u16>,
    /// Files whose next request is answered with an error of this status.
    pub busy: BTreeMap<String, u16>,
    /// Files whose next transfer breaks off half-way.
    pub cut: BTreeSet<String>,
    /// Files whose last byte is changed in the next transfer.
    pub damaged: BTreeSet<String>,
    /// Files whose last byte is changed in every transfer.
    pub spoiled: BTreeSet<String>,
    /// Requests so far: the path, and the `Range` of each.
    pub requests: Vec<(String, Option<String>)>,
}

/// The hub, which serves until the tests end.
#[derive(Debug, Clone)]
pub struct Hub {
    /// The address, `http://127.0.0.1:PORT`.
    pub address: String,
    /// Its contents.
    pub shelf: Arc<Mutex<Shelf>>,
}

impl Hub {
    /// Serves `files` (by `owner/name/file`) at every revision. Requests for weights are redirected to another address, as the real hub does.
    pub fn open(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("it has an address"));
        let shelf = Arc::new(Mutex::new(Shelf { files: files.into_iter().collect(), ..Shelf::default() }));
        let hub = Self { address, shelf };
        let served = hub.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hub = served.clone();
                // A browser that closes the connection early is no error of the hub.
                thread::spawn(move || drop(hub.answer(stream)));
            }
        });
        hub
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let mut range = None;
        for line in lines {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("range")
            {
                range = Some(value.trim().to_owned());
            }
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut shelf = self.shelf.lock().expect("no test thread panics with it");
        if method != "OPTIONS" {
            shelf.requests.push((path.to_owned(), range.clone()));
        }
        let (status, headers, body, sent) = shelf.respond(method, path, range.as_deref());
        drop(shelf);
        write!(
            stream,
            "HTTP/1.1 {status} .\r\ncontent-length: {}\r\nconnection: close\r\naccess-control-allow-origin: *\r\n\
             access-control-allow-headers: range\r\naccess-control-expose-headers: etag\r\n{headers}\r\n",
            body.len(),
        )?;
        if method != "HEAD" {
            stream.write_all(&body[..sent])?;
        }
        stream.flush()?;
        if sent < body.len() {
            // A reader drops what it has not read yet when a connection ends: this one has the time to read.
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        Ok(())
    }
}

/// Whether the hub stores a file as a large one, elsewhere and by its checksum.
fn is_large(key: &str) -> bool {
    key.ends_with(".safetensors")
}

impl Shelf {
    /// Returns the answer with the names of a model's files.
    fn listing(&self, model: &str) -> (u16, String, Vec<u8>, usize) {
        let name = |(key, bytes): (&String, &Vec<u8>)| {
            let mut file = serde_json::json!({ "rfilename": key.strip_prefix(model)?.strip_prefix('/')? });
            file["size"] = bytes.len().into();
            match is_large(key) {
                true => file["lfs"] = serde_json::json!({ "sha256": sha256(bytes), "size": bytes.len() }),
                false => file["blobId"] = git_sha1(bytes).into(),
            }
            Some(file)
        };
        let siblings: Vec<_> = self.files.iter().filter_map(name).collect();
        if siblings.is_empty() {
            return (404, String::new(), Vec::new(), 0);
        }
        let body =
            serde_json::json!({ "id": model, "siblings": siblings, "cardData": { "license": LICENSE } })
                .to_string()
                .into_bytes();
        let sent = body.len();
        (200, "content-type: application/json\r\n".into(), body, sent)
    }

    /// Returns `(status, headers, body, number of the body's bytes that are sent)`.
    fn respond(&mut self, method: &str, path: &str, range: Option<&str>) -> (u16, String, Vec<u8>, usize) {
        let nothing = |status| (status, String::new(), Vec::new(), 0);
        if method == "OPTIONS" {
            return nothing(204);
        }
        if let Some(model) =
            path.strip_prefix("/api/models/").and_then(|path| path.split("/revision/").next())
        {
            return self.listing(model);
        }
        let stored = path.strip_prefix("/stored/");
        let parts: Vec<&str> = path.trim_start_matches('/').splitn(5, '/').collect();
        let key = match (stored, &parts[..]) {
            (Some(key), _) => key.to_owned(),
            (None, [owner, name, "resolve", _, file]) => format!("{owner}/{name}/{file}"),
            _ => return nothing(404),
        };
        if let Some(status) = self.refused.get(&key) {
            return nothing(*status);
        }
        if let Some(status) = self.busy.remove(&key) {
            return nothing(status);
        }
        let Some(file) = self.files.get(&key) else {
            return (404, format!("x-error-code: EntryNotFound\r\n{COMMIT}"), Vec::new(), 0);
        };
        if stored.is_none() && is_large(&key) {
            return (302, format!("location: /stored/{key}\r\n{COMMIT}"), Vec::new(), 0);
        }
        let tag = match is_large(&key) {
            true => sha256(file),
            false => git_sha1(file),
        };
        let etag = format!("etag: \"{tag}\"\r\naccept-ranges: bytes\r\n{COMMIT}");
        let mut file = file.clone();
        // Like below, a request for the first byte only is not affected.
        if range.is_none_or(|range| range != "bytes=0-0")
            && (self.damaged.remove(&key) || self.spoiled.contains(&key))
            && let Some(last) = file.last_mut()
        {
            *last ^= 1;
        }
        let range = range.and_then(|range| {
            let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((from.parse::<usize>().ok()?, to.parse::<usize>().unwrap_or(usize::MAX)))
        });
        let (status, headers, body) = match range {
            None => (200, etag, file),
            Some((from, _)) if from >= file.len() => return nothing(416),
            Some((from, to)) => {
                let (total, last) = (file.len(), to.min(file.len() - 1));
                let headers = format!("{etag}content-range: bytes {from}-{last}/{total}\r\n");
                (206, headers, file[from..=last].to_vec())
            }
        };
        // A request for the first byte only does not break off.
        let sent = if body.len() > 1 && self.cut.remove(&key) { body.len() / 2 } else { body.len() };
        (status, headers, body, sent)
    }
}

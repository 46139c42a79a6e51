//! A model's files from a hub, in the browser's storage. What a hub's answers mean, and what is made of its names, are the rules of `lorelei-hub`.

use std::collections::BTreeMap;

use lorelei_formats::{ModelSource, ReadAt as _};
use lorelei_hub::{
    answer::{Login, Meaning},
    checksum::Checksum,
    names,
    range::{ContentRange, LONGEST_UNANNOUNCED},
    retry::Backoff,
};
use lorelei_protocol::Reply;
use lorelei_recipe::{Message, message};
use lorelei_session::license_id;
use web_sys::File;

use crate::{
    blob::BlobReader,
    browser::{self, Opened},
    port, store,
};

/// File name of a hub's list of a model's files, which is stored beside them.
const LISTING: &str = "hub.json";
/// Number of bytes that are read at a time, to check them.
const PIECE: u64 = 1 << 20;

/// Returns a model's files by their paths in the model, fetching from a hub those that are not stored.
///
/// # Errors
///
/// If the hub refuses a file or cannot be reached, a file arrived damaged, or the storage is full.
pub async fn files(id: &str, revision: &str, endpoint: &str) -> Result<Vec<(String, File)>, Message> {
    let model = Model::open(id, revision, endpoint).await?;
    let mut files = Vec::new();
    let mut add = |path: &str, file: File| files.push((path.to_owned(), file));
    add("config.json", model.needed("config.json").await?);
    let index = match model.get(ModelSource::INDEX).await? {
        Some(file) => {
            let path = format!("{}/{}", model.folder, ModelSource::INDEX);
            let bytes = browser::read(&path).await?.unwrap_or_default();
            add(ModelSource::INDEX, file);
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        None => None,
    };
    let weights = ModelSource::weight_files(index.as_deref(), ModelSource::INDEX);
    for path in weights.map_err(|error| error.to_string())? {
        add(&path, model.needed(&path).await?);
    }
    for path in ModelSource::OPTIONAL {
        if let Some(file) = model.get(path).await? {
            add(path, file);
        }
    }
    Ok(files)
}

/// Returns the licence that a hub's list of a stored model's files names.
pub async fn license(id: &str, revision: &str) -> Option<String> {
    let (owner, name) = names::owner_and_name(id).ok()?;
    let folder = store::model_folder(owner, name, names::revision(revision).ok()?).ok()?;
    let listed = browser::read(&format!("{folder}/{LISTING}")).await.ok()??;
    let listed: serde_json::Value = serde_json::from_slice(&listed).ok()?;
    let tagged = || listed["tags"].as_array()?.iter().find_map(|tag| tag.as_str()?.strip_prefix("license:"));
    license_id(listed["cardData"]["license"].as_str().or_else(tagged)?)
}

/// A model on a hub.
struct Model {
    id: String,
    /// Address of the model's page.
    page: String,
    /// Folder of its files in the storage.
    folder: String,
    /// What the files are asked for by: the commit of the list, or else the revision.
    revision: String,
    /// Its files. `None` where the hub has no lists.
    listed: Option<Listed>,
}

/// What is known of a file before it is fetched.
#[derive(Debug, Clone, Default)]
struct Expected {
    checksum: Option<Checksum>,
    size: Option<u64>,
}

impl Expected {
    /// Whether the size of a file, where it is known, is the expected one.
    fn has_size_of(&self, file: &File) -> bool {
        self.size.is_none_or(|size| size as f64 == file.size())
    }

    /// Whether a file is the expected one for certain, which only a checksum tells.
    fn is_surely(&self, file: &File) -> Result<bool, Message> {
        let has_checksum = self.checksum.is_some() && self.has_size_of(file);
        Ok(has_checksum && mismatch(Some(file), self.checksum.as_ref())?.is_none())
    }
}

impl Model {
    async fn open(id: &str, revision: &str, endpoint: &str) -> Result<Self, Message> {
        let (owner, name) = names::owner_and_name(id).map_err(|error| error.to_string())?;
        let revision = names::revision(revision).map_err(|error| error.to_string())?;
        let endpoint = endpoint.trim().trim_end_matches('/');
        if !is_endpoint(endpoint) {
            return Err(message!("{endpoint} is no hub's address: it begins with https://", ?endpoint));
        }
        let folder = store::model_folder(owner, name, revision)?;
        let page = format!("{endpoint}/{}", names::encoded_path(id));
        let revision = names::encoded_segment(revision);
        let url = format!("{endpoint}/api/models/{}/revision/{revision}?blobs=true", names::encoded_path(id));
        // The list is stored like the files: a stored model needs no network.
        let stored = browser::read(&format!("{folder}/{LISTING}")).await?;
        let listed = match stored.as_deref().and_then(Listed::read) {
            Some(listed) => Some(listed),
            None => Listed::fetch(&url, &folder, &page).await.map_err(|problem| {
                let place = id;
                message!("{place}: {message}", place, message = problem)
            })?,
        };
        let commit = listed.as_ref().and_then(|listed| listed.commit.clone());
        let revision = commit.as_deref().map_or(revision, names::encoded_segment);
        Ok(Self { id: id.to_owned(), page, folder, revision, listed })
    }

    async fn needed(&self, file: &str) -> Result<File, Message> {
        self.get(file)
            .await?
            .ok_or_else(|| message!("{model} on the hub has no {file}", model = &self.id, file))
    }

    /// Returns a file, fetching it where it is not stored. `None` where the model has no such file.
    async fn get(&self, file: &str) -> Result<Option<File>, Message> {
        self.found(file).await.map_err(|problem| {
            message!("{place}: {message}", place = format!("{}: {file}", self.id), message = problem)
        })
    }

    async fn found(&self, file: &str) -> Result<Option<File>, Message> {
        let file = names::file_name(file).map_err(|error| error.to_string())?;
        let expected = match &self.listed {
            Some(listed) => match listed.files.get(file) {
                Some(expected) => expected.clone(),
                None => return Ok(None),
            },
            None => Expected::default(),
        };
        let path = format!("{}/{file}", self.folder);
        if let Some(kept) = browser::file(&path).await? {
            if expected.has_size_of(&kept) {
                return Ok(Some(kept));
            }
            browser::delete(&path).await?;
        }
        let url = format!("{}/resolve/{}/{}", self.page, self.revision, names::encoded_path(file));
        // A part that was left by another visit may be that of another file by now.
        let mut is_leftover = browser::file(&part(&path)).await?.is_some();
        loop {
            if !fetch(&url, &path, &self.page, &expected, file).await? {
                return Ok(None);
            }
            let fetched = browser::file(&path).await?;
            let Some(mismatch) = mismatch(fetched.as_ref(), expected.checksum.as_ref())? else {
                return Ok(fetched);
            };
            browser::delete(&path).await?;
            if !is_leftover {
                // The hub may have another file by now, and so another list.
                browser::delete(&format!("{}/{LISTING}", self.folder)).await?;
                return Err(message!(
                    "arrived damaged ({reason}) and was removed: load it again",
                    reason = mismatch
                ));
            }
            is_leftover = false;
        }
    }
}

/// Whether an address is that of a hub that a page may ask: encrypted, or on this machine.
fn is_endpoint(endpoint: &str) -> bool {
    let is_local = |rest: &str| {
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
            _ => authority,
        };
        ["localhost", "127.0.0.1", "[::1]"].contains(&host)
    };
    let is_plain = !endpoint.contains(|c: char| c.is_whitespace() || c.is_control() || "@?#\\".contains(c));
    let is_remote = endpoint.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
    is_plain && (is_remote || endpoint.strip_prefix("http://").is_some_and(is_local))
}

fn part(path: &str) -> String {
    format!("{path}.part")
}

/// Returns how a file differs from its checksum, if it does.
fn mismatch(file: Option<&File>, checksum: Option<&Checksum>) -> Result<Option<String>, Message> {
    let (Some(file), Some(checksum)) = (file, checksum) else { return Ok(None) };
    let read = || {
        let reader = BlobReader::new(file.clone());
        let (length, mut done, mut piece) = (reader.len()?, 0, Vec::new());
        let mut check = checksum.begin(length);
        while done < length {
            piece.resize((length - done).min(PIECE) as usize, 0);
            reader.read_exact_at(done, &mut piece)?;
            check.update(&piece);
            done += piece.len() as u64;
        }
        Ok(check.finish().err().map(|mismatch| mismatch.to_string()))
    };
    read().map_err(|error: std::io::Error| error.to_string().into())
}

/// An attempt that failed and may succeed later.
struct Transient {
    reason: Message,
    /// The wait that the server asks for.
    wait: Option<std::time::Duration>,
}

/// Fetches a file into the storage, or the rest of it where a part is there. Returns whether the model has the file. A connection that breaks and a
/// server that is busy are tried again.
async fn fetch(url: &str, path: &str, page: &str, expected: &Expected, file: &str) -> Result<bool, Message> {
    let part = part(path);
    let stored = async || Ok::<_, Message>(browser::file(&part).await?.map_or(0.0, |part| part.size()));
    let (mut failed, mut furthest) = (0, stored().await?);
    loop {
        let Transient { reason, wait } = match attempt(url, &part, page, expected, file).await? {
            Ok(is_there) => {
                if is_there {
                    browser::rename(&part, path.rsplit('/').next().unwrap_or_default()).await?;
                }
                return Ok(is_there);
            }
            Err(transient) => transient,
        };
        // An attempt that has brought something is none that failed.
        let done = stored().await?;
        failed = if done > furthest { 1 } else { failed + 1 };
        furthest = furthest.max(done);
        match Backoff::default().wait(failed, wait, js_sys::Math::random()) {
            Some(wait) => browser::sleep(wait.as_secs_f64() * 1000.0).await,
            None => {
                return Err(message!("{problem} (tried {count} times)", problem = reason, count = failed));
            }
        }
    }
}

async fn attempt(
    url: &str,
    part: &str,
    page: &str,
    expected: &Expected,
    file: &str,
) -> Result<Result<bool, Transient>, Message> {
    let transient = |reason| Ok(Err(Transient { reason, wait: None }));
    let mut begun = browser::file(part).await?.map_or(0.0, |part| part.size());
    if begun > 0.0 && expected.size.is_some_and(|size| begun as u64 >= size) {
        if expected.size == Some(begun as u64) {
            return Ok(Ok(true));
        }
        browser::delete(part).await?;
        begun = 0.0;
    }
    let opened = match Opened::get(url, begun).await {
        Ok(opened) => opened,
        Err(error) => {
            return transient(message!(
                "{url} cannot be reached ({reason}): is the address right, and are you online?",
                url,
                reason = error
            ));
        }
    };
    let head = &opened.head;
    match head.answer().meaning() {
        Meaning::Content => {}
        Meaning::Absent => return Ok(Ok(false)),
        Meaning::OutOfRange => {
            browser::delete(part).await?;
            return transient(message!("{url} has changed", url));
        }
        Meaning::Busy { wait, refusal } => {
            return Ok(Err(Transient { reason: refusal.words(page, &Login::Impossible).into(), wait }));
        }
        Meaning::Refused(refusal) => return Err(refusal.words(page, &Login::Impossible).into()),
        Meaning::Elsewhere => {
            return Err(message!("{url}: a redirection that the browser does not follow", url));
        }
    }
    // The browser may hide which part it is; the checksum tells.
    let range = head.content_range().map(ContentRange::parse);
    let goes_on =
        range.is_none_or(|range| range.is_some_and(|range| range.goes_on(begun as u64, expected.size)));
    if head.is_part() && !(begun > 0.0 && goes_on) {
        browser::delete(part).await?;
        return transient(message!(
            "{url}: the hub sent another part of the file than it was asked for",
            url
        ));
    }
    let at = if head.is_part() { begun } else { 0.0 };
    let announced = head.content_length.map(|length| at + length);
    let size = expected.size.map(|size| size as f64).or(announced);
    if let (Some(size), Some(announced)) = (size, announced)
        && size != announced
    {
        return Err(message!(
            "the hub announces {size} bytes, and {announced} are to follow: the file is not fetched",
            size,
            announced
        ));
    }
    let (what, total) = (file.to_owned(), size.unwrap_or_default() as u64);
    let is_shown = file != LISTING;
    let progress = move |done: f64| {
        if is_shown {
            port::post(&Reply::Progress { what: what.clone(), done: done as u64, total });
        }
    };
    let longest = size.unwrap_or(LONGEST_UNANNOUNCED as f64);
    let end = opened.read_into(part, at, longest, progress).await?;
    if end.is_longer {
        browser::delete(part).await?;
        return Err(message!(
            "the hub sends more than the {longest} bytes that are expected: the file is refused",
            longest
        ));
    }
    let broke = |reason: String| {
        let total = size.map(|size| message!(" of {size}", size)).unwrap_or_default();
        transient(message!(
            "the connection broke at {done}{total} bytes of {url}{reason}: load it again to go on from there",
            done = end.done,
            total,
            url,
            reason
        ))
    };
    match &end.broken {
        Some(reason) => broke(format!(" ({reason})")),
        None if size.is_some_and(|size| end.done < size) => broke(String::new()),
        None => Ok(Ok(true)),
    }
}

/// A hub's list of a model's files.
struct Listed {
    commit: Option<String>,
    files: BTreeMap<String, Expected>,
}

impl Listed {
    /// Fetches the list of a model's files into their folder. `None` where the hub has no lists. Files that are stored from an earlier list, and are not
    /// those of this one, are deleted before it has its name: it holds for all files beside it.
    async fn fetch(url: &str, folder: &str, page: &str) -> Result<Option<Self>, Message> {
        let path = format!("{folder}/{LISTING}.new");
        // It is made anew for each request: what is left of one is not the rest of another.
        browser::delete(&part(&path)).await?;
        if !fetch(url, &path, page, &Expected::default(), LISTING).await? {
            return Ok(None);
        }
        let Some(listed) = Self::read(&browser::read(&path).await?.unwrap_or_default()) else {
            // An answer that is no list is not kept.
            browser::delete(&path).await?;
            return Ok(None);
        };
        for (file, expected) in listed.files.iter().filter(|(file, _)| names::file_name(file).is_ok()) {
            let stored = format!("{folder}/{file}");
            if let Some(kept) = browser::file(&stored).await?
                && !expected.is_surely(&kept)?
            {
                browser::delete(&stored).await?;
            }
        }
        browser::rename(&path, LISTING).await?;
        Ok(Some(listed))
    }

    /// Parses a hub's answer. Returns `None` where it is no list of files.
    fn read(answer: &[u8]) -> Option<Self> {
        let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
        let expected = |file: &serde_json::Value| {
            // Large files are known by their SHA-256, the others by git's SHA-1.
            let checksum = file["lfs"]["sha256"].as_str().or_else(|| file["blobId"].as_str());
            let size = file["lfs"]["size"].as_u64().or_else(|| file["size"].as_u64());
            Some((
                file["rfilename"].as_str()?.to_owned(),
                Expected { checksum: checksum.and_then(Checksum::named), size },
            ))
        };
        let commit = answer["sha"].as_str().and_then(|commit| names::commit(commit).ok()).map(str::to_owned);
        Some(Self { commit, files: answer["siblings"].as_array()?.iter().filter_map(expected).collect() })
    }
}

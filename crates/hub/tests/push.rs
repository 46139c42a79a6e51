//! Uploads: what a hub receives, what is not sent again, and what is refused before anything is committed.

mod server;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lorelei_hub::{
    Contents, HubError, PushEvent, Pushed, Settings, Target, Token, UploadFile, Uploader, result_files,
};
use serde_json::{Value as Json, json};
use server::{Answer, COMMIT, Case, Request, Server, git_sha1, sha256};

const REPO: &str = "whale/songs";
const SECRET: &str = "hf_secret";

/// What a hub holds.
#[derive(Default)]
struct State {
    /// Whether the repository is private, if it is there.
    private: Option<bool>,
    branches: BTreeSet<String>,
    /// Large files by their SHA-256.
    stored: BTreeMap<String, Vec<u8>>,
    /// Checksums of the files of the last commit.
    files: BTreeMap<String, String>,
    /// Lines of the commits.
    commits: Vec<Vec<Json>>,
    /// Bytes in a part, if large files are sent in parts.
    chunk: Option<usize>,
    parts: BTreeMap<String, Vec<u8>>,
    role: Option<&'static str>,
}

/// A hub as it should be, and its storage on another origin.
struct Hub {
    state: Arc<Mutex<State>>,
    server: Server,
    storage: Server,
}

/// Changes an answer of the hub.
type Twist = dyn Fn(&Request, &mut State, Answer) -> Answer + Send + Sync;

impl Hub {
    fn open() -> Self {
        Self::with(|_, _, answer| answer, |_| usize::MAX)
    }

    /// Opens a hub with other answers, and a storage that breaks off.
    fn with(
        twist: impl Fn(&Request, &mut State, Answer) -> Answer + Send + Sync + 'static,
        reading: impl Fn(&Request) -> usize + Send + Sync + 'static,
    ) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let twist: Arc<Twist> = Arc::new(twist);
        let (kept, twisted) = (state.clone(), twist.clone());
        let storage = Server::open_reading(reading, move |request| {
            let state = &mut *kept.lock().unwrap();
            let answer = store(request, state);
            twisted(request, state, answer)
        });
        let (kept, at) = (state.clone(), storage.address.clone());
        let server = Server::open(move |request| {
            let state = &mut *kept.lock().unwrap();
            let answer = hub(request, state, &at);
            twist(request, state, answer)
        });
        Self { state, server, storage }
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    fn settings(&self) -> Settings {
        let mut settings = Case::new(&self.server.address).settings;
        settings.token = Some(Token { secret: SECRET.into(), origin: "HF_TOKEN".into() });
        settings
    }

    /// Uploads, and returns what was heard too.
    fn push_to(&self, target: &Target, files: &[UploadFile]) -> (Result<Pushed, HubError>, Vec<String>) {
        let settings = self.settings();
        let heard = RefCell::new(Vec::new());
        let uploader = Uploader::open(&settings, |event: &PushEvent<'_>| match event {
            PushEvent::Progress { .. } => {}
            event => heard.borrow_mut().push(format!("{event:?}")),
        });
        let pushed = uploader.unwrap().push(target, files, "A summary");
        (pushed, heard.take())
    }

    fn push(&self, files: &[UploadFile]) -> Result<Pushed, HubError> {
        self.push_to(&target(), files).0
    }

    /// Fails to upload, in these words, and commits nothing.
    fn refused(&self, target: &Target, words: &[&str]) -> String {
        let error = self.push_to(target, &files()).0.unwrap_err().to_string();
        for word in [REPO].iter().chain(words) {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
        assert!(!error.contains(SECRET), "{error}");
        assert!(self.state(|state| state.commits.is_empty()), "committed, and then {error}");
        error
    }

    fn puts(&self) -> Vec<Request> {
        self.storage.requests().into_iter().filter(|request| request.method == "PUT").collect()
    }

    /// The token has gone to the hub alone, and with everything.
    fn kept_the_token(&self) {
        for request in self.server.requests() {
            assert_eq!(request.token(), Some(format!("Bearer {SECRET}").as_str()), "{}", request.path);
        }
        for request in self.storage.requests() {
            assert_eq!(request.token(), None, "{}", request.path);
        }
    }
}

fn target() -> Target {
    Target { id: REPO.into(), branch: None, private: None }
}

fn weights() -> Vec<u8> {
    server::contents(server::WEIGHTS).unwrap()
}

fn bytes(name: &str, bytes: impl Into<Vec<u8>>) -> UploadFile {
    UploadFile { name: name.into(), contents: Contents::Bytes(bytes.into()) }
}

/// An adapter's files, two of them large.
fn files() -> Vec<UploadFile> {
    vec![
        bytes("adapter_config.json", "{\"r\": 8}"),
        bytes("adapter_model.safetensors", weights()),
        bytes("second.safetensors", vec![7; 100_000]),
        bytes("empty.safetensors", ""),
    ]
}

fn answer(status: u16, body: Json) -> Answer {
    Answer::new(status).with("Content-Type", "application/json").body(body.to_string())
}

fn parsed(request: &Request) -> Json {
    serde_json::from_slice(&request.body).unwrap()
}

/// Answers as Hugging Face's interface does.
fn hub(request: &Request, state: &mut State, storage: &str) -> Answer {
    let api = format!("/api/models/{REPO}");
    let path = request.path.as_str();
    let info = |private: bool| answer(200, json!({ "id": REPO, "sha": COMMIT, "private": private }));
    let missing = |code: &str| answer(404, json!({ "error": "not found" })).with("X-Error-Code", code);
    match (request.method.as_str(), path.strip_prefix(&api)) {
        ("GET", _) if path == "/api/whoami-v2" => answer(
            200,
            json!({ "name": "whale", "auth": { "accessToken": { "role": state.role.unwrap_or("write") } } }),
        ),
        ("POST", _) if path == "/api/repos/create" => {
            let asked = parsed(request);
            assert_eq!(asked["name"], "songs");
            assert_eq!((&asked["organization"], &asked["type"]), (&json!("whale"), &json!("model")));
            if state.private.is_some() {
                return answer(409, json!({ "error": "You already created this model repo" }));
            }
            state.private = Some(asked["visibility"] == "private");
            state.branches.insert("main".into());
            answer(200, json!({ "url": format!("/{REPO}") }))
        }
        ("POST", _) if path == format!("/{REPO}.git/info/lfs/objects/batch") => {
            batch(request, state, storage)
        }
        ("POST", _) if path == "/verify" => {
            let asked = parsed(request);
            let stored = asked["oid"].as_str().and_then(|oid| state.stored.get(oid));
            match stored.is_some_and(|bytes| asked["size"] == bytes.len()) {
                true => answer(200, json!({})),
                false => answer(404, json!({ "error": "no such object" })),
            }
        }
        (_, Some(_)) if state.private.is_none() => missing("RepoNotFound"),
        ("GET", Some("")) => info(state.private.unwrap()),
        ("GET", Some(rest)) => match rest.strip_prefix("/revision/") {
            Some(branch) if state.branches.contains(branch) => info(state.private.unwrap()),
            _ => missing("RevisionNotFound"),
        },
        ("POST", Some(rest)) => {
            let (what, branch) = rest[1..].split_once('/').unwrap();
            match what {
                "branch" => {
                    state.branches.insert(branch.into());
                    answer(200, json!({}))
                }
                _ if !state.branches.contains(branch) => missing("RevisionNotFound"),
                "preupload" => preupload(request, state),
                "commit" => commit(request, state),
                _ => Answer::new(404),
            }
        }
        _ => Answer::new(404),
    }
}

fn preupload(request: &Request, state: &State) -> Answer {
    let asked = parsed(request);
    let files = asked["files"].as_array().unwrap().iter().map(|file| {
        let path = file["path"].as_str().unwrap();
        assert!(STANDARD.decode(file["sample"].as_str().unwrap()).unwrap().len() <= 512);
        let mode = if path.ends_with(".safetensors") { "lfs" } else { "regular" };
        json!({ "path": path, "uploadMode": mode, "shouldIgnore": path == "ignored.txt", "oid": state.files.get(path) })
    });
    answer(200, json!({ "files": files.collect::<Vec<_>>() }))
}

fn batch(request: &Request, state: &State, storage: &str) -> Answer {
    assert_eq!(request.header("content-type"), Some("application/vnd.git-lfs+json"));
    let asked = parsed(request);
    assert_eq!((&asked["operation"], &asked["hash_algo"]), (&json!("upload"), &json!("sha256")));
    let objects = asked["objects"].as_array().unwrap().iter().map(|object| {
        let (oid, size) = (object["oid"].as_str().unwrap(), object["size"].as_u64().unwrap() as usize);
        if state.stored.contains_key(oid) {
            return json!({ "oid": oid, "size": size });
        }
        let upload = match state.chunk {
            None => {
                json!({ "href": format!("{storage}/put/{oid}?signature=s"), "header": { "x-kind": "blob" } })
            }
            Some(chunk) => {
                let mut header = json!({ "chunk_size": chunk.to_string() });
                for part in 1..=size.div_ceil(chunk) {
                    header[part.to_string()] = json!(format!("{storage}/part/{oid}/{part:05}"));
                }
                json!({ "href": format!("{storage}/complete/{oid}"), "header": header })
            }
        };
        let verify = json!({ "href": format!("http://{}/verify", request.header("host").unwrap()) });
        json!({ "oid": oid, "size": size, "actions": { "upload": upload, "verify": verify } })
    });
    let transfer = if state.chunk.is_some() { "multipart" } else { "basic" };
    answer(200, json!({ "transfer": transfer, "objects": objects.collect::<Vec<_>>() }))
}

/// Answers as a storage of objects does, by signed addresses.
fn store(request: &Request, state: &mut State) -> Answer {
    let path = request.path.split('?').next().unwrap();
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match (request.method.as_str(), &parts[..]) {
        ("PUT", ["put", oid]) => {
            if sha256(&request.body) != *oid {
                return Answer::new(400);
            }
            state.stored.insert((*oid).to_owned(), request.body.clone());
            Answer::new(200)
        }
        ("PUT", ["part", oid, number]) => {
            state.parts.insert(format!("{oid}/{number}"), request.body.clone());
            Answer::new(200).with("ETag", format!("\"tag-{number}\""))
        }
        ("POST", ["complete", oid]) => {
            let asked = parsed(request);
            let mut whole = Vec::new();
            for (number, part) in (1..).zip(asked["parts"].as_array().unwrap()) {
                assert_eq!(part["partNumber"], number);
                assert_eq!(part["etag"], format!("\"tag-{number:05}\""));
                whole.extend(&state.parts[&format!("{oid}/{number:05}")]);
            }
            if sha256(&whole) != *oid {
                return Answer::new(400);
            }
            state.stored.insert((*oid).to_owned(), whole);
            answer(200, json!({}))
        }
        _ => Answer::new(403),
    }
}

fn commit(request: &Request, state: &mut State) -> Answer {
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    let text = std::str::from_utf8(&request.body).unwrap();
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut files = BTreeMap::new();
    for line in &lines[1..] {
        let value = &line["value"];
        let oid = match line["key"].as_str().unwrap() {
            "lfsFile" => {
                let oid = value["oid"].as_str().unwrap();
                match state.stored.get(oid) {
                    Some(bytes) if value["size"] == bytes.len() => oid.to_owned(),
                    _ => return answer(400, json!({ "error": "an object is not in the storage" })),
                }
            }
            "file" => git_sha1(&STANDARD.decode(value["content"].as_str().unwrap()).unwrap()),
            key => panic!("{key}"),
        };
        files.insert(value["path"].as_str().unwrap().to_owned(), oid);
    }
    state.files.extend(files);
    state.commits.push(lines);
    answer(200, json!({ "success": true, "commitOid": COMMIT, "commitUrl": "/", "pullRequestUrl": null }))
}

#[test]
fn all_files_arrive_in_one_commit() {
    let hub = Hub::open();
    let (pushed, heard) = hub.push_to(&target(), &[files(), vec![bytes("ignored.txt", "x")]].concat());
    let address = format!("{}/{REPO}", hub.server.address);
    assert_eq!(pushed.unwrap(), Pushed { address, commit: COMMIT.into(), is_new: true });
    hub.state(|state| {
        assert_eq!(state.private, Some(false));
        assert_eq!(state.stored[&sha256(&weights())], weights());
        assert_eq!(state.stored.len(), 2);
        let [lines] = &state.commits[..] else { panic!("{} commits", state.commits.len()) };
        assert_eq!(lines[0], json!({ "key": "header", "value": { "summary": "A summary", "description": "" } }));
        assert_eq!(
            lines[1],
            json!({ "key": "file", "value": {
                "content": STANDARD.encode("{\"r\": 8}"), "path": "adapter_config.json", "encoding": "base64",
            } })
        );
        assert_eq!(
            lines[2],
            json!({ "key": "lfsFile", "value": {
                "path": "adapter_model.safetensors", "algo": "sha256", "oid": sha256(&weights()), "size": 300_000,
            } })
        );
        // An empty file is none for the storage.
        assert_eq!((&lines[4]["key"], &lines[4]["value"]["content"]), (&json!("file"), &json!("")));
        assert_eq!(lines.len(), 5);
    });
    assert!(heard.iter().any(|event| event == "Ignored { file: \"ignored.txt\" }"), "{heard:?}");
    // What the hub asks to send along goes along, and the token does not.
    assert!(hub.puts().iter().all(|request| request.header("x-kind") == Some("blob")));
    hub.kept_the_token();

    // Nothing is sent again, and there is no commit of nothing.
    let (again, heard) = hub.push_to(&target(), &files());
    assert!(!again.unwrap().is_new);
    assert_eq!(heard.len(), 4, "{heard:?}");
    assert_eq!((hub.puts().len(), hub.state(|state| state.commits.len())), (2, 1));
    // A file that has changed is committed alone.
    let mut changed = files();
    changed[0] = bytes("adapter_config.json", "{\"r\": 16}");
    assert!(hub.push(&changed).unwrap().is_new);
    assert_eq!((hub.puts().len(), hub.state(|state| state.commits[1].len())), (2, 2));
}

#[test]
fn large_files_go_in_parts_where_the_hub_asks_for_it() {
    // The last part is shorter, or as long as the others.
    for chunk in [65_536, 100_000, 300_000] {
        let hub = Hub::open();
        hub.state(|state| state.chunk = Some(chunk));
        hub.push(&files()).unwrap();
        assert_eq!(hub.puts().len(), 300_000_usize.div_ceil(chunk) + 100_000_usize.div_ceil(chunk));
        assert_eq!(hub.state(|state| state.stored[&sha256(&weights())].clone()), weights());
        hub.kept_the_token();
    }
}

#[test]
fn an_upload_that_broke_off_goes_on_with_what_is_missing() {
    // The storage hangs up within the second file, for as long as `broken` says so.
    let broken = Arc::new(Mutex::new(true));
    let breaks = broken.clone();
    let second = sha256(&[7; 100_000]);
    let path = format!("/put/{second}");
    let at = path.clone();
    let hub = Hub::with(
        |_, _, answer| answer,
        move |request| {
            if request.path.starts_with(&at) && *breaks.lock().unwrap() { 30_000 } else { usize::MAX }
        },
    );
    let error = hub.refused(&target(), &["tried 5 times"]);
    assert!(!error.contains("signature"), "{error}");
    assert_eq!(hub.puts().len(), 6);
    assert!(hub.state(|state| state.stored.contains_key(&sha256(&weights()))));
    *broken.lock().unwrap() = false;
    let (pushed, heard) = hub.push_to(&target(), &files());
    assert!(pushed.unwrap().is_new);
    assert_eq!(hub.puts().len(), 7);
    assert!(hub.puts()[6].path.starts_with(&path));
    assert!(
        heard.iter().any(|event| event == "Present { file: \"adapter_model.safetensors\" }"),
        "{heard:?}"
    );
    assert_eq!(hub.state(|state| state.commits.len()), 1);

    // Broken off once, it goes on by itself.
    let hub =
        Hub::with(|_, _, answer| answer, |request| if request.count == 1 { 30_000 } else { usize::MAX });
    hub.push(&files()).unwrap();
    assert_eq!(hub.puts().len(), 4);
}

#[test]
fn a_commit_whose_answer_was_lost_is_not_made_twice() {
    let hub = Hub::with(
        |request, _, answer| match request.path.contains("/commit/") {
            true => answer.cut(10),
            false => answer,
        },
        |_| usize::MAX,
    );
    let pushed = hub.push(&files()).unwrap();
    assert_eq!((pushed.commit.as_str(), pushed.is_new), (COMMIT, false));
    assert_eq!((hub.puts().len(), hub.state(|state| state.commits.len())), (2, 1));
    // A busy hub has not committed, and is asked again.
    let hub = Hub::with(
        |request, state, answer| match request.path.contains("/commit/") && request.count == 1 {
            true => {
                (state.commits, state.files) = Default::default();
                Answer::new(503).with("Retry-After", "0")
            }
            false => answer,
        },
        |_| usize::MAX,
    );
    assert!(hub.push(&files()).unwrap().is_new);
    assert_eq!((hub.puts().len(), hub.state(|state| state.commits.len())), (2, 1));
}

#[test]
fn repositories_and_branches_are_created_where_they_are_not_there() {
    let private = Target { private: Some(true), ..target() };
    let hub = Hub::open();
    hub.push_to(&private, &files()).0.unwrap();
    assert_eq!(hub.state(|state| state.private), Some(true));
    // One that is there stays as it is.
    let hub = Hub::open();
    hub.state(|state| (state.private, state.branches) = (Some(true), BTreeSet::from(["main".into()])));
    hub.push_to(&Target { private: Some(false), ..target() }, &files()).0.unwrap();
    assert_eq!(hub.state(|state| state.private), Some(true));
    assert!(!hub.server.paths().contains(&"/api/repos/create".to_owned()));
    // One that is there and is not shown is written to all the same.
    let hub = Hub::with(
        |request, _, answer| if request.path.ends_with("songs") { Answer::new(404) } else { answer },
        |_| usize::MAX,
    );
    hub.state(|state| (state.private, state.branches) = (Some(false), BTreeSet::from(["main".into()])));
    hub.push(&files()).unwrap();
    // Nothing that is to be private goes to a public one.
    let hub = Hub::open();
    hub.state(|state| (state.private, state.branches) = (Some(false), BTreeSet::from(["main".into()])));
    hub.refused(&private, &["is public", "nothing is uploaded"]);
    assert!(hub.puts().is_empty());
    // A hub that does not know the word makes a public one.
    let hub = Hub::with(
        |request, state, answer| {
            if request.path == "/api/repos/create" {
                state.private = Some(false);
            }
            answer
        },
        |_| usize::MAX,
    );
    hub.refused(&private, &["is public"]);

    let branch = Target { branch: Some("v2".into()), ..target() };
    let hub = Hub::open();
    hub.push_to(&branch, &files()).0.unwrap();
    assert!(hub.state(|state| state.branches.contains("v2")));
    hub.push_to(&branch, &files()).0.unwrap();
    assert_eq!(hub.server.paths().iter().filter(|path| path.ends_with("/branch/v2")).count(), 1);
    let hub = Hub::open();
    hub.refused(&Target { branch: Some(COMMIT.into()), ..target() }, &["is a commit"]);
    hub.refused(&Target { branch: Some("../x".into()), ..target() }, &["the revision"]);
    assert!(hub.server.requests().is_empty());
}

#[test]
fn refusals_name_the_token_and_the_way_out() {
    let with = |status: u16, at: &'static str| {
        Hub::with(
            move |request, state, answer| match request.path.contains(at) {
                true => {
                    state.commits.clear();
                    Answer { status, ..answer.body("{\"error\": \"so it is\"}") }
                }
                false => answer,
            },
            |_| usize::MAX,
        )
    };
    with(401, "/api/").refused(&target(), &["401", "HF_TOKEN", "/settings/tokens", "so it is"]);
    for at in ["/api/repos/create", "/preupload/", "/objects/batch", "/commit/"] {
        let hub = with(403, at);
        hub.refused(&target(), &["403", "HF_TOKEN", "may not write", "so it is"]);
        hub.kept_the_token();
    }
    with(403, "/put/").refused(&target(), &["403", "the storage at", "adapter_model.safetensors"]);
    with(404, "/verify").refused(&target(), &["404", "nothing is committed"]);
    with(429, "/preupload/").refused(&target(), &["429", "too many requests", "tried 5 times"]);
    with(500, "/put/").refused(&target(), &["500", "tried 5 times"]);
    with(412, "/commit/").refused(&target(), &["412", "changed in the meantime"]);
    with(302, "/commit/").refused(&target(), &["302"]);

    let hub = Hub::open();
    let mut settings = hub.settings();
    let open = |settings: &Settings| Uploader::open(settings, |_| {}).map(drop).unwrap_err().to_string();
    settings.offline = Some("HF_HUB_OFFLINE");
    assert!(open(&settings).contains("HF_HUB_OFFLINE"));
    (settings.offline, settings.token) = (None, None);
    let error = open(&settings);
    assert!(error.contains("HF_TOKEN") && error.contains("/settings/tokens"), "{error}");
    assert!(hub.server.requests().is_empty());
}

#[test]
fn names_without_an_owner_go_to_the_token_s_account() {
    let hub = Hub::open();
    let settings = hub.settings();
    let id = |name: &str| {
        Uploader::open(&settings, |_| {}).unwrap().full_id(name).map_err(|error| error.to_string())
    };
    assert_eq!(id("songs").as_deref(), Ok(REPO));
    assert_eq!(id("pod/songs").as_deref(), Ok("pod/songs"));
    let asked = hub.server.requests().len();
    for bad in ["", "a b", "../x", "a/b/c", "so--ng", "x?y"] {
        assert!(id(bad).is_err(), "{bad:?}");
    }
    assert_eq!(hub.server.requests().len(), asked);
    hub.state(|state| state.role = Some("read"));
    let error = id("pod/songs").unwrap_err();
    assert!(error.contains("may only read") && error.contains("HF_TOKEN"), "{error}");
    // A hub that has no accounts takes names with an owner.
    let hub = Hub::with(|_, _, _| Answer::new(404), |_| usize::MAX);
    let settings = hub.settings();
    let id = |name: &str| {
        Uploader::open(&settings, |_| {}).unwrap().full_id(name).map_err(|error| error.to_string())
    };
    assert_eq!(id("pod/songs").as_deref(), Ok("pod/songs"));
    assert!(id("songs").unwrap_err().contains("owner/name"));
    // A hub that names a way out of the interface for an account.
    let hub = Hub::with(|_, _, answer| answer.body("{\"name\": \"../../x\"}"), |_| usize::MAX);
    let settings = hub.settings();
    assert!(Uploader::open(&settings, |_| {}).unwrap().full_id("songs").is_err());
}

#[test]
fn a_hub_that_answers_what_it_was_not_asked_is_refused() {
    let changed = |at: &'static str, change: fn(&mut Json)| {
        Hub::with(
            move |request, _, answer| match request.path.contains(at) {
                true => {
                    let mut body = serde_json::from_slice(&answer.body).unwrap_or_default();
                    change(&mut body);
                    answer.body(body.to_string())
                }
                false => answer,
            },
            |_| usize::MAX,
        )
    };
    changed("/batch", |body| body["objects"][0]["oid"] = json!("f".repeat(64)))
        .refused(&target(), &["was not asked about", "ffff"]);
    changed("/batch", |body| body["objects"][0]["size"] = json!(1)).refused(&target(), &["another size"]);
    changed("/batch", |body| drop(body["objects"].as_array_mut().unwrap().pop()))
        .refused(&target(), &["second.safetensors", "does not say where"]);
    changed("/batch", |body| body["transfer"] = json!("ssh")).refused(&target(), &["ssh"]);
    changed("/batch", |body| body["objects"][0]["actions"]["upload"]["href"] = json!("file:///etc/passwd"))
        .refused(&target(), &["file:///etc/passwd", "no address"]);
    changed("/batch", |body| body["objects"][1]["error"] = json!({ "code": 422, "message": "too odd" }))
        .refused(&target(), &["second.safetensors", "too odd"]);
    changed("/batch", |body| body["objects"][0]["actions"]["upload"]["header"] = json!({ "chunk_size": 0 }))
        .refused(&target(), &["chunk_size"]);
    changed("/batch", |body| {
        body["objects"][0]["actions"]["upload"]["header"] = json!({ "chunk_size": 9, "1": "http://x" })
    })
    .refused(&target(), &["in parts"]);
    changed("/preupload/", |body| body["files"][1]["uploadMode"] = json!("pigeon"))
        .refused(&target(), &["pigeon"]);
    changed("/preupload/", |body| drop(body["files"].as_array_mut().unwrap().remove(1)))
        .refused(&target(), &["adapter_model.safetensors"]);
    changed("/preupload/", |body| *body = json!([])).refused(&target(), &["JSON", "address of a hub"]);
    // A storage that has other bytes than were sent.
    let hub = Hub::with(
        |request, state, answer| {
            if request.path.starts_with("/put/") {
                state.stored.values_mut().for_each(|bytes| bytes.truncate(10));
            }
            answer
        },
        |_| usize::MAX,
    );
    hub.refused(&target(), &["has arrived", "nothing is committed"]);
    // A commit that is none.
    let hub = changed("/commit/", |body| body["commitOid"] = json!("../../x"));
    let error = hub.push(&files()).unwrap_err().to_string();
    assert!(error.contains("../../x") && error.contains("look at"), "{error}");
}

#[test]
fn redirections_keep_the_token_and_the_contents() {
    // The hub's interface is elsewhere on the same origin, and the storage on yet another.
    let third = Arc::new(Mutex::new(String::new()));
    let at = third.clone();
    let hub = Hub::with(
        move |request, _, answer| match request.path.strip_prefix("/put/") {
            Some(rest) => Answer::new(307).with("Location", format!("{}/moved/{rest}", at.lock().unwrap())),
            None => answer,
        },
        |_| usize::MAX,
    );
    let kept = hub.state.clone();
    let moved = Server::open(move |request| {
        kept.lock().unwrap().stored.insert(sha256(&request.body), request.body.clone());
        Answer::new(200)
    });
    third.lock().unwrap().clone_from(&moved.address);
    hub.push(&files()).unwrap();
    assert_eq!(hub.state(|state| state.stored[&sha256(&weights())].clone()), weights());
    assert!(moved.requests().iter().all(|request| request.token().is_none()));
    hub.kept_the_token();
    // An interface that leads to another origin is followed without the token, and so fails there.
    let elsewhere = Server::open(|request| Answer::new(if request.token().is_none() { 401 } else { 200 }));
    let address = elsewhere.address.clone();
    let hub = Hub::with(
        move |request, _, answer| match request.path.contains("/preupload/") {
            true => Answer::new(307).with("Location", format!("{address}{}", request.path)),
            false => answer,
        },
        |_| usize::MAX,
    );
    hub.refused(&target(), &["401"]);
    assert_eq!(elsewhere.requests().len(), 1);
}

#[test]
fn of_a_run_s_folder_only_its_result_goes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let names = |folder: &Path| {
        let found = result_files(folder).unwrap();
        (found.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>(), found)
    };
    let error = result_files(folder.path()).unwrap_err().to_string();
    assert!(error.contains("adapter_config.json") && error.contains("output_dir"), "{error}");
    write("adapter_config.json", "{\"base_model_name_or_path\": \"/home/whale/base\"}");
    let error = result_files(folder.path()).unwrap_err().to_string();
    assert!(error.contains("adapter_model.safetensors") && error.contains("not whole"), "{error}");
    write("adapter_model.safetensors", "weights");
    write("README.md", "card");
    write("labels.json", "{}");
    write(
        "recipe.toml",
        "[data]\ntrain_file = \"/home/whale/secret.jsonl\"\n[training]\noutput_dir = \"/home/whale/out\"\n",
    );
    for other in [
        ".env",
        "trainer_log.jsonl",
        "optimizer.safetensors",
        "checkpoint-5/adapter_model.safetensors",
        "notes.txt",
        "runs/events",
    ] {
        write(other, "x");
    }
    let (found, result) = names(folder.path());
    assert_eq!(
        found,
        ["adapter_config.json", "adapter_model.safetensors", "README.md", "labels.json", "recipe.toml"]
    );
    let Contents::Bytes(recipe) = &result.files[4].contents else { panic!("{:?}", result.files[4]) };
    let recipe = String::from_utf8(recipe.clone()).unwrap();
    assert!(
        recipe.contains("\"secret.jsonl\"") && recipe.contains("\"out\"") && !recipe.contains("/home"),
        "{recipe}"
    );
    let [notice] = &result.notices[..] else { panic!("{:?}", result.notices) };
    assert!(notice.contains("/home/whale/base"), "{notice}");
    write("recipe.toml", "[lora\n");
    write("adapter_config.json", "{\"base_model_name_or_path\": \"owner/base\"}");
    let (found, result) = names(folder.path());
    assert_eq!((found.len(), result.notices.len()), (4, 1));
    #[cfg(unix)]
    {
        fs::remove_file(folder.path().join("README.md")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("README.md")).unwrap();
        assert_eq!(names(folder.path()).0.len(), 3);
    }

    // A whole model, in shards.
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("config.json", "{}");
    write("tokenizer.json", "{}");
    write(
        "model.safetensors.index.json",
        "{\"weight_map\": {\"a\": \"model-1.safetensors\", \"b\": \"model-2.safetensors\"}}",
    );
    write("model-1.safetensors", "x");
    assert!(result_files(folder.path()).unwrap_err().to_string().contains("model-2.safetensors"));
    write("model-2.safetensors", "x");
    write("optimizer.pt", "x");
    assert_eq!(
        names(folder.path()).0,
        [
            "config.json",
            "model-1.safetensors",
            "model-2.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json"
        ]
    );
    for outside in ["../x", "/etc/hostname", "sub/x"] {
        write("model.safetensors.index.json", &json!({ "weight_map": { "a": outside } }).to_string());
        assert!(result_files(folder.path()).is_err(), "{outside}");
    }
}

#[test]
fn files_are_read_from_the_disk_and_hidden_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    fs::write(&path, weights()).unwrap();
    let of_disk =
        |name: &str, path: &Path| UploadFile { name: name.into(), contents: Contents::Path(path.into()) };
    let hub = Hub::open();
    hub.push(&[of_disk("adapter_model.safetensors", &path)]).unwrap();
    assert_eq!(hub.state(|state| state.stored[&sha256(&weights())].clone()), weights());
    for name in [".env", "a/.b", "../x", "/x", ""] {
        assert!(hub.push(&[of_disk(name, &path)]).is_err(), "{name:?}");
    }
    let error = hub.push(&[of_disk("x.txt", &folder.path().join("none"))]).unwrap_err().to_string();
    assert!(error.contains("none") && error.contains("cannot be read"), "{error}");
    assert_eq!(hub.state(|state| state.commits.len()), 1);
    // A file that grows while it is on its way is not committed.
    let growing = path.clone();
    let hub = Hub::with(
        move |request, _, answer| {
            if request.path.starts_with("/put/") {
                fs::write(&growing, [weights(), vec![0]].concat()).unwrap();
            }
            answer
        },
        |_| usize::MAX,
    );
    let error = hub.push(&[of_disk("adapter_model.safetensors", &path)]).unwrap_err().to_string();
    assert!(error.contains("was changed while"), "{error}");
    assert!(hub.state(|state| state.commits.is_empty()));
}

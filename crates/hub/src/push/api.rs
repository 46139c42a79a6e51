//! The requests to a hub's own interface.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};
use ureq::http::{HeaderName, HeaderValue, Method, Uri, header};

use super::{Opened, PushEvent, Target, Uploader, words::Words};
use crate::{
    checksum,
    error::Problem,
    names, redirect,
    transport::{Attempts, Failure, Message, Received},
};

/// Number of files that a hub is asked about at a time, as in `huggingface_hub`.
const AT_ONCE: usize = 256;
/// The branch that every repository has.
const MAIN: &str = "main";

static JSON: [(HeaderName, HeaderValue); 1] =
    [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];

/// A file of a commit.
pub struct Planned<'p, 'f> {
    pub file: &'p Opened<'f>,
    /// Whether its contents are in the storage for large files.
    pub is_large: bool,
}

/// A request to the hub itself, with the token.
pub struct Ask<'a> {
    pub method: Method,
    pub address: &'a str,
    pub headers: &'a [(HeaderName, HeaderValue)],
    pub body: Option<Vec<u8>>,
    /// Page of what is asked about.
    pub page: &'a str,
}

/// What a hub says of a repository.
struct Info {
    private: Option<bool>,
    commit: Option<String>,
}

impl Uploader<'_> {
    /// Returns the account of the token, if the hub has accounts.
    pub(super) fn user(&self) -> Result<Option<String>, Problem> {
        let page = &self.settings.endpoint;
        let address = format!("{page}/api/whoami-v2");
        let ask = self.get(&address, page);
        let received = self.received(&ask)?;
        if received.status == 404 {
            return Ok(None);
        }
        let answer = self.accepted(&ask, received)?;
        let role = answer.pointer("/auth/accessToken/role").and_then(Json::as_str);
        if role == Some("read") {
            return Err(Problem::Refused(format!(
                "the token in {} may only read: make one that may write at {page}/settings/tokens, and set HF_TOKEN to it",
                self.token
            )));
        }
        let name = answer.get("name").and_then(Json::as_str).unwrap_or_default();
        // It becomes a part of addresses.
        names::owner_and_name(&format!("{name}/x"))?;
        Ok(Some(name.to_owned()))
    }

    /// Creates the repository and the branch where they are not there.
    pub(super) fn prepared(&self, target: &Target) -> Result<(), Problem> {
        let (owner, name) = names::owner_and_name(&target.id)?;
        let branch = branch(target)?;
        let info = match self.info(target, None)? {
            Some(info) => info,
            None => {
                self.create(target, owner, name)?;
                self.info(target, None)?.unwrap_or(Info { private: None, commit: None })
            }
        };
        if target.private == Some(true) && info.private != Some(true) {
            let page = self.settings.model_page(&target.id);
            let is = if info.private.is_some() { "is public" } else { "is not said to be private" };
            return Err(Problem::Refused(format!(
                "{page} {is}, and the upload is to be private: nothing is uploaded. Make it private in its settings, name another \
                 repository, or do not ask for a private one"
            )));
        }
        if branch != MAIN && self.info(target, Some(branch))?.is_none() {
            self.create_branch(target, branch)?;
        }
        Ok(())
    }

    /// Returns the commit that the branch is at.
    pub(super) fn head(&self, target: &Target) -> Result<String, Problem> {
        let info = self.info(target, Some(branch(target)?))?;
        info.and_then(|info| info.commit)
            .ok_or_else(|| Problem::Answer("the hub does not say which commit has the files".into()))
    }

    fn info(&self, target: &Target, branch: Option<&str>) -> Result<Option<Info>, Problem> {
        let address = match branch {
            None => self.api(target, ""),
            Some(branch) => self.api(target, &format!("/revision/{}", names::encoded_segment(branch))),
        };
        let page = self.settings.model_page(&target.id);
        let ask = self.get(&address, &page);
        let received = self.received(&ask)?;
        match received.status {
            // A repository that the token may not see, or may not yet, is not there either.
            401 | 403 | 404 => Ok(None),
            _ => {
                let answer = self.accepted(&ask, received)?;
                let commit = answer.get("sha").and_then(Json::as_str);
                let commit = commit.map(|commit| names::commit(commit).map(str::to_owned)).transpose()?;
                Ok(Some(Info { private: answer.get("private").and_then(Json::as_bool), commit }))
            }
        }
    }

    fn create(&self, target: &Target, owner: &str, name: &str) -> Result<(), Problem> {
        let mut body = json!({ "name": name, "organization": owner, "type": "model" });
        if let Some(private) = target.private {
            body["visibility"] = json!(if private { "private" } else { "public" });
        }
        let address = format!("{}/api/repos/create", self.settings.endpoint);
        let page = self.settings.model_page(&target.id);
        let ask = self.post(&address, &body, &page);
        let notice = |reason: &str, wait| self.say(&PushEvent::Retry { reason, wait });
        let mut attempts = Attempts::new(self.settings, &notice);
        loop {
            let received = self.received(&ask)?;
            let said = message(&received);
            match received.status {
                409 if said.as_deref().is_some_and(|said| said.contains("another conflicting operation")) => {
                    attempts
                        .again(None, "the hub is creating another repository")
                        .map_err(Problem::Refused)?;
                }
                // It is there, and was created in the meantime or is not shown.
                409 => return Ok(()),
                _ => return self.accepted(&ask, received).map(drop),
            }
        }
    }

    fn create_branch(&self, target: &Target, branch: &str) -> Result<(), Problem> {
        let address = self.api(target, &format!("/branch/{}", names::encoded_segment(branch)));
        let page = self.settings.model_page(&target.id);
        let ask = self.post(&address, &json!({}), &page);
        let received = self.received(&ask)?;
        match received.status {
            409 => Ok(()),
            200..=299 => Ok(()),
            _ => self.accepted(&ask, received).map(drop),
        }
    }

    /// Asks which files are large, and leaves out those that the branch has as they are and those that its `.gitignore` names.
    pub(super) fn preupload<'p, 'f>(
        &self,
        target: &Target,
        files: &'p [Opened<'f>],
    ) -> Result<Vec<Planned<'p, 'f>>, Problem> {
        let branch = names::encoded_segment(branch(target)?);
        let (address, page) =
            (self.api(target, &format!("/preupload/{branch}")), self.settings.model_page(&target.id));
        let mut planned = Vec::new();
        for files in files.chunks(AT_ONCE) {
            let described = files.iter().map(|file| {
                json!({ "path": file.name, "sample": STANDARD.encode(&file.sample), "size": file.size })
            });
            let body = json!({ "files": described.collect::<Vec<_>>() });
            let answer = self.json(&self.post(&address, &body, &page))?;
            let answered =
                answer.get("files").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
            for file in files {
                let of_file =
                    answered.iter().find(|one| one.get("path").and_then(Json::as_str) == Some(file.name));
                let mode = of_file.and_then(|one| one.get("uploadMode")?.as_str());
                let is_large = match mode {
                    // An empty file cannot be stored.
                    Some("lfs") => file.size > 0,
                    Some("regular") => false,
                    other => {
                        return Err(Problem::Answer(format!(
                            "the hub was asked how to upload {} and answers {other:?}, which is no way that is known here",
                            file.name
                        )));
                    }
                };
                let is_ignored =
                    of_file.and_then(|one| one.get("shouldIgnore")?.as_bool()).unwrap_or_default();
                let there = of_file.and_then(|one| one.get("oid")?.as_str());
                if is_ignored {
                    self.say(&PushEvent::Ignored { file: file.name });
                } else if there.is_some() && there == Some(&local_oid(file, is_large)?) {
                    self.say(&PushEvent::Present { file: file.name });
                } else {
                    planned.push(Planned { file, is_large });
                }
            }
        }
        Ok(planned)
    }

    /// Commits the files, all at once. Returns the commit.
    pub(super) fn commit(
        &self,
        target: &Target,
        planned: &[Planned<'_, '_>],
        summary: &str,
    ) -> Result<String, Failure> {
        let mut body =
            json!({ "key": "header", "value": { "summary": summary, "description": "" } }).to_string();
        for Planned { file, is_large } in planned {
            let line = match is_large {
                true => json!({ "key": "lfsFile", "value": {
                    "path": file.name, "algo": "sha256", "oid": file.sha256, "size": file.size,
                } }),
                false => json!({ "key": "file", "value": {
                    "content": STANDARD.encode(file.whole()?), "path": file.name, "encoding": "base64",
                } }),
            };
            body.push('\n');
            body.push_str(&line.to_string());
        }
        body.push('\n');
        let branch = names::encoded_segment(branch(target)?);
        let (address, page) =
            (self.api(target, &format!("/commit/{branch}")), self.settings.model_page(&target.id));
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))];
        let ask = Ask {
            method: Method::POST,
            address: &address,
            headers: &headers,
            body: Some(body.into_bytes()),
            page: &page,
        };
        // A commit is not simply made again: the answer to it may have been lost alone.
        let received = self.with_message(&ask, |message| self.transport.send_once(message))?;
        let answer = self.accepted(&ask, received)?;
        let commit = answer.get("commitOid").and_then(Json::as_str).unwrap_or_default();
        match names::is_commit(commit) {
            true => Ok(commit.to_owned()),
            false => Err(Problem::Answer(format!(
                "the hub answers to the commit without naming it ({commit:?}): look at {page} whether the files are there"
            ))
            .into()),
        }
    }

    fn api(&self, target: &Target, rest: &str) -> String {
        format!("{}/api/models/{}{rest}", self.settings.endpoint, names::encoded_path(&target.id))
    }

    fn get<'a>(&self, address: &'a str, page: &'a str) -> Ask<'a> {
        Ask { method: Method::GET, address, headers: &[], body: None, page }
    }

    fn post<'a>(&self, address: &'a str, body: &Json, page: &'a str) -> Ask<'a> {
        Ask { method: Method::POST, address, headers: &JSON, body: Some(body.to_string().into_bytes()), page }
    }

    /// Asks, and returns the answer as JSON.
    pub(super) fn json(&self, ask: &Ask<'_>) -> Result<Json, Problem> {
        let received = self.received(ask)?;
        self.accepted(ask, received)
    }

    fn received(&self, ask: &Ask<'_>) -> Result<Received, Problem> {
        let notice = |reason: &str, wait| self.say(&PushEvent::Retry { reason, wait });
        let mut attempts = Attempts::new(self.settings, &notice);
        self.with_message(ask, |message| self.transport.send(message, &mut attempts))
    }

    fn with_message<T, E: From<Problem>>(
        &self,
        ask: &Ask<'_>,
        send: impl FnOnce(&Message<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let address = parsed(ask.address)?;
        let words = self.words(ask.page);
        send(&Message {
            method: ask.method.clone(),
            address: &address,
            with_token: true,
            headers: ask.headers,
            body: ask.body.as_ref().map(|body| body as _),
            words: &|answer| words.of(answer),
        })
    }

    /// Returns an answer's JSON if it has been accepted.
    fn accepted(&self, ask: &Ask<'_>, received: Received) -> Result<Json, Problem> {
        if !(200..300).contains(&received.status) {
            let said = message(&received);
            return Err(Problem::Refused(self.words(ask.page).of(&received.answer(said.as_deref()))));
        }
        let json = serde_json::from_slice(&received.body).ok().filter(Json::is_object);
        json.ok_or_else(|| {
            let address = ask.address.split('?').next().unwrap_or_default();
            Problem::Answer(format!(
                "{address} does not answer in JSON: is {} the address of a hub?",
                self.settings.endpoint
            ))
        })
    }

    fn words<'w>(&'w self, page: &'w str) -> Words<'w> {
        Words { endpoint: &self.settings.endpoint, page, token: &self.token }
    }
}

/// Returns the branch to upload to.
pub fn branch(target: &Target) -> Result<&str, Problem> {
    let branch = names::revision(target.branch.as_deref().unwrap_or(MAIN))?;
    match names::is_commit(branch) {
        true => Err(Problem::Refused(format!("{branch} is a commit: files are uploaded to a branch"))),
        false => Ok(branch),
    }
}

/// Parses an address that was made here or by the hub.
pub fn parsed(address: &str) -> Result<Uri, Problem> {
    let quoted = || address.split('?').next().unwrap_or_default().chars().take(200).collect::<String>();
    redirect::parsed(address).ok_or_else(|| Problem::Answer(format!("{:?} is no address", quoted())))
}

/// Returns what a hub says of a refusal in its body.
fn message(received: &Received) -> Option<String> {
    let body: Json = serde_json::from_slice(&received.body).ok()?;
    ["error", "message"].iter().find_map(|key| body.get(key)?.as_str()).map(str::to_owned)
}

/// Returns the checksum by which a hub knows a file: `huggingface_hub`'s `CommitOperationAdd._local_oid`.
fn local_oid(file: &Opened<'_>, is_large: bool) -> Result<String, Problem> {
    match is_large {
        true => Ok(file.sha256.clone()),
        false => Ok(checksum::git_sha1(&file.whole()?)),
    }
}

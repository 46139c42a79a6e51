//! Large files' way into a hub's storage, by Git LFS's [batch interface](https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md) and Hugging Face's
//! transfer in parts.

use std::io::{self, Read};

use serde_json::{Value as Json, json};
use ureq::http::{HeaderName, HeaderValue, Method, header};

use super::{
    Opened, PushEvent, Target, Uploader,
    api::{Ask, branch, parsed},
};
use crate::{
    error::Problem,
    names, redirect,
    transport::{Attempts, Message, Payload, Received},
};

/// Number of files that a hub is asked about at a time, as in `huggingface_hub`.
const AT_ONCE: usize = 256;
/// Address in answers that mirrors pass on as they are.
const HUGGING_FACE: &str = "https://huggingface.co/";
/// The media type of Git LFS.
const LFS: HeaderValue = HeaderValue::from_static("application/vnd.git-lfs+json");
/// Headers of the connection, which no hub sets.
const OWN_HEADERS: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::EXPECT,
    header::UPGRADE,
];

/// What a hub asks for an object: where to send it.
struct Action<'j> {
    href: String,
    header: Option<&'j serde_json::Map<String, Json>>,
}

/// A part of a file on its way, of `length` bytes.
struct Part<'p, 'f> {
    uploader: &'p Uploader<'p>,
    file: &'p Opened<'f>,
    from: u64,
    length: u64,
}

impl Payload for Part<'_, '_> {
    fn open(&self) -> io::Result<(Box<dyn Read + '_>, u64)> {
        let Self { file, mut from, length, .. } = *self;
        let mut heard = move |count: u64| {
            from += count;
            self.uploader.say(&PushEvent::Progress { file: file.name, done: from, total: file.size });
        };
        heard(0);
        Ok((Box::new(Heard { reader: file.part(self.from, length)?, heard }), length))
    }
}

impl Uploader<'_> {
    /// Uploads the large files that the storage lacks.
    pub(super) fn upload(&self, target: &Target, files: &[&Opened<'_>]) -> Result<(), Problem> {
        for files in files.chunks(AT_ONCE) {
            let answer = self.batch(target, files)?;
            let objects =
                answer.get("objects").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
            if let Some(transfer) = answer.get("transfer").and_then(Json::as_str)
                && !["basic", "multipart", "lfs-multipart-upload"].contains(&transfer)
            {
                return Err(Problem::Answer(format!(
                    "the hub's storage takes files by {transfer:?} alone, and by neither of `basic` and `multipart`"
                )));
            }
            let oid = |object: &Json| object.get("oid").and_then(Json::as_str).unwrap_or_default().to_owned();
            let is_asked = |object: &&Json| files.iter().any(|file| file.sha256 == oid(object));
            if let Some(strange) = objects.iter().find(|object| !is_asked(object)) {
                return Err(Problem::Answer(format!(
                    "the hub's storage answers for an object that it was not asked about ({:?}): nothing is uploaded",
                    oid(strange).chars().take(80).collect::<String>()
                )));
            }
            for (number, file) in files.iter().enumerate() {
                let object = objects.iter().find(|object| oid(object) == file.sha256);
                let object = object.ok_or_else(|| {
                    Problem::Answer(format!(
                        "the hub's storage does not say where {} goes: nothing is committed",
                        file.name
                    ))
                })?;
                let earlier = files.iter().take(number);
                // Two files of the same contents are one object.
                if earlier.into_iter().any(|earlier| earlier.sha256 == file.sha256) {
                    continue;
                }
                self.upload_object(target, file, object)?;
            }
        }
        Ok(())
    }

    fn batch(&self, target: &Target, files: &[&Opened<'_>]) -> Result<Json, Problem> {
        let objects: Vec<_> =
            files.iter().map(|file| json!({ "oid": file.sha256, "size": file.size })).collect();
        let body = json!({
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "objects": objects,
            "hash_algo": "sha256",
            "ref": { "name": branch(target)? },
        });
        let id = names::encoded_path(&target.id);
        let address = format!("{}/{id}.git/info/lfs/objects/batch", self.settings.endpoint);
        let page = self.settings.model_page(&target.id);
        let headers = [(header::ACCEPT, LFS), (header::CONTENT_TYPE, LFS)];
        let body = Some(body.to_string().into_bytes());
        self.json(&Ask { method: Method::POST, address: &address, headers: &headers, body, page: &page })
    }

    fn upload_object(&self, target: &Target, file: &Opened<'_>, object: &Json) -> Result<(), Problem> {
        if let Some(error) = object.get("error") {
            let said = error.get("message").and_then(Json::as_str).unwrap_or("without a reason");
            let said: String = said.chars().take(300).collect();
            return Err(Problem::Refused(format!("the hub's storage refuses {}: {said}", file.name)));
        }
        if object.get("size").and_then(Json::as_u64).is_some_and(|size| size != file.size) {
            return Err(Problem::Answer(format!(
                "the hub's storage answers for {} with another size than its {} bytes",
                file.name, file.size
            )));
        }
        let actions = object.get("actions").filter(|actions| !actions.is_null());
        let Some(upload) = actions.and_then(|actions| actions.get("upload")) else {
            self.say(&PushEvent::Present { file: file.name });
            return Ok(());
        };
        let upload = self.action(upload)?;
        match upload.header.and_then(|header| header.get("chunk_size")) {
            Some(size) => self.upload_parts(file, &upload, size)?,
            None => {
                let part = Part { uploader: self, file, from: 0, length: file.size };
                self.to_storage(file, Method::PUT, &upload.href, &upload.headers(), &part, false)?;
            }
        }
        if let Some(verify) =
            actions.and_then(|actions| actions.get("verify")).filter(|verify| !verify.is_null())
        {
            self.verify(target, file, &self.action(verify)?)?;
        }
        self.say(&PushEvent::Sent { file: file.name });
        Ok(())
    }

    fn upload_parts(&self, file: &Opened<'_>, upload: &Action<'_>, size: &Json) -> Result<(), Problem> {
        let odd = |what: &str| {
            Problem::Answer(format!(
                "the hub's storage takes {} in parts, and does not say which: {what}",
                file.name
            ))
        };
        let size = size.as_u64().or_else(|| size.as_str()?.parse().ok()).filter(|size| *size > 0);
        let size = size.ok_or_else(|| odd("its chunk_size is no number of bytes"))?;
        let mut parts: Vec<(u64, &str)> = upload
            .header
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.parse().ok()?, value.as_str()?)))
            .collect();
        parts.sort_unstable_by_key(|(number, _)| *number);
        let is_in_order = parts.iter().zip(1..).all(|((number, _), wanted)| *number == wanted);
        if parts.len() as u64 != file.size.div_ceil(size) || !is_in_order {
            return Err(odd(&format!("{} addresses for {} bytes by {size}", parts.len(), file.size)));
        }
        let mut completed = Vec::new();
        for (number, address) in parts {
            let from = (number - 1) * size;
            let part = Part { uploader: self, file, from, length: size.min(file.size - from) };
            // The token does not go along: the address itself is the permission.
            let received =
                self.to_storage(file, Method::PUT, &self.at_endpoint(address), &[], &part, false)?;
            let tag =
                received.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
            if tag.is_empty() {
                return Err(odd(&format!("the answer to part {number} has no ETag")));
            }
            completed.push(json!({ "partNumber": number, "etag": tag }));
        }
        let body = json!({ "oid": file.sha256, "parts": completed }).to_string();
        let headers = [(header::ACCEPT, LFS), (header::CONTENT_TYPE, LFS)];
        self.to_storage(file, Method::POST, &upload.href, &headers, &body.into_bytes(), false).map(drop)
    }

    fn verify(&self, target: &Target, file: &Opened<'_>, verify: &Action<'_>) -> Result<(), Problem> {
        let mut headers = verify.headers();
        headers.retain(|(name, _)| name != header::CONTENT_TYPE);
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
        let body = json!({ "oid": file.sha256, "size": file.size }).to_string();
        let verified = self.to_storage(file, Method::POST, &verify.href, &headers, &body.into_bytes(), true);
        verified.map(drop).map_err(|problem| {
            Problem::Refused(format!(
                "{} has arrived, and the hub does not find it as it was sent ({problem}): nothing is committed to {}",
                file.name, target.id
            ))
        })
    }

    /// Sends something to the storage. The token goes to the hub's own origin alone, and there only `with_token`.
    fn to_storage(
        &self,
        file: &Opened<'_>,
        method: Method,
        href: &str,
        headers: &[(HeaderName, HeaderValue)],
        payload: &dyn Payload,
        with_token: bool,
    ) -> Result<Received, Problem> {
        let address = parsed(href)?;
        let endpoint = parsed(&self.settings.endpoint)?;
        if endpoint.scheme_str() == Some("https") && address.scheme_str() != Some("https") {
            return Err(Problem::Answer(format!(
                "the hub's storage for {} is at {}, which is not encrypted: nothing is sent there",
                file.name,
                redirect::shown(&address)
            )));
        }
        let place = redirect::shown(&address);
        let refused = |status: u16| {
            format!(
                "the storage at {place} does not take {} (HTTP {status}): run this again to go on from there",
                file.name
            )
        };
        let notice = |reason: &str, wait| self.say(&PushEvent::Retry { reason, wait });
        let mut attempts = Attempts::new(self.settings, &notice);
        let received = self.transport.send(
            &Message {
                method,
                address: &address,
                with_token,
                headers,
                body: Some(payload),
                words: &|answer| refused(answer.status),
            },
            &mut attempts,
        )?;
        match received.status {
            200..=299 => Ok(received),
            status => Err(Problem::Refused(refused(status))),
        }
    }

    fn action<'j>(&self, action: &'j Json) -> Result<Action<'j>, Problem> {
        let href = action.get("href").and_then(Json::as_str);
        let href =
            href.ok_or_else(|| Problem::Answer("the hub's storage does not say where files go".into()))?;
        Ok(Action { href: self.at_endpoint(href), header: action.get("header").and_then(Json::as_object) })
    }

    /// Returns an address at the mirror that is asked, where the mirror has passed on one of Hugging Face: `huggingface_hub`'s `fix_hf_endpoint_in_url`.
    fn at_endpoint(&self, address: &str) -> String {
        match address.strip_prefix(HUGGING_FACE) {
            Some(rest) => format!("{}/{rest}", self.settings.endpoint),
            None => address.to_owned(),
        }
    }
}

impl Action<'_> {
    /// Returns the headers that go along.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let headers = self.header.into_iter().flatten();
        headers
            .filter_map(|(name, value)| {
                let name: HeaderName = name.parse().ok()?;
                Some((name, HeaderValue::from_str(value.as_str()?).ok()?))
            })
            .filter(|(name, _)| !OWN_HEADERS.contains(name))
            .collect()
    }
}

/// A reader that says how much has been read.
struct Heard<R, F> {
    reader: R,
    heard: F,
}

impl<R: Read, F: FnMut(u64)> Read for Heard<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if count > 0 {
            (self.heard)(count as u64);
        }
        Ok(count)
    }
}

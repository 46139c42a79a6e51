//! Messages between page and worker, a run's log, and what a hub says in its headers.

use lorelei_hub::{
    answer::{Answer, Login, Meaning},
    checksum::Checksum,
    names,
    range::ContentRange,
};
use lorelei_protocol::{Event, LogLine, Notice, Reply, Request};
use serde::{Serialize, de::DeserializeOwned};

use crate::{parts, text};

/// Reads a message of every kind.
pub fn messages(input: &[u8]) {
    let text = text(input);
    there_and_back::<Request>(&text);
    there_and_back::<Reply>(&text);
    there_and_back::<Event>(&text);
    there_and_back::<Notice>(&text);
    there_and_back::<LogLine>(&text);
}

/// Writes a message that was read, and reads it again.
fn there_and_back<T: Serialize + DeserializeOwned>(text: &str) {
    let Ok(read) = serde_json::from_str::<T>(text) else { return };
    let written = serde_json::to_string(&read).expect("a message that was read is written");
    let again = serde_json::from_str::<T>(&written);
    assert!(again.is_ok(), "{written}: {:?}", again.err());
}

/// Reads headers of a hub's answer, and names that it or a user gives.
pub fn hub(input: &[u8]) {
    let [name, tag, message, wait, rate] = parts(input).map(text);
    if let Ok(file) = names::file_name(&name) {
        assert!(
            !file.split('/').any(|part| matches!(part, "" | "." | "..")),
            "{file:?} leads out of its folder"
        );
        assert_eq!(names::decoded(&names::encoded_path(file)).as_deref(), Some(file));
    }
    for plain in
        [names::commit(&name).ok(), names::EntityTag::parse(&tag).ok().as_ref().map(|tag| &tag.value[..])]
    {
        assert!(
            plain.is_none_or(|plain| !plain.contains(['/', '\\', ':', '\0']) && plain != ".."),
            "{plain:?}"
        );
    }
    let _ = (names::revision(&name), names::owner_and_name(&name), names::is_commit(&name));
    assert_eq!(names::decoded(&names::encoded_segment(&name)), Some(name.clone()));
    let _ = names::decoded(&tag);
    if let Some(range) = ContentRange::parse(&tag) {
        let _ = (range.goes_on(0, None), range.goes_on(1, Some(u64::MAX)));
    }
    if let Some(checksum) = Checksum::named(&tag) {
        let mut check = checksum.begin(name.len() as u64);
        check.update(name.as_bytes());
        let _ = check.finish();
    }
    let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    let [code, message, wait, rate] = [&name, &message, &wait, &rate].map(|text| some(text));
    for status in [200, 302, 304, 400, 401, 403, 404, 416, 429, 500, 599, 999] {
        let answer = Answer {
            status,
            error_code: code.as_deref(),
            error_message: message.as_deref(),
            retry_after: wait.as_deref(),
            rate_limit: rate.as_deref(),
        };
        if let Meaning::Busy { refusal, .. } | Meaning::Refused(refusal) = answer.meaning() {
            let _ = refusal.words("https://a.example/x/y", &Login::Anonymous);
        }
    }
}

//! Hubs that are out of order, or mean no good: nothing is written elsewhere, nothing wrong is taken for a file, and all ends with a reason.

mod server;

use std::{
    fs,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use server::{
    Answer, COMMIT, Case, ID, Request, Server, WEIGHTS, contents, file, files, git_sha1, polite, sha256,
};

/// Returns a case with a hub that answers for `config.json` in this way, and else politely.
fn config(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> (Server, Case) {
    let server = Server::open(move |request| match request.file() {
        "config.json" => handler(request),
        _ => polite(request),
    });
    let case = Case::new(&server.address);
    (server, case)
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    let absolute = format!("{}/escaped", std::env::temp_dir().display());
    for name in [
        "../../../../escaped",
        &absolute,
        "..",
        ".",
        "a/b",
        "a\\b",
        "C:x",
        "",
        "W/abc",
        "x.incomplete",
        "nul",
    ] {
        for header in ["ETag", "X-Repo-Commit", "X-Linked-ETag"] {
            if header != "ETag" && name.ends_with("incomplete") {
                continue;
            }
            let (header, value) = (header, name.to_owned());
            let (_, case) = config(move |request| polite(request).with(header, format!("\"{value}\"")));
            let shown = name.escape_debug().to_string();
            let about = if header == "X-Repo-Commit" { "commit" } else { "ETag" };
            case.refused("config.json", &[&shown, about]);
            assert!(files(case.folder.path()).iter().all(|path| !path.to_string_lossy().contains("escaped")));
        }
    }
    for file in ["../../x.safetensors", "/etc/x", "a/../../x", ""] {
        let case = Case::new("http://127.0.0.1:9");
        let error = case.get(file).unwrap_err().to_string();
        assert!(error.contains("not a plain name"), "{error}");
    }
    let case = Case::new("http://127.0.0.1:9");
    for (id, revision) in
        [("../x", None), ("a/b/c", None), ("a/..", None), ("a/b", Some("../../x")), ("a/b", Some(""))]
    {
        assert!(
            lorelei_hub::Repository::open(&case.settings, id, revision, |_| ()).is_err(),
            "{id} {revision:?}"
        );
    }
}

#[test]
fn what_an_answer_lacks_is_said() {
    let (_, case) = config(|_| Answer::new(200).body("{}"));
    case.refused("config.json", &["X-Repo-Commit", "address of a hub"]);
    let (_, case) = config(|request| polite(request).without("ETag"));
    case.refused("config.json", &["no ETag"]);
    let (_, case) = config(|_| Answer::new(200).body("<html>captive portal</html>"));
    case.refused("config.json", &["X-Repo-Commit"]);
}

#[test]
fn redirections_end_and_stay_on_the_web() {
    for (location, words) in [
        (None, "no Location"),
        (Some("/lorelei/tiny/resolve/main/config.json"), "more than 5"),
        (Some("?again"), "more than 5"),
        (Some("config.json"), "more than 5"),
        (Some("file:///etc/passwd"), "no address of http"),
        (Some("ftp://127.0.0.1/x"), "no address of http"),
        (Some("//"), "no address of http"),
    ] {
        let (server, case) = config(move |_| {
            let answer = Answer::new(302).with("X-Repo-Commit", COMMIT).with("ETag", "\"e\"");
            location.map_or(answer.clone(), |location| answer.with("Location", location))
        });
        case.refused("config.json", &[words]);
        assert!(server.requests().len() <= 6, "{location:?}");
    }
    for status in [304, 300, 305, 204] {
        let (_, case) =
            config(move |_| Answer::new(status).with("X-Repo-Commit", COMMIT).with("ETag", "\"e\""));
        case.refused("config.json", &[&status.to_string()]);
    }
    // A relative one that leads to the file is followed, as far as it goes.
    let (_, case) = config(|request| match request.path.split_once('?') {
        Some((_, "q")) => polite(request),
        Some((_, digits)) => Answer::new(307).with("Location", if digits == "3" { "?q" } else { "?3" }),
        None => Answer::new(302).with("Location", "config.json?1"),
    });
    case.ok("config.json");
    // What a redirection names wins over what the storage says, and the query, which is a secret, is shown to nobody.
    let server = Server::open(|request| match request.path.starts_with("/stored/") {
        true => Answer::new(403),
        false => polite(request),
    });
    let error = Case::new(&server.address).refused(WEIGHTS, &["403"]);
    assert!(!error.contains("signature"), "{error}");
}

#[test]
fn storage_that_has_lost_a_file_is_no_absence() {
    let elsewhere = Server::open(|_| Answer::new(404));
    let location = format!("{}/x", elsewhere.address);
    let server = Server::open(move |request| match polite(request) {
        redirection @ Answer { status: 302, .. } => redirection.with("Location", &location),
        answer => answer,
    });
    Case::new(&server.address).refused(WEIGHTS, &["404", "elsewhere"]);
}

#[test]
fn an_absence_is_noted_where_the_answer_names_the_commit() {
    let other = "e".repeat(40);
    for (commit, is_noted) in [(Some(COMMIT), true), (Some(other.as_str()), false), (None, false)] {
        let named = commit.map(str::to_owned);
        let server = Server::open(move |request| match (polite(request), &named) {
            (answer @ Answer { status: 404, .. }, Some(commit)) => answer.with("X-Repo-Commit", commit),
            (answer @ Answer { status: 404, .. }, None) => answer.without("X-Repo-Commit"),
            (answer, _) => answer,
        });
        // At the commit of another file, and at one that is asked for by its own name.
        for revision in [None, Some(COMMIT)] {
            let case = Case::new(&server.address);
            let repository = case.repository(revision);
            if revision.is_none() {
                repository.needed("config.json").unwrap();
            }
            let before = server.requests_for("chat_template.jinja").len();
            assert_eq!(repository.get("chat_template.jinja").unwrap(), None);
            let noted = case.model().join(".no_exist");
            assert_eq!(noted.join(COMMIT).join("chat_template.jinja").is_file(), is_noted, "{commit:?}");
            assert!(!noted.join(&other).exists());
            // What is not noted is asked for again. A commit of which nothing is there is not known to be one.
            assert_eq!(repository.get("chat_template.jinja").unwrap(), None);
            let asked = server.requests_for("chat_template.jinja").len() - before;
            assert_eq!(asked, if is_noted && revision.is_none() { 1 } else { 2 }, "{commit:?} {revision:?}");
        }
    }
}

#[test]
fn only_absence_is_absence() {
    for code in [None, Some("EntryNotFound")] {
        let (_, case) = config(move |_| {
            code.map_or(Answer::new(404), |code| Answer::new(404).with("X-Error-Code", code))
        });
        assert_eq!(case.get("config.json").unwrap(), None);
        let error = case.repository(None).needed("config.json").unwrap_err().to_string();
        assert!(
            error.contains("404") && error.contains("no such file") && error.contains("config.json"),
            "{error}"
        );
    }
    for (status, code, words) in [
        (404, "RepoNotFound", &["404", "no such model", "HF_TOKEN"][..]),
        (404, "RevisionNotFound", &["404", "no such revision"]),
        (401, "RepoNotFound", &["401", "no such model", "private or gated", "HF_TOKEN"]),
        (401, "", &["401", "HF_TOKEN", ID]),
        (401, "GatedRepo", &["401", "gated", "HF_TOKEN", ID]),
        (403, "GatedRepo", &["403", "gated", "HF_TOKEN", ID]),
        (403, "", &["403", "HF_TOKEN"]),
        (400, "", &["400"]),
        (410, "", &["410"]),
        (416, "", &["416"]),
    ] {
        let (server, case) = config(move |_| {
            let answer = Answer::new(status).with("X-Error-Message", "the message of the hub");
            if code.is_empty() { answer } else { answer.with("X-Error-Code", code) }
        });
        let error = case.refused("config.json", words);
        if status != 416 {
            assert!(error.contains("the message of the hub"), "{error}");
        }
        // A file that the model may lack is refused in the same way.
        let optional = case.repository(None).optional("config.json").unwrap_err().to_string();
        assert_eq!(optional, error);
        assert_eq!(server.requests().len(), 2, "{status} {code}");
    }
}

#[test]
fn a_busy_hub_is_asked_five_times() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (server, case) = config(move |request| match request.count {
            1..=4 => Answer::new(status),
            _ => polite(request),
        });
        case.ok("config.json");
        assert_eq!(server.requests().len(), 5);
        assert_eq!(case.heard.borrow().iter().filter(|event| event.contains("Retry")).count(), 4);

        let (server, case) = config(move |_| Answer::new(status));
        case.refused("config.json", &[&status.to_string(), "tried 5 times"]);
        assert_eq!(server.requests().len(), 5);
    }
    // The hub decides how long the wait is, within bounds.
    let (_, mut case) = config(|request| match request.count {
        1 => Answer::new(429).with("Retry-After", 1),
        _ => polite(request),
    });
    case.settings.backoff.longest_asked = Duration::from_secs(2);
    let begun = Instant::now();
    case.ok("config.json");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let (server, case) = config(|_| Answer::new(429).with("Retry-After", 86_400));
    case.refused("config.json", &["429", "86400 seconds"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn silence_ends() {
    let long = Duration::from_millis(900);
    let (server, case) = config(move |_| Answer { silence: (long, Duration::ZERO), ..Answer::new(200) });
    let (begun, case) = (Instant::now(), case.impatient());
    case.refused("config.json", &["tried 5 times"]);
    assert_eq!(server.requests().len(), 5);
    assert!(begun.elapsed() < Duration::from_secs(4));
    // In mid-file too; the bytes that came are kept.
    let (server, case) = config(move |request| match request.count {
        1 => Answer { silence: (Duration::ZERO, long), ..polite(request) },
        _ => polite(request),
    });
    case.impatient().ok("config.json");
    assert_eq!(server.requests()[1].range(), Some("bytes=11-"));
    // Nobody listens there.
    let case = Case::new("http://127.0.0.1:9");
    case.refused("config.json", &["127.0.0.1:9", "cannot be reached", "online", "tried 5 times"]);
    let case = Case::new("http://hub.invalid").impatient();
    case.refused("config.json", &["hub.invalid", "cannot be reached"]);
    // A server of something else.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"220 mail ESMTP\r\n");
        }
    });
    Case::new(&address).impatient().refused("config.json", &["cannot be reached"]);
}

#[test]
fn what_arrives_damaged_is_fetched_anew_once() {
    let weights = contents(WEIGHTS).unwrap();
    let damaged = move |request: &Request| {
        let mut answer = polite(request);
        if let Some(last) = answer.body.last_mut() {
            *last ^= 1;
        }
        answer
    };
    let server = Server::open(move |request| match request.count {
        1 => damaged(request),
        _ => polite(request),
    });
    let case = Case::new(&server.address);
    case.ok(WEIGHTS);
    case.ok("config.json");
    let server = Server::open(damaged);
    let case = Case::new(&server.address);
    case.refused(WEIGHTS, &["arrived damaged", "SHA-256", &sha256(&weights)]);
    case.refused("config.json", &["arrived damaged", "SHA-1", &git_sha1(&contents("config.json").unwrap())]);
    assert!(case.blobs().is_empty(), "{:?}", case.blobs());
}

#[test]
fn sizes_are_held_to() {
    let weights = contents(WEIGHTS).unwrap();
    let stored = |change: fn(Answer) -> Answer| {
        let server = Server::open(move |request| match request.path.starts_with("/stored/") {
            true => change(polite(request)),
            false => polite(request),
        });
        (Case::new(&server.address), server)
    };
    // Shorter or longer than the hub says, by the answer's own length.
    let (case, _) = stored(|answer| Answer { body: answer.body[..1000].to_vec(), ..answer });
    case.refused(WEIGHTS, &["announces 300000 bytes", "1000 are to follow"]);
    let (case, _) = stored(|answer| Answer { body: answer.body.repeat(2), ..answer });
    case.refused(WEIGHTS, &["announces 300000 bytes", "600000 are to follow"]);
    // Without a length, it is cut where it gets longer, and is not read to its end.
    let (case, _) = stored(|answer| Answer { body: answer.body.repeat(20), chunked: true, ..answer });
    case.refused(WEIGHTS, &["more than the 300000 bytes"]);
    assert!(case.blobs().is_empty());
    let (case, server) = stored(|answer| {
        let sent = if answer.status == 206 { 0 } else { 1000 };
        Answer { body: answer.body[..sent].to_vec(), chunked: true, ..answer }
    });
    case.refused(WEIGHTS, &["broke at 1000 of 300000", "tried"]);
    assert!(server.requests().len() <= 20);
    let (case, _) = stored(|answer| Answer { chunked: true, ..answer });
    case.ok(WEIGHTS);
    // Half of a file, with all that belongs to half of a file.
    let half = weights[..150_000].to_vec();
    let server = Server::open(move |request| file(request, &half, &sha256(&contents(WEIGHTS).unwrap())));
    Case::new(&server.address).refused(WEIGHTS, &["arrived damaged"]);
    // Without end and without any size.
    let server =
        Server::open(|request| Answer { chunked: true, ..polite(request).body(vec![b'x'; 4 << 20]) });
    let mut case = Case::new(&server.address);
    case.settings.longest_unannounced = 1 << 20;
    case.refused("config.json", &["no size, and more than 1048576 bytes"]);
    // Packed, so that its size is not the file's.
    let (_, case) = config(|request| polite(request).with("Content-Encoding", "gzip"));
    case.refused("config.json", &["gzip", "not asked for"]);
    let (_, case) = config(|request| polite(request).with("X-Linked-Size", u64::MAX));
    case.refused("config.json", &["18446744073709551615"]);
}

#[test]
fn a_part_is_continued_only_with_the_same_file() {
    let broken_once = |second: fn(&Request) -> Answer| {
        let server = Server::open(move |request| match (request.file(), request.range()) {
            ("tokenizer.json", None) if request.count == 1 => polite(request).cut(20_000),
            ("tokenizer.json", Some(_)) => second(request),
            _ => polite(request),
        });
        (Case::new(&server.address), server)
    };
    // A server that sends the whole, another part, or a part of another size: the file begins anew.
    for second in [
        |request: &Request| polite(&Request { headers: Default::default(), ..request.clone() }),
        |request: &Request| polite(request).with("Content-Range", "bytes 0-69999/70000"),
        |request: &Request| polite(request).with("Content-Range", "bytes 20000-69999/9223372036854775808"),
        |request: &Request| polite(request).with("Content-Range", "bytes 20000-79999/80000"),
        |request: &Request| polite(request).with("Content-Range", "nonsense"),
        |request: &Request| polite(request).without("Content-Range"),
        |_: &Request| Answer::new(416),
    ] {
        let (case, _) = broken_once(second);
        case.ok("tokenizer.json");
    }
    // Another file by now.
    let (case, _) = broken_once(|request| polite(request).with("ETag", "\"another\""));
    case.refused("tokenizer.json", &["has changed"]);
    // A part that nobody asked for.
    let (_, case) =
        config(|request| Answer { status: 206, ..polite(request) }.with("Content-Range", "bytes 0-22/23"));
    case.refused("config.json", &["206"]);
    // A server that breaks at the same place for ever.
    let server = Server::open(|request| match request.file() {
        "tokenizer.json" => polite(&Request { headers: Default::default(), ..request.clone() }).cut(20_000),
        _ => polite(request),
    });
    let case = Case::new(&server.address);
    case.refused("tokenizer.json", &["broke at 20000 of 70000", "tried 5 times"]);
    assert!(server.requests().len() <= 7, "{}", server.requests().len());
}

#[test]
fn tags_that_are_no_checksums_do_not_mix_files() {
    // One tag for all files, as a hub has that names them by their lengths or not at all.
    for tag in ["same", "W/\"same\""] {
        let server = Server::open(move |request| match contents(request.file()) {
            Some(bytes) => file(request, &bytes, "x").with("ETag", tag),
            None => Answer::new(404),
        });
        let case = Case::new(&server.address);
        for name in ["config.json", "tokenizer.json", "empty.txt", WEIGHTS] {
            case.ok(name);
        }
        // They are stored by the names that git has for them.
        assert!(case.blobs().contains(&git_sha1(&contents("config.json").unwrap())), "{:?}", case.blobs());
        // What is left of a transfer is continued, but a weak tag may be that of other bytes.
        let leftover = Server::open(move |request| {
            let answer = file(request, &contents("tokenizer.json").unwrap(), "x").with("ETag", tag);
            if request.count == 1 { answer.cut(30_000) } else { answer }
        });
        let mut other = Case::new(&leftover.address);
        other.settings.backoff.attempts = 1;
        other.refused("tokenizer.json", &["broke at 30000"]);
        other.ok("tokenizer.json");
        let last = leftover.requests().last().unwrap().range().map(str::to_owned);
        assert_eq!(last.as_deref(), if tag == "same" { Some("bytes=30000-") } else { None });
    }
    // A checksum in capitals, and the plain SHA-1 of a mirror, are checksums too.
    let (_, case) = config(|request| {
        polite(request)
            .with("ETag", format!("\"{}\"", git_sha1(&contents("config.json").unwrap()).to_uppercase()))
    });
    case.ok("config.json");
    let (_, case) =
        config(|request| polite(request).with("ETag", "\"26d3b1bdb0b2fbd3ea3a5d2ad1e0a3fd2ed2bb3d\""));
    case.refused("config.json", &["arrived damaged"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_headers_lead_out_of_the_cache_or_panic(
        status in prop_oneof![Just(200_u16), Just(206), Just(302), 100_u16..600],
        headers in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "ETag", "X-Repo-Commit", "X-Linked-ETag", "X-Linked-Size", "Location", "Content-Range",
                    "Retry-After", "RateLimit", "X-Error-Code", "Content-Encoding",
                ]),
                prop_oneof!["[ -~]{0,40}", "(\\.\\./){1,4}[a-z]{1,3}", "[0-9]{1,25}", "bytes [0-9]{0,20}-[0-9]{0,20}/[0-9*]{0,20}"],
            ),
            0..6,
        ),
    ) {
        // Interim answers have no end.
        prop_assume!(status >= 200);
        let (_, mut case) = config(move |request| {
            let answer = Answer { status, ..polite(request) };
            headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value))
        });
        case.settings.backoff.attempts = 1;
        case.settings.backoff.longest_asked = Duration::ZERO;
        let found = case.get("config.json");
        case.stays_inside_any_commit();
        if let Ok(Some(path)) = found {
            prop_assert_eq!(fs::read(path).unwrap(), contents("config.json").unwrap());
        }
    }
}

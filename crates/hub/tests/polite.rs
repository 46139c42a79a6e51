//! A hub as it should be: what is fetched, where it is kept, and when it is fetched again.

mod server;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use lorelei_hub::Problem;
use server::{Answer, COMMIT, Case, ID, Server, WEIGHTS, contents, git_sha1, polite, sha256};

#[test]
fn files_are_kept_as_huggingface_hub_keeps_them() {
    let server = Server::open(polite);
    let case = Case::new(&server.address);
    let repository = case.repository(None);
    let config = repository.needed("config.json").unwrap();
    let snapshot = case.model().join("snapshots").join(COMMIT);
    assert_eq!(config, snapshot.join("config.json"));
    assert_eq!(repository.folder(), Some(snapshot.clone()));
    let weights = repository.needed(WEIGHTS).unwrap();
    assert_eq!(fs::read(&weights).unwrap(), contents(WEIGHTS).unwrap());
    assert_eq!(fs::read_to_string(case.model().join("refs/main")).unwrap(), COMMIT);
    let name = sha256(&contents(WEIGHTS).unwrap());
    #[cfg(unix)]
    assert_eq!(fs::read_link(&weights).unwrap(), Path::new("../../blobs").join(&name));
    let mut blobs = case.blobs();
    blobs.sort_by_key(String::len);
    assert_eq!(blobs, [git_sha1(&contents("config.json").unwrap()), name.clone()]);
    // A file in a folder links to the same place, one level further up.
    let nested = repository.needed("onnx/config.json").unwrap();
    #[cfg(unix)]
    assert!(fs::read_link(&nested).unwrap().starts_with("../../../blobs"));
    assert_eq!(fs::read(nested).unwrap(), contents("config.json").unwrap());
    // What the model lacks is noted, and is not asked for again.
    assert_eq!(repository.get("chat_template.jinja").unwrap(), None);
    assert!(case.model().join(".no_exist").join(COMMIT).join("chat_template.jinja").is_file());
    assert!(case.settings.cache.join(".locks/models--lorelei--tiny").join(format!("{name}.lock")).is_file());
    case.stays_inside();

    // The first file decides on the commit of the others.
    let paths = server.paths();
    assert_eq!(paths[0], format!("/{ID}/resolve/main/config.json"));
    assert_eq!(paths[1], format!("/{ID}/resolve/{COMMIT}/{WEIGHTS}"));
    assert_eq!(paths[2], format!("/stored/{WEIGHTS}?signature=secret"));
    // Nothing of it is fetched again, whether the hub is there or not.
    let again = case.repository(None);
    for file in ["config.json", WEIGHTS, "onnx/config.json"] {
        assert!(again.is_cached(file));
        again.needed(file).unwrap();
    }
    assert_eq!(again.get("chat_template.jinja").unwrap(), None);
    assert_eq!(server.paths().len(), paths.len());
    let heard = case.heard.borrow().join("\n");
    assert!(heard.contains("done: 300000, total: Some(300000)") && heard.contains("Stored"), "{heard}");
    assert!(server.requests().iter().all(|request| request.header("accept-encoding") == Some("identity")));
}

#[test]
fn branches_tags_commits_and_references() {
    let server = Server::open(polite);
    let case = Case::new(&server.address);
    for revision in ["v1.0", "refs/pr/1", COMMIT] {
        case.repository(Some(revision)).needed("config.json").unwrap();
    }
    let names = ["v1.0", "refs%2Fpr%2F1"].map(|name| format!("/{ID}/resolve/{name}/config.json"));
    // The commit is that of the first one.
    assert_eq!(server.paths(), names);
    assert_eq!(fs::read_to_string(case.model().join("refs/refs/pr/1")).unwrap(), COMMIT);
    assert!(!case.model().join("refs").join(COMMIT).exists());

    let other = Case::new(&server.address);
    other.repository(Some(COMMIT)).needed("config.json").unwrap();
    let wrong = other.repository(Some(&"b".repeat(40))).needed("config.json").unwrap_err().to_string();
    assert!(wrong.contains(&"b".repeat(40)) && wrong.contains(COMMIT), "{wrong}");
}

#[test]
fn a_branch_that_moves_meanwhile_gives_no_mixture() {
    let later = "f".repeat(40);
    let server = Server::open(move |request| {
        match request.path.contains("/main/") && request.file() != "config.json" {
            true => polite(request).with("X-Repo-Commit", &later),
            false => polite(request),
        }
    });
    let case = Case::new(&server.address);
    let folders =
        ["config.json", WEIGHTS, "tokenizer.json"].map(|file| case.ok(file).parent().unwrap().to_owned());
    assert!(folders.iter().all(|folder| folder.ends_with(COMMIT)), "{folders:?}");
    // A reference to a commit of which nothing is there decides nothing.
    fs::remove_dir_all(case.model().join("snapshots")).unwrap();
    case.ok("config.json");
    assert!(server.paths().last().unwrap().contains("/main/"));
}

#[test]
fn a_transfer_that_breaks_goes_on_where_it_was() {
    let server = Server::open(|request| match (request.path.starts_with("/stored/"), request.count) {
        (true, 1..=3) => {
            let answer = polite(request);
            let sent = 90_000.min(answer.body.len());
            answer.cut(sent)
        }
        _ => polite(request),
    });
    let case = Case::new(&server.address);
    case.ok(WEIGHTS);
    let ranges: Vec<_> = server
        .requests()
        .iter()
        .filter(|request| request.path.starts_with("/stored/"))
        .map(|request| request.range().unwrap_or("whole").to_owned())
        .collect();
    assert_eq!(ranges, ["whole", "bytes=90000-", "bytes=180000-", "bytes=270000-"]);
    assert!(
        case.heard
            .borrow()
            .iter()
            .any(|event| event.contains("Retry") && event.contains("broke at 90000 of 300000"))
    );
    assert_eq!(case.blobs(), [sha256(&contents(WEIGHTS).unwrap())]);
}

#[test]
fn another_process_goes_on_with_a_part() {
    let server = Server::open(polite);
    let case = Case::new(&server.address);
    let weights = contents(WEIGHTS).unwrap();
    let part = case.model().join("blobs").join(format!("{}.incomplete", sha256(&weights)));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, &weights[..100_000]).unwrap();
    case.ok(WEIGHTS);
    assert_eq!(server.requests_for(WEIGHTS).last().unwrap().range(), Some("bytes=100000-"));
    // A part that is whole needs no bytes more; one that is too long, or wrong, is fetched anew.
    for wrong in [weights.clone(), [&weights[..], b"more"].concat(), vec![0; 100_000], vec![0; 300_000]] {
        fs::remove_dir_all(case.model()).unwrap();
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, &wrong).unwrap();
        case.ok(WEIGHTS);
        assert!(!part.exists());
    }
    // A file that only looks like the contents is not linked to.
    fs::remove_dir_all(case.model().join("snapshots")).unwrap();
    let blob = case.model().join("blobs").join(sha256(&weights));
    fs::write(&blob, &weights[1..]).unwrap();
    case.ok(WEIGHTS);
    // One that is them is, without another transfer.
    fs::remove_dir_all(case.model().join("snapshots")).unwrap();
    let before = server.paths().iter().filter(|path| path.starts_with("/stored/")).count();
    case.ok(WEIGHTS);
    let after = server.paths().iter().filter(|path| path.starts_with("/stored/")).count();
    // The answer is opened, and not read.
    assert!(after <= before + 1);
}

#[test]
fn several_at_once_fetch_a_file_once() {
    let server = Server::open(|request| {
        let mut answer = polite(request);
        if request.path.starts_with("/stored/") && request.range().is_none() {
            answer.silence.1 = Duration::from_millis(100);
        }
        answer
    });
    let case = Case::new(&server.address);
    let whole = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..6 {
            let (settings, whole) = (&case.settings, whole.clone());
            scope.spawn(move || {
                let hear = |event: &lorelei_hub::Event<'_>| {
                    whole.fetch_add(
                        usize::from(matches!(event, lorelei_hub::Event::Stored { .. })),
                        Ordering::SeqCst,
                    );
                };
                let repository = lorelei_hub::Repository::open(settings, ID, None, hear).unwrap();
                let path = repository.needed(WEIGHTS).unwrap();
                assert_eq!(fs::read(path).unwrap(), contents(WEIGHTS).unwrap());
            });
        }
    });
    assert_eq!(whole.load(Ordering::SeqCst), 1);
    assert_eq!(case.blobs(), [sha256(&contents(WEIGHTS).unwrap())]);
    case.stays_inside();
}

/// Fetches the weights from the hub, and into the cache, that the environment names.
#[test]
#[ignore = "a process that other tests start"]
fn a_process_of_its_own() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let mut case = Case::new(&variable("TEST_HUB"));
    case.settings.cache = variable("TEST_CACHE").into();
    let path = case.get(WEIGHTS).unwrap().unwrap();
    assert_eq!(fs::read(path).unwrap(), contents(WEIGHTS).unwrap());
}

fn process(case: &Case) -> std::process::Child {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_process_of_its_own", "--ignored"]).stdout(std::process::Stdio::null());
    command.env("TEST_HUB", &case.settings.endpoint).env("TEST_CACHE", &case.settings.cache);
    command.spawn().unwrap()
}

#[test]
fn a_killed_process_leaves_what_others_go_on_with() {
    let server = Server::open(|request| {
        let mut answer = polite(request);
        if request.path.starts_with("/stored/") && request.count == 1 {
            answer.silence.1 = Duration::from_secs(60);
        }
        answer
    });
    let case = Case::new(&server.address);
    let part = case.model().join("blobs").join(format!("{}.incomplete", sha256(&contents(WEIGHTS).unwrap())));
    let mut first = process(&case);
    while fs::metadata(&part).map_or(0, |part| part.len()) < 150_000 {
        assert!(first.try_wait().unwrap().is_none(), "it has ended");
        thread::sleep(Duration::from_millis(5));
    }
    // The others wait for the lock, which ends with the process.
    let mut others = [process(&case), process(&case)];
    thread::sleep(Duration::from_millis(200));
    assert!(others.iter_mut().all(|other| other.try_wait().unwrap().is_none()));
    assert!(!case.repository(None).is_cached(WEIGHTS));
    first.kill().unwrap();
    first.wait().unwrap();
    for mut other in others {
        assert!(other.wait().unwrap().success());
    }
    let ranges: Vec<_> = server
        .requests()
        .iter()
        .filter(|request| request.path.starts_with("/stored/"))
        .filter_map(|request| request.range().map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["bytes=150000-"]);
    assert_eq!(case.blobs(), [sha256(&contents(WEIGHTS).unwrap())]);
    case.stays_inside();
}

#[test]
fn without_requests_the_cache_alone_is_asked() {
    let server = Server::open(polite);
    let mut case = Case::new(&server.address);
    case.settings.offline = Some("HF_HUB_OFFLINE");
    let words = case.refused("config.json", &["not in the cache", "HF_HUB_OFFLINE"]);
    assert!(words.contains(&case.settings.cache.display().to_string()), "{words}");
    assert!(server.paths().is_empty());
    case.settings.offline = None;
    case.ok("config.json");
    assert_eq!(case.get("added_tokens.json").unwrap(), None);
    let asked = server.paths().len();
    case.settings.offline = Some("HF_HUB_OFFLINE");
    case.ok("config.json");
    // A commit is found by its own name.
    case.repository(Some(COMMIT)).needed("config.json").unwrap();
    assert_eq!(case.get("added_tokens.json").unwrap(), None);
    assert!(case.heard.borrow().iter().all(|event| !event.contains("Unknown")));
    // Of what other tools have fetched, it is not known what the model lacks.
    assert_eq!(case.repository(None).optional("chat_template.jinja").unwrap(), None);
    assert!(
        case.heard.borrow().iter().any(|event| event.contains("Unknown") && event.contains("chat_template"))
    );
    assert_eq!(server.paths().len(), asked);
}

#[test]
fn without_links_the_files_themselves_are_there() {
    let server = Server::open(polite);
    let mut case = Case::new(&server.address);
    case.settings.symlinks = false;
    for file in ["config.json", WEIGHTS, "empty.txt"] {
        let path = case.ok(file);
        assert!(!fs::symlink_metadata(path).unwrap().is_symlink());
    }
    assert!(case.blobs().is_empty());
    // Contents that another commit has too are copied.
    case.settings.symlinks = true;
    fs::remove_file(case.model().join("snapshots").join(COMMIT).join("config.json")).unwrap();
    case.ok("config.json");
    case.settings.symlinks = false;
    fs::remove_file(case.model().join("snapshots").join(COMMIT).join("config.json")).unwrap();
    case.ok("config.json");
    assert_eq!(case.blobs(), [git_sha1(&contents("config.json").unwrap())]);
    // A link that leads nowhere is replaced.
    #[cfg(unix)]
    {
        case.settings.symlinks = true;
        let path = case.model().join("snapshots").join(COMMIT).join("tokenizer.json");
        std::os::unix::fs::symlink("../../blobs/gone", &path).unwrap();
        case.ok("tokenizer.json");
    }
}

#[test]
fn the_token_is_for_the_hub_alone() {
    let elsewhere = Server::open(polite);
    let other = format!("{}/stored/{WEIGHTS}", elsewhere.address);
    // The same machine by another name is another origin, as is another port.
    let named = other.replace("127.0.0.1", "localhost");
    for (location, is_outside) in [(other, true), (named, true), (format!("/stored/{WEIGHTS}"), false)] {
        let server = Server::open(move |request| match polite(request) {
            redirection @ Answer { status: 302, .. } => redirection.with("Location", &location),
            answer => answer,
        });
        let mut case = Case::new(&server.address);
        case.settings.token =
            Some(lorelei_hub::Token { secret: "hf_secret".into(), origin: "HF_TOKEN".into() });
        case.ok(WEIGHTS);
        assert!(server.requests().iter().all(|request| request.token() == Some("Bearer hf_secret")));
        assert_eq!(server.requests().len(), if is_outside { 1 } else { 2 });
    }
    let requests = elsewhere.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.token().is_none()), "{requests:?}");
    assert!(requests.iter().all(|request| !request.headers.values().any(|value| value.contains("secret"))));
}

#[test]
fn a_way_that_leads_away_and_back_carries_no_token() {
    let hub: Arc<std::sync::Mutex<String>> = Arc::default();
    let back = hub.clone();
    let elsewhere = Server::open(move |_| {
        Answer::new(302).with("Location", format!("{}/stored/{WEIGHTS}", back.lock().unwrap()))
    });
    let away = format!("{}/x", elsewhere.address);
    let server = Server::open(move |request| match polite(request) {
        redirection @ Answer { status: 302, .. } => redirection.with("Location", &away),
        answer => answer,
    });
    hub.lock().unwrap().clone_from(&server.address);
    let mut case = Case::new(&server.address);
    case.settings.token = Some(lorelei_hub::Token { secret: "hf_secret".into(), origin: "HF_TOKEN".into() });
    case.ok(WEIGHTS);
    let tokens: Vec<_> = server.requests().iter().map(|request| request.token().is_some()).collect();
    assert_eq!(tokens, [true, false]);
}

#[test]
fn proxies_are_asked_for_the_hub() {
    // To a proxy, the address is a host to connect to.
    let proxy = Server::open(|_| Answer::new(407));
    let mut case = Case::new("http://hub.invalid");
    case.settings.proxies.http = Some((proxy.address.clone(), "HTTP_PROXY".into()));
    case.refused("config.json", &["proxy"]);
    assert!(proxy.paths()[0].contains("hub.invalid"), "{:?}", proxy.paths());
    let server = Server::open(polite);
    let mut case = Case::new(&server.address);
    case.settings.proxies.http = Some((proxy.address.clone(), "HTTP_PROXY".into()));
    case.settings.proxies.none_for = "127.0.0.1".into();
    case.ok("config.json");
    case.settings.proxies.https = Some(("not a proxy".into(), "HTTPS_PROXY".into()));
    let unusable = |case: &Case, variable: &str| {
        let error = case.get("tokenizer.json").unwrap_err();
        assert!(
            matches!(error.problem, Problem::Setting { .. }) && error.to_string().contains(variable),
            "{error}"
        );
    };
    unusable(&case, "HTTPS_PROXY");
    case.settings.proxies.https = None;
    let certificates = case.folder.path().join("certificates.pem");
    fs::write(&certificates, "none").unwrap();
    case.settings.certificates = Some(certificates.clone());
    unusable(&case, "SSL_CERT_FILE");
    fs::remove_file(&certificates).unwrap();
    assert!(case.get("tokenizer.json").unwrap_err().to_string().contains("certificates.pem"));
    // What is in the cache needs none of it.
    case.ok("config.json");
}

#[test]
fn a_cache_that_cannot_be_written_is_said_with_the_way_out() {
    let server = Server::open(polite);
    let mut case = Case::new(&server.address);
    let file = case.folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    case.settings.cache = file.join("hub");
    let error = case.get("config.json").unwrap_err().to_string();
    assert!(error.contains("a-file") && error.contains("HF_HUB_CACHE"), "{error}");
}

/// A file system without room, where there is one that always is.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_with_the_way_out() {
    let server = Server::open(polite);
    let case = Case::new(&server.address);
    let weights = contents(WEIGHTS).unwrap();
    let part = case.model().join("blobs").join(format!("{}.incomplete", sha256(&weights)));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let error = case.get(WEIGHTS).unwrap_err().to_string();
    assert!(error.contains(".incomplete") && error.contains("Make room"), "{error}");
    assert!(!case.repository(None).is_cached(WEIGHTS));
}

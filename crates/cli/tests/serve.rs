//! Tests of `lorelei serve`, over bare connections.

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use common::lorelei;

/// A server that ends with the test.
struct Server {
    process: Child,
    /// The address, `127.0.0.1:PORT`.
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(dist: &Path, more: &[&str]) -> Self {
        let mut serve = common::program();
        serve.args(["serve", "--port", "0", "--dir"]).arg(dist).args(more).stdout(Stdio::piped());
        let mut process = serve.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { process, address }
    }

    /// Sends bytes and returns what comes back until the server closes the connection.
    fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A server that refuses early may close before all is sent.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Answer(bytes)
    }

    fn ask(&self, method: &str, path: &str, more: &str) -> Answer {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{more}Connection: close\r\n\r\n", self.address);
        self.raw(head.as_bytes())
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }
}

struct Answer(Vec<u8>);

impl Answer {
    fn status(&self) -> u16 {
        let head = String::from_utf8_lossy(&self.0);
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn parts(&self) -> (String, &[u8]) {
        let end = self.0.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(self.0.len(), |at| at + 4);
        (String::from_utf8_lossy(&self.0[..end]).to_lowercase(), &self.0[end..])
    }

    fn body(&self) -> &[u8] {
        self.parts().1
    }

    fn has(&self, header: &str) -> bool {
        self.parts().0.contains(&header.to_lowercase())
    }
}

const INDEX: &str = "<!doctype html><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'self'; object-src 'none'\"/>";

/// Makes a page in `dist` and a secret beside it.
fn site(folder: &Path) -> std::path::PathBuf {
    let dist = folder.join("dist");
    fs::create_dir_all(dist.join("sub")).unwrap();
    for (name, bytes) in [
        ("index.html", INDEX.as_bytes()),
        ("a.wasm", b"\0asm"),
        ("a.wasm.br", b"compressed"),
        ("big.bin", &[7; 100_000]),
        ("sp ace.js", b"1"),
        (".hidden", b"hidden"),
        ("sub/b.css", b"css"),
    ] {
        fs::write(dist.join(name), bytes).unwrap();
    }
    fs::write(folder.join("secret.txt"), "secret").unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.join("secret.txt"), dist.join("link.txt")).unwrap();
        std::os::unix::fs::symlink("a.wasm", dist.join("inside.wasm")).unwrap();
        std::os::unix::fs::symlink("/", dist.join("root")).unwrap();
    }
    dist
}

#[test]
fn the_page_is_served_with_its_types_and_headers() {
    let folder = tempfile::tempdir().unwrap();
    lorelei(&["serve", "--dir", &folder.path().display().to_string()])
        .refused(&["index.html", "cargo xtask web"]);
    let server = Server::start(&site(folder.path()), &[]);
    for path in ["/", "/?x=1", "/index.html"] {
        let answer = server.get(path);
        assert_eq!((answer.status(), answer.body()), (200, INDEX.as_bytes()), "{path}");
        for header in [
            "content-type: text/html; charset=utf-8",
            "content-security-policy: default-src 'self'; object-src 'none'; frame-ancestors 'none'\r\n",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-embedder-policy: require-corp",
        ] {
            assert!(answer.has(header), "{header} in {}", answer.parts().0);
        }
    }
    let module = server.get("/a.wasm");
    assert!(module.has("content-type: application/wasm") && module.has("nosniff"));
    // A worker would have the policy of its own file, and may ask a hub of this network.
    for path in ["/a.wasm", "/sp%20ace.js"] {
        assert!(!server.get(path).has("content-security-policy"), "{path}");
    }
    assert_eq!(server.get("/sp%20ace.js").body(), b"1");
    assert_eq!(server.get("/sub/b.css").body(), b"css");
    let compressed = server.ask("GET", "/a.wasm", "Accept-Encoding: gzip, br\r\n");
    assert_eq!(compressed.body(), b"compressed");
    assert!(compressed.has("content-encoding: br") && compressed.has("vary: accept-encoding"));
    let head = server.ask("HEAD", "/big.bin", "");
    assert!(head.status() == 200 && head.body().is_empty() && head.has("content-length: 100000"));
    // What is refused has the headers too.
    assert!(server.get("/none").status() == 404 && server.get("/none").has("frame-ancestors 'none'"));
}

#[test]
fn a_part_of_a_file_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&site(folder.path()), &[]);
    let range =
        |range: &str| server.ask("GET", "/big.bin", &format!("Accept-Encoding: br\r\nRange: {range}\r\n"));
    let first = range("bytes=0-9");
    assert_eq!((first.status(), first.body().len()), (206, 10));
    assert!(first.has("content-range: bytes 0-9/100000\r\n"));
    assert_eq!(range("bytes=-5").body().len(), 5);
    let beyond = range("bytes=100000-");
    assert!(beyond.status() == 416 && beyond.has("content-range: bytes */100000"));
    assert_eq!(range("bytes=0-1,5-6").status(), 200);
    // A part is one of the plain file, never of a compressed one.
    let part = server.ask("GET", "/a.wasm", "Accept-Encoding: br\r\nRange: bytes=1-3\r\n");
    assert!(part.body() == b"asm" && !part.has("content-encoding"));
}

#[test]
fn nothing_but_the_folder_s_own_files_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&site(folder.path()), &[]);
    let long = format!("/{}", "a/".repeat(20_000));
    for path in [
        "/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%252e%252e%252fsecret.txt",
        "/..\\secret.txt",
        "/%5c..%5csecret.txt",
        "//etc/passwd",
        "/etc/passwd",
        "/sub",
        "/sub/",
        "/link.txt",
        "/root/etc/passwd",
        "/.hidden",
        "/sub/../.hidden",
        "/a%00.wasm",
        "/index.html%00",
        "/C:/x",
        "/%ff%fe",
        "/nope",
        &long,
    ] {
        let answer = server.get(path);
        assert!([404, 400, 414, 431].contains(&answer.status()), "{path} gets {}", answer.status());
        assert!(
            !String::from_utf8_lossy(&answer.0).contains("secret\n") && answer.body().len() < 100,
            "{path}"
        );
    }
    #[cfg(unix)]
    assert_eq!(server.get("/inside.wasm").body(), b"\0asm");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"] {
        let answer = server.ask(method, "/index.html", "");
        assert!(
            answer.status() == 405 && answer.has("allow: GET, HEAD"),
            "{method} gets {}",
            answer.status()
        );
    }
    // Another name that points to this machine is a site of someone else's.
    let named = |host: &str| {
        server.raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).status()
    };
    assert_eq!(["evil.example", "evil.example:80", "localhost.evil.example"].map(named), [421; 3]);
    assert_eq!(["localhost", "LOCALHOST:1", "[::1]:9", "10.0.0.1"].map(named), [200; 4]);
    assert_eq!(
        server
            .raw(b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .status(),
        421
    );
    let allowed = Server::start(&folder.path().join("dist"), &["--allow-host", "lab.example"]);
    let asked = allowed.raw(b"GET / HTTP/1.1\r\nHost: lab.example:8080\r\nConnection: close\r\n\r\n");
    assert_eq!(asked.status(), 200);
}

#[test]
fn idle_connections_keep_nobody_out_and_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&site(folder.path()), &[]);
    let mut idle: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nX-a: ").unwrap();
            stream
        })
        .collect();
    assert_eq!(server.get("/index.html").status(), 200);
    let begun = Instant::now();
    for stream in &mut idle {
        // The server closes each, with an answer or without one; a read that goes on for a minute would mean that it does not.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut rest = Vec::new();
        let closed = stream.read_to_end(&mut rest);
        assert!(closed.is_ok() || begun.elapsed() < Duration::from_secs(60), "{closed:?}");
    }
}

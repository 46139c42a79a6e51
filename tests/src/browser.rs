//! The page in a real browser: `lorelei serve` and Chromium under chromedriver.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element, wd::WebDriverCompatibleCommand};

use crate::program;

/// A process that is killed at the end of the test, together with the processes that it has started.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // A killed driver leaves its browser running.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// chromedriver's own command that returns the console's messages.
#[derive(Debug)]
struct ConsoleLog;

impl WebDriverCompatibleCommand for ConsoleLog {
    fn endpoint(&self, base_url: &url::Url, session_id: Option<&str>) -> Result<url::Url, url::ParseError> {
        base_url.join(&format!("session/{}/se/log", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some("{\"type\": \"browser\"}".into()))
    }
}

/// A command of Chromium's developer tools.
#[derive(Debug)]
struct DevTools(serde_json::Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base_url: &url::Url, session_id: Option<&str>) -> Result<url::Url, url::ParseError> {
        base_url.join(&format!("session/{}/goog/cdp/execute", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.0.to_string()))
    }
}

/// The page, served and opened.
pub struct Browser {
    /// The connection to chromedriver.
    pub client: Client,
    /// `http://127.0.0.1:PORT/`.
    pub address: String,
    /// The folder that the browser saves downloads into.
    pub downloads: tempfile::TempDir,
    _served: Served,
    _driver: Ended,
}

/// A folder that `lorelei serve` serves until this is dropped.
pub struct Served {
    /// `http://127.0.0.1:PORT/`.
    pub address: String,
    _process: Ended,
}

impl Served {
    /// Serves a folder with a page.
    pub fn folder(folder: &Path) -> Self {
        let mut server = Command::new(program());
        server.args(["serve", "--port", "0", "--dir"]).arg(folder).stdout(Stdio::piped());
        let mut server = Ended(server.process_group(0).spawn().expect("lorelei serve starts"));
        let mut address = String::new();
        let stdout = server.0.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut address).expect("it prints its address");
        assert!(
            address.starts_with("http://"),
            "`cargo xtask web` builds the page first; serve said {address:?}"
        );
        Self { address: address.trim().to_owned(), _process: server }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

impl Browser {
    /// Serves `dist` and starts a browser with a window of `width` by `height` points.
    pub async fn open(width: u32, height: u32) -> Self {
        let served = Served::folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist"));
        let port = free_port();
        let mut driver = Command::new("chromedriver");
        driver.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let driver =
            Ended(driver.process_group(0).spawn().expect("chromedriver is installed: `cargo xtask setup`"));
        let downloads = tempfile::tempdir().expect("a folder for downloads");
        let profile = downloads.path().join("profile").display().to_string();
        let capabilities = serde_json::json!({
            "goog:chromeOptions": {
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-unsafe-webgpu", "--disable-quic",
                    "--no-first-run", "--disable-background-networking", "--disable-component-update",
                    "--disable-sync", "--lang=en-US", format!("--window-size={width},{height}"),
                    format!("--user-data-dir={profile}"),
                ],
                "prefs": { "download.default_directory": downloads.path(), "download.prompt_for_download": false },
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let capabilities = capabilities.as_object().expect("it is an object").clone();
        let began = Instant::now();
        let client = loop {
            let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
            builder.capabilities(capabilities.clone());
            match builder.connect(&format!("http://127.0.0.1:{port}")).await {
                Ok(client) => break client,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(60), "no browser: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        Self { client, address: served.address.clone(), downloads, _served: served, _driver: driver }
    }

    /// Opens the page with a fragment.
    pub async fn visit(&self, fragment: &str) {
        // Another address is opened in between: a change of the fragment alone does not load the page.
        self.client.goto("about:blank").await.expect("a blank page");
        self.client.goto(&format!("{}{fragment}", self.address)).await.expect("the page");
    }

    /// Opens the page with a fragment, and waits until its model is loaded.
    pub async fn visit_loaded(&self, fragment: &str) {
        self.visit(fragment).await;
        self.wait("model-status", 120, |status| status.contains("is loaded")).await;
    }

    /// Returns the text or the value of the element with this `data-testid`; empty where there is none.
    pub async fn text(&self, id: &str) -> String {
        let script = "const e = document.querySelector(`[data-testid=\"${arguments[0]}\"]`); \
                      if (e && e.type === 'checkbox') return String(e.checked); \
                      return e ? String(/^(INPUT|SELECT|TEXTAREA)$/.test(e.tagName) ? e.value : e.textContent) : '';";
        let value = self.client.execute(script, vec![id.into()]).await.expect("the page runs scripts");
        value.as_str().unwrap_or_default().trim().to_owned()
    }

    /// Waits until the element's text satisfies `good`, and returns it.
    pub async fn wait(&self, id: &str, seconds: u64, good: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = self.text(id).await;
            if good(&text) {
                return text;
            }
            if began.elapsed() > Duration::from_secs(seconds) {
                let log = self.text("run-log").await;
                let notices = "return [...document.querySelectorAll('.notice, .status')].map(e => e.textContent).join(' | ')";
                let notices = self.run(notices).await;
                panic!("{id} is {text:?} after {seconds} s\n{log}\n{notices}\n{:?}", self.console().await);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns the element with this `data-testid`.
    async fn element(&self, id: &str) -> Element {
        let selector = format!("[data-testid=\"{id}\"]");
        self.client.find(Locator::Css(&selector)).await.unwrap_or_else(|e| panic!("no {id}: {e}"))
    }

    /// Clicks an element.
    pub async fn click(&self, id: &str) {
        let element = self.element(id).await;
        // The element is scrolled to the middle of the window, where nothing covers it and no scrolling is under way.
        let script = "arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' });";
        let argument = serde_json::to_value(&element).expect("an element is JSON");
        self.client.execute(script, vec![argument]).await.expect("the page runs scripts");
        element.click().await.unwrap_or_else(|e| panic!("{id} cannot be clicked: {e}"));
    }

    /// Chooses an option of a list by its value.
    pub async fn choose(&self, id: &str, value: &str) {
        let element = self.element(id).await;
        element.select_by_value(value).await.unwrap_or_else(|e| panic!("{id} has no {value}: {e}"));
    }

    /// Enters a text into a field, like a user who types.
    pub async fn fill(&self, id: &str, text: &str) {
        let element = self.element(id).await;
        element.clear().await.expect("it is a field");
        element.send_keys(text).await.expect("it takes keys");
    }

    /// Gives files to a picker.
    pub async fn pick(&self, id: &str, files: &[&Path]) {
        let element = self.element(id).await;
        let paths: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        element.send_keys(&paths.join("\n")).await.unwrap_or_else(|e| panic!("{id} takes no files: {e}"));
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> serde_json::Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    /// Runs a command of Chromium's developer tools.
    async fn tell_tools(&self, command: &str, params: serde_json::Value) {
        let message = serde_json::json!({ "cmd": command, "params": params });
        self.client.issue_cmd(DevTools(message)).await.unwrap_or_else(|e| panic!("{command}: {e}"));
    }

    /// Makes the page `width` points wide, like that of a telephone. A window cannot be so narrow.
    pub async fn narrow(&self, width: u32, height: u32) {
        let params =
            serde_json::json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.tell_tools("Emulation.setDeviceMetricsOverride", params).await;
    }

    /// Limits the page's storage to a number of bytes.
    pub async fn bound_storage(&self, bytes: u64) {
        let origin = self.address.trim_end_matches('/');
        let params = serde_json::json!({ "origin": origin, "quotaSize": bytes });
        self.tell_tools("Storage.overrideQuotaForOrigin", params).await;
    }

    /// Kills Chromium's GPU process, like a reset of the driver.
    pub fn end_gpu_process(&self) {
        let profile = self.downloads.path().join("profile").display().to_string();
        let command_line =
            |process: &str| std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let says =
            |process: &str, words: &str| String::from_utf8_lossy(&command_line(process)).contains(words);
        let parent = |process: &str| {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let line =
                status.lines().find_map(|line| line.strip_prefix("PPid:").map(str::trim).map(str::to_owned));
            line.unwrap_or_default()
        };
        let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
        let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
        let gpu: Vec<String> = names
            .filter(|process| says(process, "--type=gpu-process") && says(&parent(process), &profile))
            .collect();
        assert!(!gpu.is_empty(), "this browser has no GPU process");
        for process in gpu {
            let killed = Command::new("kill").args(["-9", &process]).status().expect("there is kill");
            assert!(killed.success());
        }
    }

    /// Returns the console's errors since the last call.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(ConsoleLog).await.expect("chromedriver keeps the console");
        let entries = entries.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }

    /// Writes a screenshot of the page into `target/screenshots`.
    pub async fn screenshot(&self, name: &str) {
        let folder = program().with_file_name("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        let png = self.client.screenshot().await.expect("a picture");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("it can be written");
    }

    /// Waits for a download and returns its path.
    pub async fn download(&self, name: &str) -> PathBuf {
        let path = self.downloads.path().join(name);
        let began = Instant::now();
        while !path.exists() {
            assert!(began.elapsed() < Duration::from_secs(30), "{name} is not downloaded");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        path
    }
}

/// Returns the steps and losses of a `trainer_log.jsonl`, without its evaluations.
pub fn losses(log: &str) -> Vec<(u64, f64)> {
    let line = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        Some((value["step"].as_u64().unwrap(), value["loss"].as_f64()?))
    };
    log.lines().filter_map(line).collect()
}

/// Unpacks a downloaded zip.
pub fn unzipped(path: &Path, into: &Path) {
    let mut zip = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    fs::create_dir_all(into).unwrap();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        fs::write(into.join(file.name()), bytes).unwrap();
    }
}

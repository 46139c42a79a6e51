//! Settings, from the variables that `huggingface_hub` reads (its `constants.py` and `utils/_auth.py`).

use std::{
    cell::RefCell,
    env::{self, VarError},
    fs,
    path::PathBuf,
    time::Duration,
};

use ureq::http::{HeaderValue, Uri};

use crate::{answer::Login, error::Problem, range::LONGEST_UNANNOUNCED, redirect, retry::Backoff};

/// Address of the hub where `HF_ENDPOINT` names none.
const ENDPOINT: &str = "https://huggingface.co";

/// How a hub is asked, and where its files are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the hub, without a slash at its end.
    pub endpoint: String,
    /// What says who the user is.
    pub token: Option<Token>,
    /// Folder of the cache.
    pub cache: PathBuf,
    /// The variable that forbids requests, where one does.
    pub offline: Option<&'static str>,
    /// Whether files are linked from where they are stored, where the system has links.
    pub symlinks: bool,
    /// How long the hub may be silent.
    pub timeouts: Timeouts,
    /// When a failed request is made again.
    pub backoff: Backoff,
    /// Size of the longest file that is accepted without an announced size, in bytes.
    pub longest_unannounced: u64,
    /// Ways to the hub.
    pub proxies: Proxies,
    /// File of the certificates to trust, in place of those that are built in.
    pub certificates: Option<PathBuf>,
}

/// A token, and where it is from.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub secret: String,
    /// The variable or the file.
    pub origin: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token of {}", self.origin)
    }
}

/// How long a hub may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until there is a connection.
    pub connect: Duration,
    /// Until the head of an answer is there.
    pub answer: Duration,
    /// Between two pieces of a file, where it is not less than the time for an answer. A file as a whole may take hours.
    pub silence: Duration,
}

/// Proxies, by the scheme of the address that is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `https`, with the variable that names it.
    pub https: Option<(String, String)>,
    /// For `http`, with the variable that names it.
    pub http: Option<(String, String)>,
    /// Hosts that are asked without a proxy, separated by commas.
    pub none_for: String,
}

impl Proxies {
    /// Returns the proxy for an address, with the variable that names it.
    pub fn of(&self, address: &Uri) -> Option<&(String, String)> {
        let host = address.host().unwrap_or_default().to_ascii_lowercase();
        let port = address.port_u16();
        let is_exempt = |entry: &str| {
            let entry = entry.trim().to_ascii_lowercase();
            let (name, of_port) = match entry.rsplit_once(':') {
                Some((name, digits)) if !name.contains(':') => (name, digits.parse().ok()),
                _ => (entry.as_str(), None),
            };
            let name = name.trim_start_matches("*.").trim_start_matches('.');
            let is_host = !name.is_empty()
                && (host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')));
            entry == "*" || is_host && (of_port.is_none() || of_port == port)
        };
        let proxy = if address.scheme_str() == Some("https") { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.none_for.split(',').any(is_exempt))
    }
}

impl Settings {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    ///
    /// If a variable has a value that cannot be used, or the token's file cannot be read.
    pub fn from_env() -> Result<Self, Problem> {
        let unreadable = RefCell::new(None);
        let variable = |name: &str| match env::var(name) {
            Ok(value) => Some(value),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(value)) => {
                unreadable.replace(Some(setting(name, &value.to_string_lossy(), "is not UTF-8".into())));
                None
            }
        };
        let settings = Self::from_variables(&variable, env::home_dir());
        unreadable.take().map_or(settings, Err)
    }

    /// Reads the settings from variables, of which an empty one counts as unset. `home` is the user's folder.
    ///
    /// # Errors
    ///
    /// As [`Settings::from_env`].
    pub fn from_variables(
        variable: &dyn Fn(&str) -> Option<String>,
        home: Option<PathBuf>,
    ) -> Result<Self, Problem> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let path = |value: String| expanded(&value, &set, home.as_ref());
        let is_true = |name: &str| set(name).is_some_and(|value| is_true(&value));
        let caches = match set("XDG_CACHE_HOME") {
            Some(folder) => PathBuf::from(folder),
            None => home.clone().unwrap_or_default().join(".cache"),
        };
        let hf_home = set("HF_HOME").map_or_else(|| caches.join("huggingface"), path);
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE"));
        let token_path = set("HF_TOKEN_PATH").map_or_else(|| hf_home.join("token"), path);
        let token = match is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            true => None,
            false => token(&set, token_path)?,
        };
        let seconds = |name: &'static str, usual: Duration| -> Result<Duration, Problem> {
            let Some(value) = set(name) else { return Ok(usual) };
            let whole = value.trim().parse::<u32>();
            let whole = whole.map_err(|_| setting(name, &value, "is no number of seconds".into()))?;
            // As there, 0 means what is usual.
            Ok(if whole == 0 { usual } else { Duration::from_secs(whole.into()) })
        };
        let silence = seconds("HF_HUB_DOWNLOAD_TIMEOUT", Duration::from_secs(30))?;
        let answer = seconds("HF_HUB_ETAG_TIMEOUT", silence)?;
        Ok(Self {
            endpoint: endpoint("HF_ENDPOINT", set("HF_ENDPOINT"))?,
            token,
            cache: cache.map_or_else(|| hf_home.join("hub"), path),
            offline: offline(&set),
            symlinks: !is_true("HF_HUB_DISABLE_SYMLINKS"),
            timeouts: Timeouts { connect: Duration::from_secs(10), answer, silence },
            backoff: Backoff::default(),
            longest_unannounced: LONGEST_UNANNOUNCED,
            proxies: proxies(&set),
            certificates: set("SSL_CERT_FILE").map(PathBuf::from),
        })
    }

    /// Takes another hub's address, in place of that of `HF_ENDPOINT`. The token goes there too.
    ///
    /// # Errors
    ///
    /// If it is no hub's address.
    pub fn with_endpoint(self, address: &str) -> Result<Self, Problem> {
        Ok(Self { endpoint: endpoint("the endpoint", Some(address.to_owned()))?, ..self })
    }

    /// Returns the page where people see the model.
    pub(crate) fn model_page(&self, id: &str) -> String {
        format!("{}/{id}", self.endpoint)
    }

    pub(crate) fn login(&self) -> Login {
        self.token.as_ref().map_or(Login::Anonymous, |token| Login::Token(token.origin.clone()))
    }
}

fn setting(variable: &str, value: &str, problem: String) -> Problem {
    Problem::Setting { variable: variable.to_owned(), value: value.to_owned(), problem }
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

/// The first of the two variables that is set decides.
fn offline(set: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let variables = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
    let (name, value) = variables.into_iter().find_map(|name| Some((name, set(name)?)))?;
    is_true(&value).then_some(name)
}

fn endpoint(name: &str, value: Option<String>) -> Result<String, Problem> {
    let value = value.unwrap_or_else(|| ENDPOINT.to_owned());
    let endpoint = value.trim().trim_end_matches('/');
    let is_one = redirect::parsed(endpoint).is_some_and(|address| address.query().is_none());
    is_one.then(|| endpoint.to_owned()).ok_or_else(|| {
        setting(name, &value, format!("is no hub's address, which has the form of {ENDPOINT}"))
    })
}

fn token(set: &dyn Fn(&str) -> Option<String>, path: PathBuf) -> Result<Option<Token>, Problem> {
    let from_variable = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
        .into_iter()
        .find_map(|name| Some(Token { secret: set(name)?, origin: name.to_owned() }));
    let token = match from_variable {
        Some(token) => Some(token),
        None => match fs::read_to_string(&path) {
            Ok(secret) => Some(Token { secret, origin: path.display().to_string() }),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                None
            }
            Err(error) => return Err(Problem::storage("read", &path)(error)),
        },
    };
    let Some(Token { secret, origin }) = token else { return Ok(None) };
    let secret: String = secret.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let secret = secret.trim().to_owned();
    if HeaderValue::from_str(&secret).is_err() {
        // The value is a secret even when it is wrong.
        return Err(setting(&origin, "…", "has characters that no token has: copy it anew".into()));
    }
    Ok((!secret.is_empty()).then_some(Token { secret, origin }))
}

fn proxies(set: &dyn Fn(&str) -> Option<String>) -> Proxies {
    let first = |names: &[&str]| names.iter().find_map(|name| Some((set(name)?, (*name).to_owned())));
    let (all, none) = (["all_proxy", "ALL_PROXY"], ["no_proxy", "NO_PROXY"]);
    Proxies {
        https: first(&["https_proxy", "HTTPS_PROXY"]).or_else(|| first(&all)),
        http: first(&["http_proxy", "HTTP_PROXY"]).or_else(|| first(&all)),
        none_for: first(&none).map(|(hosts, _)| hosts).unwrap_or_default(),
    }
}

/// Expands `~`, `$NAME` and `${NAME}` in a path, as Python's `expanduser` and `expandvars` do. Unknown variables stay as they are.
fn expanded(path: &str, set: &dyn Fn(&str) -> Option<String>, home: Option<&PathBuf>) -> PathBuf {
    let mut text = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let name_end =
            |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, used) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => (&after[..name_end(after)], name_end(after)),
        };
        match set(name) {
            Some(value) if !name.is_empty() => text.push_str(&value),
            _ => {
                text.push('$');
                text.push_str(&after[..used]);
            }
        }
        rest = &after[used..];
    }
    text.push_str(rest);
    match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.clone(),
        (Some(rest), Some(home)) if rest.starts_with(['/', '\\']) => {
            home.join(rest.trim_start_matches(['/', '\\']))
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, Problem> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::from_variables(&variable, Some("/nowhere/home".into()))
    }

    #[test]
    fn folders_are_where_huggingface_hub_has_them() {
        let cache = |variables: &[(&str, &str)]| settings(variables).unwrap().cache.display().to_string();
        assert_eq!(cache(&[]), "/nowhere/home/.cache/huggingface/hub");
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), "/x/huggingface/hub");
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")]), "/h/hub");
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")]), "/old");
        assert_eq!(cache(&[("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")]), "/new");
        assert_eq!(cache(&[("HF_HUB_CACHE", "")]), "/nowhere/home/.cache/huggingface/hub");
        assert_eq!(cache(&[("HF_HOME", "~/h")]), "/nowhere/home/h/hub");
        assert_eq!(cache(&[("HF_HOME", "$A/${B}/$C/é$"), ("A", "/a"), ("B", "b")]), "/a/b/$C/é$/hub");
        assert_eq!(cache(&[("HF_HUB_CACHE", "${A"), ("A", "/a")]), "${A");
    }

    #[test]
    fn offline_tokens_and_times() {
        let offline = |variables: &[(&str, &str)]| settings(variables).unwrap().offline;
        assert_eq!(offline(&[]), None);
        assert_eq!(offline(&[("HF_HUB_OFFLINE", "yes")]), Some("HF_HUB_OFFLINE"));
        assert_eq!(offline(&[("TRANSFORMERS_OFFLINE", "1")]), Some("TRANSFORMERS_OFFLINE"));
        assert_eq!(offline(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]), None);

        let token = |variables: &[(&str, &str)]| settings(variables).unwrap().token.map(|token| token.secret);
        assert_eq!(token(&[]), None);
        assert_eq!(token(&[("HF_TOKEN", " hf_a\n")]).as_deref(), Some("hf_a"));
        assert_eq!(token(&[("HUGGING_FACE_HUB_TOKEN", "hf_b"), ("HF_TOKEN", "")]).as_deref(), Some("hf_b"));
        assert_eq!(token(&[("HF_TOKEN", "hf_a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "hf_c\r\n").unwrap();
        let home = folder.path().display().to_string();
        assert_eq!(token(&[("HF_HOME", &home)]).as_deref(), Some("hf_c"));
        assert_eq!(token(&[("HF_TOKEN_PATH", &format!("{home}/token"))]).as_deref(), Some("hf_c"));
        assert!(!format!("{:?}", settings(&[("HF_HOME", &home)]).unwrap()).contains("hf_c"));
        let wrong = settings(&[("HF_TOKEN", "hf_\u{1}secret")]).unwrap_err().to_string();
        assert!(wrong.contains("HF_TOKEN") && !wrong.contains("secret"), "{wrong}");

        let seconds = |variables: &[(&str, &str)]| settings(variables).map(|settings| settings.timeouts);
        assert_eq!(seconds(&[("HF_HUB_ETAG_TIMEOUT", "7")]).unwrap().answer.as_secs(), 7);
        assert_eq!(seconds(&[("HF_HUB_DOWNLOAD_TIMEOUT", "0")]).unwrap().silence.as_secs(), 30);
        let both = seconds(&[("HF_HUB_DOWNLOAD_TIMEOUT", "5")]).unwrap();
        assert_eq!((both.answer.as_secs(), both.silence.as_secs()), (5, 5));
        let wrong = seconds(&[("HF_HUB_DOWNLOAD_TIMEOUT", "ten")]).unwrap_err().to_string();
        assert!(wrong.contains("HF_HUB_DOWNLOAD_TIMEOUT") && wrong.contains("ten"), "{wrong}");
    }

    #[test]
    fn endpoints_and_proxies() {
        let endpoint = |value| settings(&[("HF_ENDPOINT", value)]).map(|settings| settings.endpoint);
        assert_eq!(endpoint("").unwrap(), "https://huggingface.co");
        assert_eq!(endpoint("http://127.0.0.1:9/hf/").unwrap(), "http://127.0.0.1:9/hf");
        for bad in
            ["huggingface.co", "ftp://x", "https://", "https://user:word@x", "https://x/?y", "https://x y"]
        {
            assert!(endpoint(bad).unwrap_err().to_string().contains("HF_ENDPOINT"), "{bad}");
        }
        let given =
            |address: &str| settings(&[]).unwrap().with_endpoint(address).map(|settings| settings.endpoint);
        assert_eq!(given("http://127.0.0.1:9/").unwrap(), "http://127.0.0.1:9");
        assert!(given("whale").unwrap_err().to_string().contains("the endpoint = \"whale\""));
        let proxies = settings(&[
            ("HTTPS_PROXY", "http://s:1"),
            ("ALL_PROXY", "socks5://a:2"),
            ("NO_PROXY", "localhost, .internal,*.corp,10.0.0.1,host:8080"),
        ]);
        let proxies = proxies.unwrap().proxies;
        let of = |address: &str| proxies.of(&address.parse().unwrap()).map(|(proxy, _)| proxy.clone());
        assert_eq!(of("https://huggingface.co/x").as_deref(), Some("http://s:1"));
        assert_eq!(of("http://huggingface.co/x").as_deref(), Some("socks5://a:2"));
        for host in ["localhost", "a.internal", "internal", "A.Corp", "10.0.0.1", "host:8080"] {
            assert_eq!(of(&format!("https://{host}/x")), None, "{host}");
        }
        assert!(of("https://notlocalhost/x").is_some() && of("https://host:81/x").is_some());
    }
}

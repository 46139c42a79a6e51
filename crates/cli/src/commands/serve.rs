//! `lorelei serve`: the page, served by this program.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Component, Path, PathBuf},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use lorelei_page::Sent;
use miette::{IntoDiagnostic, Result, WrapErr, miette};

/// Arguments of `lorelei serve`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The address to listen on. The page needs https anywhere but on this machine.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Serve a folder that `cargo xtask web` built instead of the page inside this program.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs the command, until it is interrupted.
///
/// # Errors
///
/// If there is no page to serve, or the address is taken.
pub fn run(arguments: &Arguments) -> Result<()> {
    let built = || Some(PathBuf::from(lorelei_page::BUILT)).filter(|_| lorelei_page::FILES.is_empty());
    let dir = arguments.dir.clone().or_else(built);
    if let Some(dir) = dir.as_ref().filter(|dir| !dir.join("index.html").is_file()) {
        return Err(miette!(
            "there is no page: {} has no index.html. `cargo xtask web` builds it; a program that is built after that has it in \
             itself",
            dir.display()
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build().into_diagnostic()?;
    runtime.block_on(serve(SocketAddr::new(arguments.host, arguments.port), dir))
}

async fn serve(address: SocketAddr, dir: Option<PathBuf>) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot listen on {address}: name another --port"))?;
    say!("http://{}/", listener.local_addr().into_diagnostic()?);
    let router = Router::new().fallback(answer).with_state(dir);
    axum::serve(listener, router).await.into_diagnostic()
}

async fn answer(State(dir): State<Option<PathBuf>>, headers: HeaderMap, uri: Uri) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let read = |path: &str| match &dir {
        None => lorelei_page::file(path),
        Some(dir) if Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) => {
            std::fs::read(dir.join(path)).ok().map(Cow::Owned)
        }
        Some(_) => None,
    };
    let accept =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(Sent { bytes, encoding }) = lorelei_page::sent(path, accept, read) else {
        return (StatusCode::NOT_FOUND, "not found").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, lorelei_page::mime(path)),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let encoding = encoding.map(|encoding| [(header::CONTENT_ENCODING, encoding)]);
    (headers, encoding.map(AppendHeaders), bytes).into_response()
}

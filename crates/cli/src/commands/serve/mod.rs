//! `lorelei serve`: the page, served by this program.

mod answer;
mod folder;
mod hosts;
mod range;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use tokio::{net::TcpListener, sync::Semaphore, time};

use self::{answer::Site, folder::Folder, hosts::Hosts};

/// Most connections at a time. A browser opens six; those beyond the limit are closed at once.
const CONNECTIONS: usize = 256;

/// Time in which the head of a request must be there, from the opening of its connection or from the request before.
const HEAD: Duration = Duration::from_secs(10);

/// Time after which a connection is closed, whatever happens on it: enough for the page over a slow line.
const CONNECTION: Duration = Duration::from_secs(600);

/// Arguments of `lorelei serve`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = 8080, allow_negative_numbers = true)]
    port: u16,
    /// The address to listen on. The page needs https anywhere but on this machine.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// A name by which the page may be asked for, beside localhost and addresses: a proxy's, or this machine's. Other names are refused, because
    /// any site could point its own name here.
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
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
    let folder = dir.map(|dir| {
        let missing = || {
            miette!(
                "there is no page: {} has no index.html. `cargo xtask web` builds it; a program that is built after that has it \
                 in itself",
                dir.display()
            )
        };
        Folder::open(&dir).filter(|folder| folder.read("index.html").is_some()).ok_or_else(missing)
    });
    let site = Site::new(folder.transpose()?, Hosts::new(&arguments.allow_host));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().into_diagnostic()?;
    runtime.block_on(serve(SocketAddr::new(arguments.host, arguments.port), site))
}

async fn serve(address: SocketAddr, site: Site) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot listen on {address}: name another --port"))?;
    say!("http://{}/", listener.local_addr().into_diagnostic()?);
    let router = Router::new().fallback(answer::answer).with_state(Arc::new(site));
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // The process has too many open files, or the connection is gone already.
            time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = free.clone().try_acquire_owned() else { continue };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // A browser that closes its connection early is no error here.
            let _ = time::timeout(CONNECTION, connection).await;
            drop(permit);
        });
    }
}

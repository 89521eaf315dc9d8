//! The async runtime, the listening socket and the signals that end a server.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::CliError;

/// A runtime for one command.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|err| CliError::Failed(format!("start the async runtime: {err}")))
}

/// Listens on a loopback address. Others are refused until there is authentication.
pub(crate) async fn bind(address: &str) -> Result<TcpListener, CliError> {
    let fault = |why: String| CliError::Listen { address: address.to_owned(), why };
    let full = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() };
    let addresses: Vec<SocketAddr> = full
        .to_socket_addrs()
        .map_err(|err| fault(format!("{err}; write it as HOST:PORT, for instance 127.0.0.1:4280")))?
        .collect();
    let Some(address) = addresses.first().copied() else { return Err(fault("it has no address".into())) };
    if !address.ip().is_loopback() {
        return Err(fault(
            "only loopback addresses are served, because there is no authentication yet; put a proxy in front".into(),
        ));
    }
    TcpListener::bind(address).await.map_err(|err| match err.kind() {
        ErrorKind::AddrInUse => {
            fault("the port is taken; stop the other program or choose another with --listen 127.0.0.1:PORT".into())
        }
        ErrorKind::PermissionDenied => {
            fault("not allowed; ports below 1024 need privileges, choose a higher one".into())
        }
        _ => fault(err.to_string()),
    })
}

/// Completes at the first SIGTERM or Ctrl-C. A second one ends the process at once, which is as safe as a crash.
pub(crate) async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without signal handlers the process is ended by the system's default action.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
}

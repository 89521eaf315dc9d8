//! The async runtime, the listening socket and the signals that end a server.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::CliError;

/// Stack of a thread: parsers and evaluators recurse within their bounds, in debug builds with large frames.
const STACK_BYTES: usize = 16 << 20;

/// A runtime for one command.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    let built = tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK_BYTES).enable_all().build();
    built.map_err(|err| CliError::Failed(format!("start the async runtime: {err}")))
}

/// Why an address cannot be listened on, as far as its text tells.
pub(crate) fn listen_fault(address: &str) -> Option<String> {
    resolve(address).err()
}

/// The loopback address that a text means; others are refused until there is authentication.
fn resolve(address: &str) -> Result<SocketAddr, String> {
    let full = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() };
    let mut addresses =
        full.to_socket_addrs().map_err(|err| format!("{err}; write it as HOST:PORT, for instance 127.0.0.1:4280"))?;
    let address = addresses.next().ok_or_else(|| "it has no address".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("only loopback addresses are served, because there is no authentication yet; put a proxy in front".into())
}

/// Listens on a loopback address.
pub(crate) async fn bind(address: &str) -> Result<TcpListener, CliError> {
    let fault = |why: String| CliError::Listen { address: address.to_owned(), why };
    let address = resolve(address).map_err(fault)?;
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

/// A future that completes at the first SIGTERM or Ctrl-C. The handlers are in place when this returns, so a signal that
/// comes while a folder is still being opened ends the program in order, too. A second signal ends the process at once,
/// which is as safe as a crash. Must be called inside the runtime.
pub(crate) fn stop_signal() -> impl Future<Output = ()> + Send {
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    async move {
        let Ok((mut terminate, mut interrupt)) = signals else {
            // Without handlers the system's default action ends the process.
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
}

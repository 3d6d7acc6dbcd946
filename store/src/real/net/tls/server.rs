//! The server's side of a handshake.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use rustls::{pki_types::CertificateDer, server::Acceptor};
use tokio::{
    io::{self as tokio_io, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{TlsOptions, certificate, explain::explain};

/// How long a handshake may take. It bounds how long a caller that sends a byte a minute can hold a task and a
/// socket.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a refused caller may still send, and how much. If its bytes met a closed socket, the system would reset the
/// connection, and the caller would see that instead of the alert that says why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// A connection after its handshake.
pub(in crate::real::net) struct Accepted<S> {
    pub stream: TlsStream<S>,
    /// The common name of the caller's certificate, if it had to show one.
    pub common_name: Option<String>,
}

/// Why there is no connection.
struct Rejected<S> {
    /// The server name that the caller asked for, if it got that far.
    server_name: String,
    why: String,
    /// Whether the caller went away without sending anything, as a probe of the port does.
    silent: bool,
    /// The socket of a caller that was sent an alert.
    alerted: Option<S>,
}

/// Makes the TLS handshake. If it fails, logs the reason.
pub(in crate::real::net) async fn accept<S>(
    options: Arc<TlsOptions>,
    stream: S,
    from: Option<IpAddr>,
) -> Option<Accepted<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut server_name = String::new();
    let shaken = timeout(HANDSHAKE, handshake(options, stream, from, &mut server_name)).await;
    let rejected = match shaken {
        Ok(Ok(accepted)) => return Some(accepted),
        Ok(Err(rejected)) => rejected,
        Err(_) => {
            let why = format!("no handshake within {HANDSHAKE:?}");
            Rejected { server_name, why, silent: false, alerted: None }
        }
    };
    let from = from.map_or_else(|| "a Unix socket".into(), |from| from.to_string());
    if rejected.silent {
        tracing::debug!(from, error = rejected.why, "rejected connection");
    } else {
        let server_name = rejected.server_name;
        tracing::warn!(from, server_name, error = rejected.why, "rejected connection");
    }
    if let Some(stream) = rejected.alerted {
        _ = timeout(LINGER, linger(stream)).await;
    }
    None
}

/// Ends a connection in one direction, and reads what the caller still sends until it has read its alert and closes.
async fn linger<S>(mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.shutdown().await?;
    tokio_io::copy(&mut stream.take(LINGER_BYTES), &mut tokio_io::sink()).await.map(drop)
}

async fn handshake<S>(
    options: Arc<TlsOptions>,
    stream: S,
    from: Option<IpAddr>,
    server_name: &mut String,
) -> Result<Accepted<S>, Rejected<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = std::pin::pin!(LazyConfigAcceptor::new(Acceptor::default(), stream));
    let started = acceptor.as_mut().await.map_err(|error| Rejected {
        server_name: String::new(),
        silent: error.kind() == io::ErrorKind::UnexpectedEof,
        why: explain(&error),
        alerted: None,
    })?;
    *server_name = started.client_hello().server_name().unwrap_or_default().to_owned();
    let rejected =
        |why: String, alerted| Rejected { server_name: server_name.clone(), why, silent: false, alerted };

    let reader = options.clone();
    let config = spawn_blocking(move || reader.server_config()).await;
    let config = config
        .map_err(|_| rejected("the runtime is shutting down".into(), None))?
        .map_err(|error| rejected(format!("this member's own files: {error}"), None))?;
    let shaken = started.into_stream(config).into_fallible().await;
    let stream = shaken.map_err(|(error, stream)| rejected(explain(&error), Some(stream)))?;

    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
    let mut common_name = None;
    if let Some(shown) = &shown {
        check(&options, shown, from).await.map_err(|why| rejected(why, None))?;
        common_name = certificate::common_name(shown).filter(|_| options.client_cert_auth);
    }
    Ok(Accepted { stream, common_name })
}

async fn check(options: &TlsOptions, shown: &CertificateDer<'_>, from: Option<IpAddr>) -> Result<(), String> {
    certificate::check_names(options, shown)?;
    match from {
        Some(from) if options.check_address => certificate::check_address(shown, from).await,
        _ => Ok(()),
    }
}

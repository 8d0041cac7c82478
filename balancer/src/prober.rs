//! Looks at backends when the data plane wants to know: looks up their names, connects, and asks `/readyz` of those that have an admin address. All
//! of it on the control thread, because a name server or a backend may take its time.

use crate::control::{Command, Control};
use crate::pool::Probe;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc::Receiver;

/// The most of an answer that is read, in bytes: a status line and what is said below it.
const ANSWER_BYTES_MAX: u64 = 4 << 10;

/// Addresses of one name that are kept.
const ADDRESSES_MAX: usize = 16;

/// Probes one backend after another, each in a task of its own, until the data plane is gone.
pub(crate) async fn run(mut probes: Receiver<Probe>, control: Control, within: Duration) {
    while let Some(probe) = probes.recv().await {
        let control = control.clone();
        tokio::spawn(async move {
            let (key, life) = (probe.key, probe.life);
            let (found, outcome) = look(probe, within).await;
            control.send(Command::Probed { key, life, found, outcome });
        });
    }
}

async fn look(probe: Probe, within: Duration) -> (Vec<SocketAddr>, Result<(), String>) {
    let mut found = Vec::new();
    let mut address = probe.address;
    if probe.resolve {
        match resolve(&probe.spec.name, within).await {
            Ok(addresses) => {
                address = addresses.first().copied();
                found = addresses;
            }
            // A name server that fails for a while takes nobody down whose address is known.
            Err(error) if address.is_some() => {
                tracing::warn!(backend = %probe.spec.name, error, "cannot look up a name again; its address stays");
            }
            Err(error) => return (found, Err(error)),
        }
    }
    let seen = async {
        match (&probe.spec.admin, address) {
            (Some(admin), _) => ready(admin).await,
            (None, Some(address)) => TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string()),
            (None, None) => Err("its name has no address".to_owned()),
        }
    };
    let outcome = tokio::time::timeout(within, seen).await;
    (found, outcome.unwrap_or_else(|_| Err(format!("no answer within --probe-timeout ({} ms)", within.as_millis()))))
}

async fn resolve(name: &str, within: Duration) -> Result<Vec<SocketAddr>, String> {
    match tokio::time::timeout(within, lookup_host(name)).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.take(ADDRESSES_MAX).collect();
            if found.is_empty() { Err("its name has no address".to_owned()) } else { Ok(found) }
        }
        Ok(Err(error)) => Err(format!("its name cannot be looked up: {error}")),
        Err(_) => Err(format!("its name was not looked up within --probe-timeout ({} ms)", within.as_millis())),
    }
}

/// Asks an admin address whether its server is ready.
async fn ready(admin: &str) -> Result<(), String> {
    let answer = ask(admin).await.map_err(|error| format!("admin {admin}: {error}"))?;
    let status = answer.split_ascii_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let said = answer.split_once("\r\n\r\n").and_then(|(_, body)| body.lines().next()).unwrap_or_default();
    let status: String = status.chars().take(3).collect();
    Err(format!("/readyz says {} {}", status.escape_debug(), said.escape_debug()).trim_end().to_owned())
}

async fn ask(admin: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

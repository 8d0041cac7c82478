//! What is said of a backend: `host:port`, and behind commas what else it has. A file has one a line, with comments.

use std::net::SocketAddr;
use std::sync::Arc;

/// How a backend is told who its client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// Not at all: it sees the balancer's address.
    No,
    /// By a header of the PROXY protocol, version 2, in front of the client's bytes.
    V2,
}

/// A backend as it stands in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    /// `host:port`, by which it is known everywhere.
    pub(crate) name: Arc<str>,
    /// Where its `/readyz` is.
    pub(crate) admin: Option<Arc<str>>,
    pub(crate) proxy: Proxy,
    /// Connections that it may have.
    pub(crate) max: Option<usize>,
}

/// The most backends of a list: each is probed, and looked at for each connection.
pub(crate) const BACKENDS_MAX: usize = 1_000;

/// The most of a name, as DNS has it, with a port.
const NAME_BYTES_MAX: usize = 253 + 6;

impl Spec {
    /// Reads `host:port[,admin=host:port][,proxy=v2][,max=N]`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::trim);
        let name = place(parts.next().unwrap_or_default())?;
        let mut spec = Self { name, admin: None, proxy: Proxy::No, max: None };
        for part in parts {
            match part.split_once('=') {
                Some(("admin", admin)) => spec.admin = Some(place(admin)?),
                Some(("proxy", "v2")) => spec.proxy = Proxy::V2,
                Some(("proxy", _)) => return Err("proxy= can only be v2".to_owned()),
                Some(("max", max)) => {
                    let max = max.parse().ok().filter(|max| *max > 0);
                    spec.max = Some(max.ok_or("max= must be a number of connections, 1 or more")?);
                }
                _ => {
                    let part = part.escape_debug();
                    return Err(format!("`{part}` is none of admin=host:port, proxy=v2 and max=N"));
                }
            }
        }
        Ok(spec)
    }

    /// Its address, if its name is one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.name.parse().ok()
    }
}

fn place(text: &str) -> Result<Arc<str>, String> {
    let shown = text.escape_debug();
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("`{shown}` is not host:port"))?;
    if port.parse::<u16>().is_ok_and(|port| port > 0) && is_host(host) && text.len() <= NAME_BYTES_MAX {
        return Ok(text.into());
    }
    Err(format!("`{shown}` is not host:port, such as 10.0.0.7:7040, node1.example.org:7040 or [::1]:7040"))
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// Reads backends, each with the place that it stands at. All mistakes are told.
pub(crate) fn read_list<'a>(texts: impl Iterator<Item = (String, &'a str)>) -> Result<Vec<Spec>, Vec<String>> {
    let (mut specs, mut mistakes) = (Vec::<Spec>::new(), Vec::new());
    for (at, text) in texts {
        match Spec::read(text) {
            Ok(spec) if specs.iter().any(|other| other.name == spec.name) => {
                mistakes.push(format!("{at}{} stands there twice", spec.name));
            }
            Ok(spec) => specs.push(spec),
            Err(why) => mistakes.push(format!("{at}{why}")),
        }
    }
    if specs.len() > BACKENDS_MAX {
        mistakes.push(format!("{} backends are more than {BACKENDS_MAX}", specs.len()));
    }
    if mistakes.is_empty() { Ok(specs) } else { Err(mistakes) }
}

/// The lines of a file that say something.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (String, &str)> {
    let said = |line: &str| !line.is_empty();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.enumerate().filter(move |(_, line)| said(line)).map(|(at, line)| (format!("line {}: ", at + 1), line))
}

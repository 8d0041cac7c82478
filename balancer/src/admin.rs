//! The admin port: plain HTTP for probes and people.
//!
//! ```text
//!  GET  /livez      200 while the data plane answers a question within a second
//!  GET  /readyz     200 while a backend is up; 503 says why it is not
//!  GET  /metrics    everything that is counted, for Prometheus
//!  GET  /backends   each backend as JSON: state, connections, bytes, failures, the last check and why
//!  POST /drain      asks the balancer to leave; with ?backend=host:port that backend only; ?deadline=10s
//!  POST /undrain    ?backend=host:port gets connections again
//!  POST /rebalance  has a share of the connections of crowded backends move
//!  POST /reload     reads the file of backends again, like SIGHUP
//! ```
//!
//! A POST needs the header `Answerback-Admin: yes`.

use crate::control::{Command, Control, Report};
use crate::metrics;
use crate::pool::Backend;
use crate::reload::Source;
use answerback_process::pages::{self, JSON, Page, Request, StatusCode, is_meant, not_allowed, respond, text};
use answerback_process::units::{A_DURATION, parse_duration, print_duration};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long the data plane may take to answer before it is taken for dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The longest deadline that can be said here.
const DEADLINE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// What pages are made of.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pub(crate) control: Control,
    pub(crate) drain_deadline: Duration,
    pub(crate) source: Arc<Source>,
}

impl pages::Pages for Pages {
    async fn answer(&self, request: Request<Incoming>) -> Page {
        let path = request.uri().path();
        let commands = matches!(path, "/drain" | "/undrain" | "/rebalance" | "/reload");
        let wants = if commands { "POST" } else { "GET, HEAD" };
        if !wants.split(", ").any(|method| method == request.method().as_str()) {
            return not_allowed(wants);
        }
        if commands && let Err(why) = is_meant(&request) {
            return text(StatusCode::FORBIDDEN, why);
        }
        match path {
            "/livez" => self.live().await,
            "/readyz" => self.ready().await,
            "/metrics" => self.figures().await,
            "/backends" => self.backends().await,
            "/drain" | "/undrain" => self.drain(path, request.uri().query()).await,
            "/rebalance" => self.rebalance().await,
            "/reload" => self.reload().await,
            _ => text(
                StatusCode::NOT_FOUND,
                "no such page; there are /livez, /readyz, /metrics, /backends, and POST /drain, /undrain, /rebalance and /reload",
            ),
        }
    }
}

/// What a query says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    backend: Option<String>,
    deadline: Option<Duration>,
}

impl Pages {
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Page> {
        match tokio::time::timeout(ANSWER_WITHIN, self.control.ask(question)).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(text(StatusCode::SERVICE_UNAVAILABLE, "the data plane does not answer")),
        }
    }

    async fn report(&self) -> Result<Report, Page> {
        self.ask(Command::Report).await
    }

    async fn live(&self) -> Page {
        self.report().await.map_or_else(|silent| silent, |_| text(StatusCode::OK, "live"))
    }

    async fn ready(&self) -> Page {
        match self.report().await {
            Err(silent) => silent,
            Ok(report) if report.draining => {
                let count = report.connections;
                text(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: draining, {count} connections are left"))
            }
            Ok(report) if report.up == 0 => {
                let count = report.backends.len();
                text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    &format!("not ready: none of {count} backends is up; see /backends"),
                )
            }
            Ok(report) => {
                text(StatusCode::OK, &format!("ready: {} of {} backends are up", report.up, report.backends.len()))
            }
        }
    }

    async fn figures(&self) -> Page {
        match self.report().await.map(metrics::page) {
            Ok(Ok(page)) => respond(StatusCode::OK, metrics::CONTENT_TYPE, page),
            Ok(Err(_)) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written"),
            Err(silent) => silent,
        }
    }

    async fn backends(&self) -> Page {
        match self.report().await {
            Ok(report) => {
                let now = Instant::now();
                let backends: Vec<_> = report.backends.iter().map(|backend| told(backend, now)).collect();
                respond(StatusCode::OK, JSON, format!("{:#}\n", json!({ "backends": backends })))
            }
            Err(silent) => silent,
        }
    }

    async fn drain(&self, path: &str, query: Option<&str>) -> Page {
        let query = match Query::read(query) {
            Ok(query) => query,
            Err(why) => return text(StatusCode::BAD_REQUEST, &why),
        };
        let within = query.deadline.unwrap_or(self.drain_deadline);
        let back = path == "/undrain";
        let Some(name) = query.backend else {
            if back {
                return text(StatusCode::BAD_REQUEST, "say which: ?backend=host:port");
            }
            return self.leave(within);
        };
        let asked = |told| Command::DrainBackend { name: name.clone(), within: (!back).then_some(within), told };
        match self.ask(asked).await {
            Ok(true) if back => {
                tracing::info!(backend = %name, "backend gets connections again, asked by the admin port");
                text(StatusCode::OK, "the backend gets connections again")
            }
            Ok(true) => {
                tracing::info!(backend = %name, deadline_ms = within.as_millis() as u64, "backend drains, asked by the admin port");
                let within = print_duration(within);
                text(
                    StatusCode::ACCEPTED,
                    &format!("the backend gets no new connections; those it has may end within {within}"),
                )
            }
            Ok(false) => text(StatusCode::NOT_FOUND, "no backend has this name; see /backends"),
            Err(silent) => silent,
        }
    }

    fn leave(&self, within: Duration) -> Page {
        if !self.control.send(Command::Drain(within)) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the data plane does not answer");
        }
        tracing::info!(deadline_ms = within.as_millis() as u64, "asked to leave by the admin port");
        let within = print_duration(within);
        text(StatusCode::ACCEPTED, &format!("draining: connections may end within {within}; see /readyz"))
    }

    async fn rebalance(&self) -> Page {
        match self.ask(Command::Rebalance).await {
            Ok(count) => {
                tracing::info!(count, "connections are to move, asked by the admin port");
                respond(StatusCode::OK, JSON, format!("{}\n", json!({ "to_move": count })))
            }
            Err(silent) => silent,
        }
    }

    async fn reload(&self) -> Page {
        match self.source.reload(&self.control).await {
            Ok(told) => respond(
                StatusCode::OK,
                JSON,
                format!("{}\n", json!({ "added": told.added, "removed": told.removed, "changed": told.changed })),
            ),
            Err(error) => respond(StatusCode::BAD_REQUEST, JSON, format!("{}\n", json!({ "error": error }))),
        }
    }
}

impl Query {
    fn read(query: Option<&str>) -> Result<Self, String> {
        let mut read = Self::default();
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                // What a name may have is written as it is, but for the colon and brackets, which some write as %3A, %5B and %5D.
                Some(("backend", name)) => {
                    let name = name.replace("%3A", ":").replace("%3a", ":");
                    let name = name.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]");
                    read.backend = Some(name);
                }
                Some(("deadline", text)) => {
                    let deadline = parse_duration(text).filter(|deadline| *deadline <= DEADLINE_MAX);
                    read.deadline = Some(deadline.ok_or_else(|| format!("the deadline must be {A_DURATION}"))?);
                }
                _ => return Err("what can be said is ?backend=host:port and &deadline=10s".to_owned()),
            }
        }
        Ok(read)
    }
}

/// What is known of a backend.
fn told(backend: &Backend, now: Instant) -> Value {
    let check = backend.check.as_ref().map(|check| {
        let age = now.saturating_duration_since(check.at).as_millis() as u64;
        json!({ "good": check.good, "why": check.why, "age_ms": age })
    });
    json!({
        "backend": &*backend.spec.name,
        "state": backend.state.word(),
        "draining": backend.draining,
        "gone": backend.gone,
        "connections": backend.connections,
        "connects": backend.taken,
        "bytes_from_clients": backend.bytes_up,
        "bytes_to_clients": backend.bytes_down,
        "failed_connects": backend.failed_connects,
        "failed_probes": backend.failed_probes,
        "last_check": check,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let of = |query| Query::read(Some(query));
        let both = Query { backend: Some("a:1".to_owned()), deadline: Some(Duration::from_secs(2)) };
        assert_eq!(of("backend=a:1&deadline=2s").as_ref(), Ok(&both));
        assert_eq!(of("deadline=2s&backend=a%3A1").as_ref(), Ok(&both));
        assert_eq!(of(""), Ok(Query::default()));
        for wrong in ["deadline=2", "deadline=9000d", "backends=a:1", "x"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}

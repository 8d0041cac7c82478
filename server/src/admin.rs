//! The admin port: plain HTTP for probes and people, on a thread of its own.
//!
//! ```text
//!  GET  /livez    200 while the data plane answers a question within a second, or the store is being read
//!  GET  /readyz   200 while new work is taken, with a warning if the disk fails; 503 says why it is not
//!  GET  /metrics  everything that is counted, for Prometheus
//!  POST /drain    asks the server to leave, like SIGTERM; ?deadline=10s; only with the header `Answerback-Admin: yes`
//!  POST /reload   reads its keys again, like SIGHUP, and says what changed as JSON; the same header
//!  POST /move    ?client=HOST:PORT asks the client that comes from there to go elsewhere, for a balancer that is to end; the same header
//! ```
//!
//! It shares nothing with the data plane: it asks, and is sent a copy.

use crate::control::{Command, Report};
use crate::data_plane::StoreReport;
use crate::keys::{ReloadError, Reloaded};
use crate::metrics;
use crate::stage::Stage;
use crate::units::{A_DURATION, DURATION_MAX, parse_duration, print_duration};
use answerback_process::pages::{self, JSON, Page, is_meant, not_allowed, respond, text};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// How long the data plane may take to answer before it is taken for dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// What pages are made of.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    stage: Arc<Stage>,
    drain_deadline: Duration,
}

/// What is known of a server when a page is asked for.
#[derive(Debug)]
enum Known {
    /// Nobody is served yet; so much of the store has been read.
    Recovering(u64),
    Turning(Box<Report>),
    /// The data plane hangs or is gone.
    Silent,
}

impl pages::Pages for Pages {
    async fn answer(&self, request: Request<Incoming>) -> Page {
        let wants = if matches!(request.uri().path(), "/drain" | "/reload" | "/move") { "POST" } else { "GET, HEAD" };
        if !wants.split(", ").any(|method| method == request.method().as_str()) {
            return not_allowed(wants);
        }
        match request.uri().path() {
            "/livez" => live(&self.ask().await),
            "/readyz" => ready(&self.ask().await),
            "/metrics" => figures(self.ask().await),
            "/drain" => self.drain(&request),
            "/reload" => self.reload(&request).await,
            "/move" => self.move_client(&request),
            _ => text(
                StatusCode::NOT_FOUND,
                "no such page; there are /livez, /readyz, /metrics, POST /drain, POST /reload and POST /move",
            ),
        }
    }
}

impl Pages {
    pub(crate) fn new(stage: Arc<Stage>, drain_deadline: Duration) -> Self {
        Self { stage, drain_deadline }
    }

    /// How things are in the data plane, if it says so in time.
    async fn ask(&self) -> Known {
        let Some(control) = self.stage.control() else { return Known::Recovering(self.stage.restored_so_far()) };
        match tokio::time::timeout(ANSWER_WITHIN, control.ask()).await {
            Ok(Ok(report)) => Known::Turning(Box::new(report)),
            _ => Known::Silent,
        }
    }

    fn drain<Body>(&self, request: &Request<Body>) -> Page {
        if let Err(why) = is_meant(request) {
            return text(StatusCode::FORBIDDEN, why);
        }
        let deadline = match deadline(request.uri().query()) {
            Ok(deadline) => deadline.unwrap_or(self.drain_deadline),
            Err(why) => return text(StatusCode::BAD_REQUEST, &why),
        };
        let sent = match self.stage.control() {
            Some(control) => control.try_send(Command::Drain(deadline)),
            None => return text(StatusCode::SERVICE_UNAVAILABLE, "still recovering; send SIGTERM to end it"),
        };
        if !sent {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the data plane does not answer");
        }
        tracing::info!(deadline_ms = deadline.as_millis() as u64, "asked to leave by the admin port");
        let deadline = print_duration(deadline);
        text(StatusCode::ACCEPTED, &format!("draining: running work may finish within {deadline}; see /readyz"))
    }

    fn move_client<Body>(&self, request: &Request<Body>) -> Page {
        if let Err(why) = is_meant(request) {
            return text(StatusCode::FORBIDDEN, why);
        }
        let said = request.uri().query().and_then(|query| query.strip_prefix("client="));
        let Some(client) = said.and_then(|client| client.parse().ok()) else {
            return text(StatusCode::BAD_REQUEST, "say which client: ?client=127.0.0.1:41236");
        };
        match self.stage.control() {
            Some(control) if control.try_send(Command::Move(client)) => {
                text(StatusCode::ACCEPTED, "if it is connected, it is asked to go elsewhere")
            }
            _ => text(StatusCode::SERVICE_UNAVAILABLE, "the data plane does not answer"),
        }
    }

    /// Files are read on a thread of their own: probes are answered meanwhile.
    async fn reload<Body>(&self, request: &Request<Body>) -> Page {
        if let Err(why) = is_meant(request) {
            return text(StatusCode::FORBIDDEN, why);
        }
        let Some(keys) = self.stage.keys().cloned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "still recovering; the keys are those of the start");
        };
        let outcome = tokio::task::spawn_blocking(move || keys.reload()).await;
        reloaded(outcome.unwrap_or(Err(ReloadError::Silent)))
    }
}

/// What came of a reload: also a line of the log, since somebody else may look for what has changed.
fn reloaded(outcome: Result<Reloaded, ReloadError>) -> Page {
    match outcome {
        Ok(reloaded) => {
            tracing::info!("keys read again, asked by the admin port: {reloaded}");
            respond(StatusCode::OK, JSON, reloaded.json())
        }
        Err(error @ (ReloadError::NoKeys | ReloadError::NoSource)) => text(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error @ ReloadError::Silent) => text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Err(error @ (ReloadError::Source(_) | ReloadError::Certificate(_))) => {
            tracing::error!(%error, "the keys cannot be read again; those before go on");
            let error = serde_json::json!({ "error": error.to_string() });
            respond(StatusCode::BAD_REQUEST, JSON, format!("{error}\n"))
        }
    }
}

/// What a query says of a deadline.
fn deadline(query: Option<&str>) -> Result<Option<Duration>, String> {
    let mut found = None;
    for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let Some(text) = part.strip_prefix("deadline=") else {
            return Err("the only thing that can be said is ?deadline=10s".to_owned());
        };
        let deadline = parse_duration(text).filter(|deadline| *deadline <= DURATION_MAX);
        found = Some(deadline.ok_or_else(|| format!("the deadline must be {A_DURATION}"))?);
    }
    Ok(found)
}

fn live(known: &Known) -> Page {
    match known {
        Known::Turning(_) | Known::Recovering(_) => text(StatusCode::OK, "live"),
        Known::Silent => text(StatusCode::SERVICE_UNAVAILABLE, "not live: the data plane does not answer"),
    }
}

fn ready(known: &Known) -> Page {
    let (status, mut lines) = match known {
        Known::Recovering(count) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: recovering, {count} restored"))
        }
        Known::Silent => (StatusCode::SERVICE_UNAVAILABLE, "not ready: the data plane does not answer".to_owned()),
        Known::Turning(report) if report.draining => (StatusCode::SERVICE_UNAVAILABLE, leaving(report)),
        Known::Turning(_) => (StatusCode::OK, "ready".to_owned()),
    };
    if let Known::Turning(report) = known {
        remarks(&report.store, &mut lines);
    }
    text(status, &lines)
}

fn leaving(report: &Report) -> String {
    if report.store.saving_last {
        return "not ready: draining, saving what is left".to_owned();
    }
    let (running, waiting) = (report.held.delivered, report.held.queued);
    format!("not ready: draining, {running} running, {waiting} waiting to be saved")
}

/// A server whose disk fails serves what is not durable, so it is ready; but whoever looks shall see it.
fn remarks(store: &StoreReport, lines: &mut String) {
    if let Some((since, why)) = &store.journal_trouble {
        let since = since.as_secs();
        lines.push_str(&format!("\nwarning: durable requests are refused since {since} s ({why})"));
    }
    if let Some((since, why)) = &store.snapshot_trouble {
        let since = since.as_secs();
        lines.push_str(&format!("\nwarning: nothing saved since {since} s ({why})"));
    }
    if store.restoring && store.sends_restored > 0 {
        lines.push_str(&format!("\nrestoring: {} stored sends are in, more follow", store.sends_restored));
    }
}

fn figures(known: Known) -> Page {
    let Known::Turning(report) = known else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the data plane does not answer yet");
    };
    match metrics::page(*report) {
        Ok(page) => respond(StatusCode::OK, metrics::CONTENT_TYPE, page),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Control;
    use crate::keys::KeyControl;
    use crate::stage::Interrupt;
    use http_body_util::BodyExt;

    fn turning(change: impl FnOnce(&mut Report)) -> Known {
        let mut report = Report::default();
        change(&mut report);
        Known::Turning(Box::new(report))
    }

    fn read(page: Page) -> (u16, String) {
        let status = page.status().as_u16();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(page.into_body().collect()).unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn a_draining_server_is_live_and_not_ready() {
        let pages = |known: Known| (live(&known).status().as_u16(), ready(&known).status().as_u16());
        assert_eq!(pages(turning(|_| ())), (200, 200));
        assert_eq!(pages(turning(|report| report.draining = true)), (200, 503));
        assert_eq!(pages(Known::Recovering(7)), (200, 503));
        assert_eq!(pages(Known::Silent), (503, 503));
    }

    #[test]
    fn probes_are_told_how_far_a_recovery_and_a_drain_have_come() {
        assert_eq!(read(ready(&Known::Recovering(7))), (503, "not ready: recovering, 7 restored\n".to_owned()));
        let known = turning(|report| {
            (report.draining, report.held.delivered, report.held.queued) = (true, 2, 30);
        });
        assert_eq!(read(ready(&known)), (503, "not ready: draining, 2 running, 30 waiting to be saved\n".to_owned()));
        let known = turning(|report| (report.draining, report.store.saving_last) = (true, true));
        assert_eq!(read(ready(&known)), (503, "not ready: draining, saving what is left\n".to_owned()));
    }

    #[test]
    fn a_server_whose_disk_fails_is_ready_and_says_so() {
        let known = turning(|report| {
            report.store.journal_trouble = Some((Duration::from_millis(3_900), "disk full".to_owned()));
            report.store.snapshot_trouble = Some((Duration::from_secs(12), "disk full".to_owned()));
        });
        let lines = "ready\nwarning: durable requests are refused since 3 s (disk full)\nwarning: nothing saved since 12 s (disk full)\n";
        assert_eq!(read(ready(&known)), (200, lines.to_owned()));
    }

    /// A data plane that hangs, and one that is gone.
    #[test]
    fn a_data_plane_that_does_not_answer_is_not_live() {
        let poll = mio::Poll::new().unwrap();
        let (control, commands) = Control::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let pages = Pages::new(Arc::new(Stage::new(Interrupt::default())), Duration::from_secs(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        assert!(matches!(runtime.block_on(pages.ask()), Known::Recovering(0)));
        pages.stage.serves(control.clone(), KeyControl::new(None, None, None, control));
        assert!(matches!(runtime.block_on(pages.ask()), Known::Silent));
        drop(commands);
        assert!(matches!(runtime.block_on(pages.ask()), Known::Silent));
    }

    fn drain_of(host: &str, header: Option<&str>, query: &str) -> (u16, Option<Duration>) {
        let poll = mio::Poll::new().unwrap();
        let (control, commands) = Control::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let pages = Pages::new(Arc::new(Stage::new(Interrupt::default())), Duration::from_secs(9));
        pages.stage.serves(control.clone(), KeyControl::new(None, None, None, control));
        let mut request = Request::builder().method("POST").uri(format!("/drain{query}")).header("host", host);
        if let Some(value) = header {
            request = request.header("Answerback-Admin", value);
        }
        let status = pages.drain(&request.body(()).unwrap()).status().as_u16();
        let told = commands.try_recv().ok().map(|command| match command {
            Command::Drain(deadline) => deadline,
            other => panic!("{other:?}"),
        });
        (status, told)
    }

    #[test]
    fn only_who_means_this_server_can_drain_it() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for host in ["127.0.0.1:7041", "localhost:1", "[::1]:80", "127.0.0.1"] {
            assert_eq!(drain_of(host, Some("yes"), ""), (202, seconds(9)), "{host}");
        }
        assert_eq!(drain_of("127.0.0.1:1", Some("yes"), "?deadline=2m"), (202, seconds(120)));
        for wrong in ["?deadline=2", "?deadline=", "?dead", "?deadline=9000d"] {
            assert_eq!(drain_of("127.0.0.1:1", Some("yes"), wrong), (400, None), "{wrong}");
        }
        assert_eq!(drain_of("127.0.0.1:1", None, ""), (403, None));
        assert_eq!(drain_of("127.0.0.1:1", Some("no"), ""), (403, None));
        for host in ["evil.example", "localhost.evil.example:7041", ""] {
            assert_eq!(drain_of(host, Some("yes"), ""), (403, None), "{host}");
        }
    }
}

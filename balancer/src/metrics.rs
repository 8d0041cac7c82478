//! `/metrics`: what a report holds, for Prometheus.

use crate::control::Report;
use crate::pool::{Backend, State};
pub(crate) use answerback_process::figures::CONTENT_TYPE;
use answerback_process::figures::{self, Figures, Lines};
use std::fmt;

/// The page.
pub(crate) fn page(report: Report) -> Result<String, fmt::Error> {
    figures::page("answerback_balancer", Scrape(report))
}

#[derive(Debug)]
struct Scrape(Report);

impl Figures for Scrape {
    fn write(&self, to: &mut Lines<'_>) -> fmt::Result {
        let Report { counters, connections, held_bytes, up, draining, backends } = &self.0;
        to.gauge("connections", "Connections of clients", *connections)?;
        to.counter("connections_accepted", "Connections accepted", counters.accepted)?;
        to.counter(
            "connections_refused_full",
            "Connections closed because as many as may be were open",
            counters.refused_full,
        )?;
        let help = "Connections closed because no backend took them";
        to.counter("connections_refused_no_backend", help, counters.refused_no_backend)?;
        to.counter("connect_retries", "Connects to a further backend after one had failed", counters.retries)?;
        to.counter("connections_broken", "Connections of which one end broke", counters.broken)?;
        to.counter("connections_idle_closed", "Connections closed because nothing moved", counters.idle_closed)?;
        to.counter(
            "connections_drain_closed",
            "Connections closed because their drained backend's time was over",
            counters.drain_closed,
        )?;
        to.counter("connections_moved", "Connections closed so that their clients move", counters.moved)?;
        to.counter("accept_pauses", "Pauses because no further file could be opened", counters.accept_pauses)?;
        to.bytes("held", "Bytes that wait to be taken by either end", *held_bytes)?;
        to.counted_bytes("spliced", "Bytes that went through pipes instead of the buffer", counters.spliced_bytes)?;
        to.counter("turns", "Turns of the data plane's loop", counters.turns)?;
        to.gauge("backends_up", "Backends that get connections", *up)?;
        to.gauge("draining", "1 while the balancer is leaving", usize::from(*draining))?;
        let of = |value: fn(&Backend) -> u64| {
            backends.iter().map(move |backend| (backend.spec.name.to_string(), value(backend)))
        };
        to.gauges("backend_up", "1 if it is up", "backend", of(|backend| u64::from(backend.state == State::Up)))?;
        to.gauges("backend_connections", "Its connections", "backend", of(|backend| backend.connections as u64))?;
        to.counters("backend_connects", "Connections it has taken", "backend", of(|backend| backend.taken))?;
        to.counters(
            "backend_failed_connects",
            "Connects that failed",
            "backend",
            of(|backend| backend.failed_connects),
        )?;
        to.counters("backend_failed_probes", "Probes that failed", "backend", of(|backend| backend.failed_probes))?;
        to.counters("backend_up_bytes", "Bytes from clients", "backend", of(|backend| backend.bytes_up))?;
        to.counters("backend_down_bytes", "Bytes to clients", "backend", of(|backend| backend.bytes_down))
    }
}

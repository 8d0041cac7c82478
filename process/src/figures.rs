//! Writes metrics in the text format of OpenMetrics, which Prometheus reads. Nothing is counted here: a scrape brings what it has to tell.
//! Names end in their unit.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::time::Duration;

/// What the page says of itself.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What one scrape tells.
pub trait Figures: fmt::Debug + Send + Sync + 'static {
    /// Writes all of it.
    fn write(&self, to: &mut Lines<'_>) -> fmt::Result;
}

#[derive(Debug)]
struct Scrape<F>(F);

impl<F: Figures> Collector for Scrape<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.write(&mut Lines(encoder))
    }
}

/// The page. All names begin with `prefix`.
pub fn page(prefix: &str, figures: impl Figures) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(prefix);
    registry.register_collector(Box::new(Scrape(figures)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// Writes metrics, one after another.
#[derive(Debug)]
pub struct Lines<'a>(DescriptorEncoder<'a>);

impl Lines<'_> {
    fn write(&mut self, name: &str, help: &str, unit: Option<&Unit>, metric: &impl EncodeMetric) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, unit, metric.metric_type())?;
        metric.encode(encoder)
    }

    /// A counter.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.write(name, help, None, &ConstCounter::new(value))
    }

    /// A counter of bytes.
    pub fn counted_bytes(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.write(name, help, Some(&Unit::Bytes), &ConstCounter::new(value))
    }

    /// A counter of time.
    pub fn counted_seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        self.write(name, help, Some(&Unit::Seconds), &ConstCounter::new(value.as_secs_f64()))
    }

    /// One counter for each value of a label.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (String, u64)>,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (value, count) in values {
            let metric = ConstCounter::new(count);
            metric.encode(encoder.encode_family(&[(label, value.as_str())])?)?;
        }
        Ok(())
    }

    /// One gauge for each value of a label.
    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (String, u64)>,
    ) -> fmt::Result {
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (value, count) in values {
            let metric = ConstGauge::new(whole(count));
            metric.encode(encoder.encode_family(&[(label, value.as_str())])?)?;
        }
        Ok(())
    }

    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl TryInto<i64>) -> fmt::Result {
        self.write(name, help, None, &ConstGauge::new(whole(value)))
    }

    /// A number of bytes that goes up and down.
    pub fn bytes(&mut self, name: &str, help: &str, value: impl TryInto<i64>) -> fmt::Result {
        self.write(name, help, Some(&Unit::Bytes), &ConstGauge::new(whole(value)))
    }

    /// A time that goes up and down.
    pub fn seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        self.write(name, help, Some(&Unit::Seconds), &ConstGauge::new(value.as_secs_f64()))
    }
}

fn whole(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

//! How bad the simulated network is.

use std::time::Duration;

/// How bad the network is, and how often the broker is killed.
///
/// ```
/// use answerback_testing::Weather;
/// use std::time::Duration;
///
/// let weather = Weather::fair().delay(Duration::from_millis(50)).drops(Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    pub(super) delay: Duration,
    pub(super) drops: Option<Duration>,
    pub(super) restarts: Option<(Duration, Duration)>,
}

impl Weather {
    /// Bytes take a millisecond or two. Nothing breaks.
    ///
    /// ```
    /// # use answerback_testing::Weather;
    /// let weather = Weather::fair();
    /// ```
    pub fn fair() -> Self {
        Self { delay: Duration::from_millis(2), drops: None, restarts: None }
    }

    /// Bytes take up to 20 ms, a connection lives about 2 s, and the broker is killed about every 10 s.
    ///
    /// ```
    /// # use answerback_testing::Weather;
    /// let weather = Weather::rough();
    /// ```
    pub fn rough() -> Self {
        Self::fair()
            .delay(Duration::from_millis(20))
            .drops(Duration::from_secs(2))
            .restarts(Duration::from_secs(10), Duration::from_millis(500))
    }

    /// Bytes take up to `most` each way.
    ///
    /// ```
    /// # use answerback_testing::Weather;
    /// # use std::time::Duration;
    /// let weather = Weather::fair().delay(Duration::from_millis(100));
    /// ```
    pub fn delay(mut self, most: Duration) -> Self {
        self.delay = most;
        self
    }

    /// Connections break when they are `about` so old: from half to one and a half of it. What is on its way is lost, and
    /// each end learns of it at another time; now and then one end does not learn of it at all.
    ///
    /// ```
    /// # use answerback_testing::Weather;
    /// # use std::time::Duration;
    /// let weather = Weather::fair().drops(Duration::from_secs(1));
    /// ```
    pub fn drops(mut self, about: Duration) -> Self {
        self.drops = Some(about);
        self
    }

    /// The broker is killed `about` so long after it was started, and is away for `away` at most.
    ///
    /// ```
    /// # use answerback_testing::Weather;
    /// # use std::time::Duration;
    /// let weather = Weather::fair().restarts(Duration::from_secs(10), Duration::from_secs(1));
    /// ```
    pub fn restarts(mut self, about: Duration, away: Duration) -> Self {
        self.restarts = Some((about, away));
        self
    }
}

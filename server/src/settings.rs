//! What a server is told when it is started, and whether that can work.
//!
//! A program that embeds the server fills [`Settings`] itself; the process fills it from flags. Both have it checked here,
//! and all mistakes come at once, each with what would be right.

use crate::data_plane::{BYTES_LEAST, FRAMES_LEAST};
use crate::keys::Keys;
use crate::peers::{PEERS_MAX, Peer, is_host_and_port, is_loopback};
use crate::proxy::Believed;
use crate::tls::Tls;
use crate::units::{DURATION_MAX, print_duration, print_size};
use answerback_broker as core;
pub use answerback_process::mistakes::Mistake;
use answerback_protocol::Pattern;
use answerback_protocol::limits::{CLIENT_NAME_BYTES_MAX, FRAME_BYTES_LEAST, FRAME_BYTES_MOST, HOPS_MAX};
use answerback_store::{Disk, SnapshotsIn};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients connect. Loopback only, unless there are keys. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where probes and people look. Loopback only; port 0 picks a free one; `None` opens no such port.
    pub admin: Option<SocketAddr>,
    /// Who may connect, and do what. `None`: everybody who can reach it, and everything.
    pub keys: Option<Keys>,
    /// The certificate with which the port for clients speaks TLS too. `None`: it does not.
    pub tls: Option<Tls>,
    /// Other servers to be linked with. Each is dialed for ever; a link serves both ends, whoever dialed.
    pub peers: Vec<Peer>,
    /// The directory that belongs to this server alone.
    pub data_dir: PathBuf,
    /// Connections open at once. 10,000: each costs a file descriptor and about 1 KiB.
    pub max_connections: usize,
    /// Bytes that may wait for one connection to be read. 64 MiB: eight of the largest frames.
    pub outbox_limit: usize,
    /// Bytes that may wait for all connections together. 512 MiB.
    pub outbox_memory: usize,
    /// Whether balancers in front of this server say who their clients are, by the PROXY protocol, version 2.
    pub proxy_protocol: bool,
    /// The addresses of those balancers. Each connection from one must begin with a header; from others none is believed.
    pub proxy_from: Vec<Believed>,
    /// Connections of one address, of an IPv6 /64, open at once. 0, no limit: behind a balancer or a NAT thousands of clients have one
    /// address, and what would be right for them would hold up no attacker.
    pub max_connections_per_address: usize,
    /// New connections a second in all; twice as many at once after a quiet time. 5,000: 10,000 clients that come back after a restart are in
    /// at once, and handshakes take at most a quarter of a core for ever, or most of one where all come over TLS. 0 is no limit.
    pub handshakes_per_second: usize,
    /// The same for one address. 0, no limit: for the same reason as above. Who fails is slowed down by `stranger_rest` anyway.
    pub handshakes_per_address: usize,
    /// The longest time for which an address is not listened to whose connections keep ending without a hello. Rests begin with 100 ms. 5 s: a
    /// scanner is then at it about once a second, and whoever shares its address does not wait for long. 0: never. Loopback is spared.
    pub stranger_rest: Duration,
    /// Frames a second that one connection may send, and as many at once. 0, no limit; else at least 10.
    pub frames_per_second: usize,
    /// Bytes a second that one connection may send, and as many at once. 0, no limit; else at least 1 KiB.
    pub bytes_per_second: usize,
    /// Bytes of frames that have come in part, of all connections. 256 MiB: 32 of the largest at once.
    pub inbox_memory: usize,
    /// Whether connections from this machine are spared what is there against strangers. Only tests say no.
    #[doc(hidden)]
    pub spare_loopback: bool,
    /// How long running work may take to finish when the server is asked to leave. 10 s: below what supervisors wait
    /// before they kill.
    pub drain_deadline: Duration,
    /// The time between two snapshots of what is not durable. 1 s: what a crash may lose is then less than people take for
    /// one moment, and a call that comes and goes within it costs the disk nothing. 0 saves only when the server leaves.
    pub snapshot_interval: Duration,
    /// A sync of the journal, or a snapshot, that takes longer counts as a failing disk: until it returns, durable requests are refused at
    /// once instead of waiting with no end in sight. 5 s: longer than a busy disk stalls, shorter than most callers wait.
    pub sync_patience: Duration,
    /// Bytes of one segment of the journal. 64 MiB: few files, and space comes back in pieces of this size.
    pub journal_segment: usize,
    /// Whether a damaged store is a reason not to start. Without it, what is damaged is set aside and told.
    pub strict_store: bool,
    /// Other disks than real ones, for tests of what happens when they fail.
    #[doc(hidden)]
    pub disk: Option<(Arc<dyn Disk>, SnapshotsIn)>,
    /// What the core is told. Its secrets are filled in from the data directory.
    pub broker: core::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7040)),
            admin: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 7041))),
            keys: None,
            tls: None,
            peers: Vec::new(),
            data_dir: PathBuf::from("answerback-data"),
            max_connections: 10_000,
            outbox_limit: 64 << 20,
            outbox_memory: 512 << 20,
            proxy_protocol: false,
            proxy_from: Vec::new(),
            max_connections_per_address: 0,
            handshakes_per_second: 5_000,
            handshakes_per_address: 0,
            stranger_rest: Duration::from_secs(5),
            frames_per_second: 0,
            bytes_per_second: 0,
            inbox_memory: 256 << 20,
            spare_loopback: true,
            drain_deadline: Duration::from_secs(10),
            snapshot_interval: Duration::from_secs(1),
            sync_patience: Duration::from_secs(5),
            journal_segment: 64 << 20,
            strict_store: false,
            disk: None,
            broker: core::Settings::default(),
        }
    }
}

/// The shortest heartbeat and handshake: below it a busy machine would close healthy connections.
const PATIENCE_LEAST: Duration = Duration::from_millis(100);

/// What an outbox must hold beside the largest frame: its head, and whatever small frames come before it.
const BESIDE_A_FRAME_BYTES: u64 = 64 << 10;

/// Addresses that a `goaway` can name.
const ELSEWHERE_MAX: usize = 8;

/// Patterns of durable actions. Each new name of an action is compared with all of them.
const DURABLE_ACTIONS_MAX: usize = 1_000;

/// The smallest segment of the journal: below it there would be more files than anybody wants to look at.
const SEGMENT_BYTES_LEAST: u64 = 1 << 20;

/// The largest: space comes back only in pieces of this size, and a recovery looks for damage in such pieces.
const SEGMENT_BYTES_MOST: u64 = 4 << 30;

impl Settings {
    /// All mistakes, in the order of the flags; none if a server can be started with these settings.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Mistakes::default();
        self.check_addresses(&mut found);
        self.check_peers(&mut found);
        self.check_identity(&mut found);
        self.check_times(&mut found);
        self.check_sizes(&mut found);
        self.check_counts(&mut found);
        self.check_store(&mut found);
        self.check_rates(&mut found);
        found.0
    }

    fn check_addresses(&self, found: &mut Mistakes) {
        if self.proxy_protocol && self.proxy_from.is_empty() {
            let what = "is missing: say whose word on a client's address is believed, such as 127.0.0.1 or 10.0.0.0/8";
            found.add("--proxy-from", what.to_owned());
        }
        if !self.proxy_protocol && !self.proxy_from.is_empty() {
            found.add(
                "--proxy-protocol",
                "is missing: --proxy-from says whose headers are believed, but none is read".to_owned(),
            );
        }
        if self.keys.is_none() && !is_loopback(self.listen.ip()) {
            found.add("--listen", wants_keys(self.listen, self.tls.is_some()));
        }
        if self.tls.as_ref().is_some_and(Tls::asks_clients) && !self.knows_certificates() {
            found.add("--tls-client-ca", WANTS_HOLDERS.to_owned());
        }
        if let Some(address) = self.admin.filter(|address| !is_loopback(address.ip())) {
            found.add("--admin", wants_loopback(address));
        }
        if self.listen.port() != 0 && Some(self.listen) == self.admin {
            found.add("--admin", format!("is the same address as --listen ({}); use another port", self.listen));
        }
        let elsewhere = &self.broker.elsewhere;
        if elsewhere.len() > ELSEWHERE_MAX {
            found.add(
                "--elsewhere",
                format!("{} addresses are too many; name at most {ELSEWHERE_MAX}", elsewhere.len()),
            );
        }
        for address in elsewhere.iter().filter(|address| !is_host_and_port(address)) {
            found.add("--elsewhere", format!("`{}` is not host:port, such as broker2:7040", address.escape_debug()));
        }
    }

    fn check_peers(&self, found: &mut Mistakes) {
        if self.peers.len() > PEERS_MAX {
            found.add("--peer", format!("{} servers are too many; name at most {PEERS_MAX}", self.peers.len()));
        }
        for (at, peer) in self.peers.iter().enumerate() {
            if let Some(what) = peer.mistake() {
                found.add("--peer", what);
            } else if self.peers[..at].iter().any(|before| before.address() == peer.address()) {
                found.add("--peer", format!("{} is named twice; once is enough", peer.address()));
            }
        }
        if !(1..=HOPS_MAX).contains(&self.broker.max_hops) {
            found.add("--max-hops", format!("{} is out of range; 1 to {HOPS_MAX}", self.broker.max_hops));
        }
    }

    /// Whether somebody may be known by a certificate. A ring that is empty may be filled later.
    fn knows_certificates(&self) -> bool {
        self.keys
            .as_ref()
            .map(|keys| keys.ring().holders())
            .is_some_and(|holders| holders.is_empty() || holders.iter().any(|holder| holder.certificate.is_some()))
    }

    fn check_identity(&self, found: &mut Mistakes) {
        let id = &self.broker.server;
        if id.is_empty() || id.len() > CLIENT_NAME_BYTES_MAX || id.chars().any(char::is_control) {
            let what =
                format!("must be 1 to {CLIENT_NAME_BYTES_MAX} bytes without control characters, such as server1");
            found.add("--id", what);
        }
        if self.data_dir.as_os_str().is_empty() {
            found.add("--data-dir", "is empty; name a directory, such as answerback-data".to_owned());
        }
    }

    fn check_times(&self, found: &mut Mistakes) {
        let (broker, limits) = (&self.broker, &self.broker.limits);
        let millisecond = Duration::from_millis(1);
        let ranges = [
            ("--default-timeout", broker.default_timeout, millisecond),
            ("--send-timeout", broker.send_timeout, millisecond),
            ("--session-grace", broker.session_grace, Duration::from_millis(10)),
            ("--heartbeat", broker.heartbeat, PATIENCE_LEAST),
            ("--handshake", broker.handshake, PATIENCE_LEAST),
            ("--dispatch-interval", broker.dispatch_interval, Duration::ZERO),
            ("--drain-deadline", self.drain_deadline, Duration::ZERO),
            ("--stored-reply-age", limits.stored_reply_age, Duration::ZERO),
            ("--snapshot-interval", self.snapshot_interval, Duration::ZERO),
            ("--sync-patience", self.sync_patience, PATIENCE_LEAST),
            ("--stranger-rest", self.stranger_rest, Duration::ZERO),
        ];
        for (flag, given, least) in ranges {
            if given < least || given > DURATION_MAX {
                let (given, least, most) = (print_duration(given), print_duration(least), print_duration(DURATION_MAX));
                found.add(flag, format!("{given} is out of range; {least} to {most}"));
            }
        }
    }

    fn check_sizes(&self, found: &mut Mistakes) {
        let (frame, limits) = (u64::from(self.broker.max_frame), &self.broker.limits);
        if !(FRAME_BYTES_LEAST..=FRAME_BYTES_MOST).contains(&self.broker.max_frame) {
            let (least, most) = (print_size(FRAME_BYTES_LEAST.into()), print_size(FRAME_BYTES_MOST.into()));
            found.add("--max-frame", format!("{} is out of range; {least} to {most}", print_size(frame)));
        }
        let one_request = frame + core::REQUEST_OVERHEAD_BYTES as u64;
        let one_frame_out = frame + BESIDE_A_FRAME_BYTES;
        let per_action = limits.bytes_per_action as u64;
        let per_session = limits.kept_reply_bytes_per_session as u64;
        let least = [
            ("--max-queue-bytes", limits.bytes_per_action, one_request, "--max-frame and 256 bytes"),
            ("--max-memory", limits.bytes_in_all, per_action, "--max-queue-bytes"),
            ("--kept-reply-memory", limits.kept_reply_bytes_in_all, per_session, "--kept-reply-bytes"),
            ("--outbox-limit", self.outbox_limit, one_frame_out, "--max-frame and 64KiB"),
            ("--outbox-memory", self.outbox_memory, self.outbox_limit as u64, "--outbox-limit"),
            ("--inbox-memory", self.inbox_memory, frame.saturating_mul(2), "twice --max-frame"),
        ];
        for (flag, given, least, because) in least {
            if (given as u64) < least {
                let (given, least) = (print_size(given as u64), print_size(least));
                found.add(flag, format!("{given} is too small; at least {least} ({because})"));
            }
        }
    }

    fn check_counts(&self, found: &mut Mistakes) {
        let limits = &self.broker.limits;
        let places = core::ConnectionId::PLACES as usize / 2;
        if !(1..=places).contains(&self.max_connections) {
            found.add("--max-connections", format!("{} is out of range; 1 to {places}", self.max_connections));
        }
        if limits.sessions < self.max_connections {
            let what =
                format!("{} is too small; at least --max-connections ({})", limits.sessions, self.max_connections);
            found.add("--max-sessions", what);
        }
        let not_zero = [
            ("--max-queue", limits.requests_per_action),
            ("--max-actions", limits.actions),
            ("--max-actions-per-session", limits.actions_per_session),
            ("--max-subscriptions", limits.subscriptions_per_session),
            ("--max-handlers", limits.handlers),
            ("--max-subscriptions-in-all", limits.subscriptions),
        ];
        for (flag, _) in not_zero.into_iter().filter(|(_, given)| *given == 0) {
            found.add(flag, "0 is too small; at least 1".to_owned());
        }
    }

    fn check_rates(&self, found: &mut Mistakes) {
        let rates = [
            ("--frames-per-second", self.frames_per_second, FRAMES_LEAST as u64),
            ("--bytes-per-second", self.bytes_per_second, BYTES_LEAST as u64),
        ];
        for (flag, given, least) in rates {
            if given != 0 && (given as u64) < least {
                found.add(flag, format!("{given} is too small; at least {}, or 0 for no limit", print_size(least)));
            }
        }
    }

    fn check_store(&self, found: &mut Mistakes) {
        let segment = self.journal_segment as u64;
        if !(SEGMENT_BYTES_LEAST..=SEGMENT_BYTES_MOST).contains(&segment) {
            let (least, most) = (print_size(SEGMENT_BYTES_LEAST), print_size(SEGMENT_BYTES_MOST));
            found.add("--journal-segment", format!("{} is out of range; {least} to {most}", print_size(segment)));
        }
        let patterns = &self.broker.durable_actions;
        if patterns.len() > DURABLE_ACTIONS_MAX {
            found.add(
                "--durable-actions",
                format!("{} patterns are too many; name at most {DURABLE_ACTIONS_MAX}", patterns.len()),
            );
        }
        for pattern in patterns.iter().filter(|pattern| Pattern::new(pattern.as_str()).is_err()) {
            let what = format!(
                "`{}` is not a pattern of actions, such as billing.pay, billing.* or billing.>; > for all",
                pattern.escape_debug()
            );
            found.add("--durable-actions", what);
        }
    }
}

#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, flag: &'static str, what: String) {
        self.0.push(Mistake { flag, what });
    }
}

fn wants_keys(address: SocketAddr, tls: bool) -> String {
    let port = address.port();
    let tls = if tls {
        "; TLS alone knows nobody: for client certificates give --tls-client-ca FILE, and --keys FILE with a holder for each"
    } else {
        ""
    };
    format!(
        "{address} can be reached from other machines, so the server needs keys to know its clients by: make one with \
         `answerback keygen` and give it with --key-file FILE, or many with --keys FILE{tls}; without keys listen on \
         127.0.0.1:{port}, and put a tunnel or VPN (ssh, WireGuard) in front of it"
    )
}

/// Authorities are of no use where nobody is known by what they sign.
const WANTS_HOLDERS: &str = "no holder has a certificate, so a certificate would let nobody in: give --keys FILE with \
                             certificate = \"CN=…\" below each holder that comes with one";

fn wants_loopback(address: SocketAddr) -> String {
    let port = address.port();
    format!(
        "{address} can be reached from other machines, and the admin port asks nobody for a key; \
         listen on 127.0.0.1:{port} and put a tunnel or VPN (ssh, WireGuard) in front of it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(settings: &Settings) -> Vec<&'static str> {
        settings.mistakes().iter().map(|mistake| mistake.flag).collect()
    }

    #[test]
    fn defaults_have_no_mistakes() {
        assert_eq!(Settings::default().mistakes(), []);
    }

    #[test]
    fn all_mistakes_come_at_once_in_the_order_of_the_flags() {
        let mut settings = Settings { outbox_memory: 1, max_connections: 0, ..Settings::default() };
        settings.broker.server = "a\nb".to_owned();
        settings.broker.heartbeat = Duration::ZERO;
        settings.broker.limits.actions = 0;
        assert_eq!(flags(&settings), ["--id", "--heartbeat", "--outbox-memory", "--max-connections", "--max-actions"]);
    }

    #[test]
    fn only_loopback_can_be_listened_on() {
        for (address, allowed) in [
            ("127.0.0.1:1", true),
            ("127.8.8.8:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.1.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            let address = address.parse().unwrap();
            let wrong = flags(&Settings { listen: address, admin: Some(address), ..Settings::default() });
            assert_eq!(!wrong.contains(&"--listen"), allowed, "{address}");
        }
    }

    /// The admin port has no keys.
    #[test]
    fn with_keys_clients_may_come_from_anywhere() {
        let any = Some("0.0.0.0:1".parse().unwrap());
        let keys = Some(Keys::of(answerback_keys::KeyRing::default()));
        let settings = Settings { listen: "0.0.0.0:7040".parse().unwrap(), admin: any, keys, ..Settings::default() };
        assert_eq!(flags(&settings), ["--admin"]);
    }

    #[test]
    fn limits_fit_each_other() {
        let mut settings = Settings::default();
        settings.broker.max_frame = 1 << 30;
        settings.broker.limits.kept_reply_bytes_in_all = 1;
        settings.broker.limits.sessions = 9_999;
        let expected =
            ["--max-queue-bytes", "--kept-reply-memory", "--outbox-limit", "--inbox-memory", "--max-sessions"];
        assert_eq!(flags(&settings), expected);
        let what = &settings.mistakes()[2].what;
        assert_eq!(what, "64MiB is too small; at least 1048640KiB (--max-frame and 64KiB)");
    }

    #[test]
    fn rates_are_off_or_large_enough_for_heartbeats_to_go_on() {
        for (frames, bytes, wrong) in
            [(0, 0, 0), (10, 1 << 10, 0), (9, 0, 1), (0, 1_023, 1), (1, 1, 2), (usize::MAX, usize::MAX, 0)]
        {
            let settings = Settings { frames_per_second: frames, bytes_per_second: bytes, ..Settings::default() };
            assert_eq!(settings.mistakes().len(), wrong, "{frames} {bytes}");
        }
        let settings = Settings { bytes_per_second: 5, ..Settings::default() };
        assert_eq!(settings.mistakes()[0].what, "5 is too small; at least 1KiB, or 0 for no limit");
    }

    #[test]
    fn elsewhere_is_a_short_list_of_hosts_with_ports() {
        let mut settings = Settings::default();
        settings.broker.elsewhere = vec!["a:1".to_owned(); 9];
        assert_eq!(flags(&settings), ["--elsewhere"]);
        settings.broker.elsewhere = vec!["a".to_owned(), "b:1".to_owned()];
        assert_eq!(flags(&settings), ["--elsewhere"]);
    }

    #[test]
    fn peers_are_few_and_each_is_named_once() {
        let local = |port: usize| Peer::new(&format!("127.0.0.1:{port}"));
        let peers = |peers: Vec<Peer>| flags(&Settings { peers, ..Settings::default() });
        assert_eq!(peers((1..=PEERS_MAX).map(local).collect()), Vec::<&str>::new());
        assert_eq!(peers((1..=PEERS_MAX + 1).map(local).collect()), ["--peer"]);
        assert_eq!(peers(vec![local(1), local(2), local(1), Peer::new("b:1"), Peer::new("b")]), ["--peer"; 3]);
        let mut settings = Settings::default();
        for (hops, wrong) in [(0, 1), (1, 0), (8, 0), (9, 1)] {
            settings.broker.max_hops = hops;
            assert_eq!(flags(&settings), ["--max-hops"; 1][..wrong], "{hops}");
        }
    }
}

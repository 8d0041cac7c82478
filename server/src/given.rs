//! From what was typed to settings. Everything is looked at, and every mistake is told: first what cannot be read, then
//! (where all of it can be) what does not fit together.

use crate::cli::Cli;
use crate::given_peers;
use answerback_keys::{Given as GivenKeys, KeyRing, RingSource, SourceError};
use answerback_process::logging::Format;
use answerback_process::mistakes::{Reader as FlagReader, parse_address, parse_admin};
use answerback_server::units::parse_size;
use answerback_server::{Believed, Keys, Mistake, Settings};
#[cfg(feature = "tls")]
use answerback_server::{Tls, TlsFiles};
use std::ffi::OsString;
#[cfg(feature = "tls")]
use std::path::PathBuf;
use tracing_subscriber::filter::Targets;

/// What the process was asked to be.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) settings: Settings,
    pub(crate) log: Targets,
    pub(crate) log_format: Format,
}

/// Sessions for each connection that may be open: those that are away need a place too.
const SESSIONS_PER_CONNECTION: usize = 4;

/// Reads all flags and the keys, or says what is wrong with them. `variable` looks up one of the environment.
pub(crate) fn read(cli: &Cli, variable: impl FnMut(&str) -> Option<OsString>) -> Result<Given, Vec<Mistake>> {
    let mut reader = Reader::default();
    let mut settings = Settings::default();
    reader.places(cli, &mut settings);
    reader.keys(cli, variable, &mut settings);
    reader.peers(cli, &mut settings);
    #[cfg(feature = "tls")]
    reader.tls(cli, &mut settings);
    reader.times(cli, &mut settings);
    reader.connections(cli, &mut settings);
    reader.limits(cli, &mut settings);
    reader.store(cli, &mut settings);
    reader.strangers(cli, &mut settings);
    let (log, log_format) = reader.log(cli);
    let unread: Vec<_> = reader.read.mistakes.iter().map(|mistake| mistake.flag).collect();
    // What could not be read stands there as its default: it is not blamed twice.
    reader.read.mistakes.extend(settings.mistakes().into_iter().filter(|mistake| !unread.contains(&mistake.flag)));
    if reader.read.mistakes.is_empty() { Ok(Given { settings, log, log_format }) } else { Err(reader.read.mistakes) }
}

#[derive(Default)]
struct Reader {
    read: FlagReader,
}

impl Reader {
    fn places(&mut self, cli: &Cli, settings: &mut Settings) {
        let address = "an IP address and a port, such as 127.0.0.1:7040 or [::1]:7040";
        self.read.take("--listen", &cli.listen, address, parse_address, &mut settings.listen);
        let address = "an IP address and a port, such as 127.0.0.1:7041, or `off`";
        self.read.take("--admin", &cli.admin, address, parse_admin, &mut settings.admin);
        settings.data_dir = cli.data_dir.clone().into();
        settings.broker.server.clone_from(&cli.id);
        settings.broker.elsewhere.clone_from(&cli.elsewhere);
        settings.proxy_protocol = cli.proxy_protocol;
        for text in &cli.proxy_from {
            let (mut read, wanted) = (None, "an IP address or a net, such as 127.0.0.1 or 10.0.0.0/8");
            self.read.take("--proxy-from", text, wanted, |text| Believed::parse(text).map(Some), &mut read);
            settings.proxy_from.extend(read);
        }
    }

    fn keys(&mut self, cli: &Cli, variable: impl FnMut(&str) -> Option<OsString>, settings: &mut Settings) {
        let given = GivenKeys::by_environment(variable).and_flags(cli.key_file.clone(), cli.keys.clone());
        let keys = match RingSource::of(&given) {
            Ok(source) => source.map(|source| (flag_of(&source), Keys::read(source))),
            Err(error) => Some(("--keys", Err(error))),
        };
        match keys {
            None => {}
            Some((_, Ok(keys))) => settings.keys = Some(keys),
            Some((flag, Err(error))) => {
                self.read.mistakes.push(Mistake { flag, what: told(flag, &error) });
                // Keys were meant to be there: that they are missing is not blamed a second time.
                settings.keys = Some(Keys::of(KeyRing::default()));
            }
        }
    }

    fn peers(&mut self, cli: &Cli, settings: &mut Settings) {
        let key_file = cli.peer_key_file.as_ref();
        settings.peers = given_peers::read(&cli.peer, key_file, settings.keys.as_ref(), &mut self.read.mistakes);
        self.read.count("--max-hops", &cli.max_hops, &mut settings.broker.max_hops);
    }

    #[cfg(feature = "tls")]
    fn tls(&mut self, cli: &Cli, settings: &mut Settings) {
        let said = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let given = [&cli.tls_certificate, &cli.tls_key, &cli.tls_client_ca].map(said);
        match given {
            [Some(certificate), Some(key), client_ca] => match Tls::read(TlsFiles { certificate, key, client_ca }) {
                Ok(tls) => settings.tls = Some(tls),
                Err(mistakes) => self.read.mistakes.extend(mistakes),
            },
            [None, None, None] => {}
            [None, ..] => self.read.mistakes.push(Mistake {
                flag: "--tls-certificate",
                what: "is missing: TLS needs the certificate of this server, as a PEM file".to_owned(),
            }),
            [_, None, _] => self.read.mistakes.push(Mistake {
                flag: "--tls-key",
                what: "is missing: TLS needs the private key of --tls-certificate, as a PEM file".to_owned(),
            }),
        }
    }

    fn times(&mut self, cli: &Cli, settings: &mut Settings) {
        let broker = &mut settings.broker;
        self.read.duration("--default-timeout", &cli.default_timeout, &mut broker.default_timeout);
        self.read.duration("--send-timeout", &cli.send_timeout, &mut broker.send_timeout);
        self.read.duration("--session-grace", &cli.session_grace, &mut broker.session_grace);
        self.read.duration("--heartbeat", &cli.heartbeat, &mut broker.heartbeat);
        self.read.duration("--handshake", &cli.handshake, &mut broker.handshake);
        self.read.duration("--dispatch-interval", &cli.dispatch_interval, &mut broker.dispatch_interval);
        self.read.duration("--drain-deadline", &cli.drain_deadline, &mut settings.drain_deadline);
    }

    fn connections(&mut self, cli: &Cli, settings: &mut Settings) {
        self.read.count("--max-connections", &cli.max_connections, &mut settings.max_connections);
        let sessions = &mut settings.broker.limits.sessions;
        match &cli.max_sessions {
            Some(text) => self.read.count("--max-sessions", text, sessions),
            None => *sessions = settings.max_connections.saturating_mul(SESSIONS_PER_CONNECTION),
        }
        let frame = |text: &str| parse_size(text).and_then(|bytes| u32::try_from(bytes).ok());
        self.read.take(
            "--max-frame",
            &cli.max_frame,
            "a size from 1KiB to 1GiB, such as 8MiB",
            frame,
            &mut settings.broker.max_frame,
        );
        self.read.size("--outbox-limit", &cli.outbox_limit, &mut settings.outbox_limit);
        self.read.size("--outbox-memory", &cli.outbox_memory, &mut settings.outbox_memory);
    }

    fn limits(&mut self, cli: &Cli, settings: &mut Settings) {
        let limits = &mut settings.broker.limits;
        self.read.count("--max-queue", &cli.max_queue, &mut limits.requests_per_action);
        self.read.size("--max-queue-bytes", &cli.max_queue_bytes, &mut limits.bytes_per_action);
        self.read.size("--max-memory", &cli.max_memory, &mut limits.bytes_in_all);
        self.read.count("--max-actions", &cli.max_actions, &mut limits.actions);
        self.read.count("--max-actions-per-session", &cli.max_actions_per_session, &mut limits.actions_per_session);
        self.read.count("--max-subscriptions", &cli.max_subscriptions, &mut limits.subscriptions_per_session);
        self.read.count("--stored-replies", &cli.stored_replies, &mut limits.stored_replies);
        self.read.size("--stored-reply-bytes", &cli.stored_reply_bytes, &mut limits.stored_reply_bytes);
        self.read.duration("--stored-reply-age", &cli.stored_reply_age, &mut limits.stored_reply_age);
        self.read.count("--kept-replies", &cli.kept_replies, &mut limits.kept_replies_per_session);
        self.read.size("--kept-reply-bytes", &cli.kept_reply_bytes, &mut limits.kept_reply_bytes_per_session);
        self.read.size("--kept-reply-memory", &cli.kept_reply_memory, &mut limits.kept_reply_bytes_in_all);
    }

    fn strangers(&mut self, cli: &Cli, settings: &mut Settings) {
        let per_address = &mut settings.max_connections_per_address;
        self.read.count("--max-connections-per-address", &cli.max_connections_per_address, per_address);
        self.read.count("--handshakes-per-second", &cli.handshakes_per_second, &mut settings.handshakes_per_second);
        self.read.count("--handshakes-per-address", &cli.handshakes_per_address, &mut settings.handshakes_per_address);
        self.read.duration("--stranger-rest", &cli.stranger_rest, &mut settings.stranger_rest);
        self.read.count("--frames-per-second", &cli.frames_per_second, &mut settings.frames_per_second);
        self.read.size("--bytes-per-second", &cli.bytes_per_second, &mut settings.bytes_per_second);
        let limits = &mut settings.broker.limits;
        self.read.count("--max-handlers", &cli.max_handlers, &mut limits.handlers);
        self.read.count("--max-subscriptions-in-all", &cli.max_subscriptions_in_all, &mut limits.subscriptions);
        self.read.size("--inbox-memory", &cli.inbox_memory, &mut settings.inbox_memory);
    }

    fn store(&mut self, cli: &Cli, settings: &mut Settings) {
        self.read.duration("--snapshot-interval", &cli.snapshot_interval, &mut settings.snapshot_interval);
        self.read.duration("--sync-patience", &cli.sync_patience, &mut settings.sync_patience);
        self.read.size("--journal-segment", &cli.journal_segment, &mut settings.journal_segment);
        settings.broker.durable_actions.clone_from(&cli.durable_actions);
        settings.strict_store = cli.strict_store;
    }

    fn log(&mut self, cli: &Cli) -> (Targets, Format) {
        self.read.log(&cli.log, &cli.log_format, "info,answerback_server=debug")
    }
}

/// The flag that the source of keys stands for, whichever way it was said.
fn flag_of(source: &RingSource) -> &'static str {
    if matches!(source, RingSource::One(_)) { "--key-file" } else { "--keys" }
}

/// What is wrong with keys. The flag stands above it already.
fn told(flag: &str, error: &SourceError) -> String {
    let text = error.to_string();
    text.strip_prefix(flag).and_then(|text| text.strip_prefix(": ")).map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn given(args: &[&str]) -> Result<Given, Vec<Mistake>> {
        let args = ["answerback-server"].iter().chain(args);
        read(&Cli::try_parse_from(args).unwrap(), |_| None)
    }

    /// The help names defaults; `Settings::default()` is what embedders get. They are the same.
    #[test]
    fn defaults_of_the_flags_are_the_defaults_of_the_settings() {
        let settings = given(&[]).unwrap().settings;
        assert_eq!(format!("{settings:#?}"), format!("{:#?}", Settings::default()));
    }

    #[test]
    fn every_flag_reaches_the_settings() {
        let mut changed = 0;
        let defaults = format!("{:?}", given(&[]).unwrap());
        let command = <Cli as clap::CommandFactory>::command();
        for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
            let value = match flag {
                "help" | "version" => continue,
                "listen" | "admin" => "127.0.0.1:9",
                "id" | "data-dir" => "other",
                "peer" => "127.0.0.1:9",
                "max-hops" => "5",
                "elsewhere" => "b:1",
                "durable-actions" => "billing.>",
                // Keys have a test of their own: `answerback-keys` makes no files for others.
                "key-file" | "keys" | "peer-key-file" => continue,
                // One needs the other: they have a test of their own.
                "proxy-protocol" | "proxy-from" => continue,
                // So has TLS.
                "tls-certificate" | "tls-key" | "tls-client-ca" => continue,
                // Without a value it is said as well.
                "strict-store" => "",
                "max-frame" => "2KiB",
                "max-connections" | "max-sessions" => "10001",
                "log" => "debug",
                "log-format" => "json",
                "max-queue-bytes" | "outbox-limit" | "journal-segment" | "bytes-per-second" => "16MiB",
                "max-memory" | "outbox-memory" | "inbox-memory" | "kept-reply-memory" => "2GiB",
                name if name.ends_with("bytes") => "2MiB",
                name if command.get_arguments().any(|arg| {
                    arg.get_long() == Some(name) && arg.get_value_names().is_some_and(|names| names[0] == "TIME")
                }) =>
                {
                    "7s"
                }
                _ => "77",
            };
            let args = [&format!("--{flag}"), value];
            let args = if value.is_empty() { &args[..1] } else { &args };
            let now = given(args).unwrap_or_else(|mistakes| panic!("{flag}: {mistakes:?}"));
            assert_ne!(format!("{now:?}"), defaults, "--{flag} {value}");
            changed += 1;
        }
        assert_eq!(changed, 47);
    }

    #[test]
    fn all_mistakes_come_at_once_and_each_flag_is_blamed_once() {
        let args =
            ["--listen", "7040", "--heartbeat", "15", "--max-frame", "8MB", "--max-queue", "many", "--log", "loud"];
        let more = ["--log-format", "xml", "--admin", "0.0.0.0:1", "--max-actions", "0", "--id", ""];
        let mistakes = given(&[&args[..], &more[..]].concat()).unwrap_err();
        let flags: Vec<_> = mistakes.iter().map(|mistake| mistake.flag).collect();
        let unread = ["--listen", "--heartbeat", "--max-frame", "--max-queue", "--log", "--log-format"];
        assert_eq!(flags, [&unread[..], &["--admin", "--id", "--max-actions"]].concat());
        assert_eq!(mistakes[1].what, "`15` is not a duration with its unit, such as 250ms, 10s, 5m, 24h or 7d");
    }

    #[test]
    fn who_speaks_for_clients_must_be_said() {
        let both = ["--proxy-protocol", "--proxy-from", "127.0.0.1,10.0.0.0/8"];
        assert_eq!(given(&both).unwrap().settings.proxy_from.len(), 2);
        for (args, flag) in [(&both[..1], "--proxy-from"), (&both[1..], "--proxy-protocol")] {
            let mistakes = given(args).unwrap_err();
            assert_eq!((mistakes.len(), mistakes[0].flag), (1, flag));
        }
        assert_eq!(given(&["--proxy-protocol", "--proxy-from", "balancer"]).unwrap_err()[0].flag, "--proxy-from");
    }

    #[test]
    fn elsewhere_may_be_repeated_or_a_list() {
        let given = given(&["--elsewhere", "a:1,b:2", "--elsewhere", "c:3"]).unwrap();
        assert_eq!(given.settings.broker.elsewhere, ["a:1", "b:2", "c:3"]);
    }

    #[test]
    fn durable_actions_may_be_repeated_or_a_list_and_are_patterns() {
        let good = given(&["--durable-actions", "billing.>,mail", "--durable-actions", "*.pay"]).unwrap();
        assert_eq!(good.settings.broker.durable_actions, ["billing.>", "mail", "*.pay"]);
        let wrong = given(&["--durable-actions", "billing.>.x", "--durable-actions", ""]).unwrap_err();
        let flags: Vec<_> = wrong.iter().map(|mistake| mistake.flag).collect();
        assert_eq!(flags, ["--durable-actions", "--durable-actions"]);
        assert!(wrong[0].what.contains("`billing.>.x`") && wrong[0].what.contains("> for all"), "{wrong:?}");
    }
}

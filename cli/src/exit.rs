//! How a command ends: a number for scripts, and for people one line with what happened and one with what to do next.

use crate::json::told;
use crate::print::{Style, escaped, note, paint_error};
use answerback::{Code, Error, Obstacle, Ran};
use serde_json::{Value, json};
use std::io;
use std::process::ExitCode;

/// Why the process ends. The numbers are promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Answered, or done.
    Ok = 0,
    /// Anything that has no number of its own.
    Other = 1,
    /// The command line or the data typed is not understood.
    Usage = 2,
    /// The handler answered with its own error.
    Fault = 3,
    /// Nobody serves the action.
    NoHandler = 4,
    /// Its time was up.
    Time = 5,
    /// No server could be reached, or it does not allow this.
    NoServer = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Code> for Exit {
    fn from(code: Code) -> Self {
        match code {
            Code::Fault => Self::Fault,
            Code::NoHandler => Self::NoHandler,
            Code::Timeout | Code::Expired => Self::Time,
            Code::Disconnected | Code::Denied | Code::VersionMismatch => Self::NoServer,
            _ => Self::Other,
        }
    }
}

/// What a command gives back: how it ended, or why it could not be done.
pub(crate) type Outcome = Result<Exit, Failure>;

/// Why a command could not be done, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// One line; nothing if whoever reads the output has had enough, as `head` has.
    what: String,
    /// More of it, a line each, where one is not enough.
    lines: Vec<String>,
    next: String,
    error: Option<Error>,
}

impl Failure {
    /// A failure that no server told about.
    pub(crate) fn new(exit: Exit, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit, what: what.into(), lines: Vec::new(), next: next.into(), error: None }
    }

    /// With more lines of what happened.
    pub(crate) fn with(self, lines: impl IntoIterator<Item = String>) -> Self {
        Self { lines: lines.into_iter().collect(), ..self }
    }

    /// What became of something asked for `action`.
    pub(crate) fn of(error: Error, action: &str) -> Self {
        let next = next(&error, action);
        Self { exit: error.code().into(), what: error.to_string(), lines: Vec::new(), next, error: Some(error) }
    }

    /// What became of an event, or of a subscription.
    pub(crate) fn of_topic(error: Error, topic: &str) -> Self {
        let (exit, next) = match error.code() {
            Code::BadRequest => (Exit::Usage, "a topic is like orders.new, a pattern like 'orders.>'".to_owned()),
            Code::NoHandler => (
                Exit::NoHandler,
                "`answerback call '$sessions'` shows the numbers of the clients that are here".to_owned(),
            ),
            Code::Denied if topic.starts_with('$') => {
                let next = "your own topics do not start with $; to hear of $events takes the right to subscribe to it";
                (Exit::NoServer, next.to_owned())
            }
            code => (code.into(), next(&error, topic)),
        };
        Self { exit, what: error.to_string(), lines: Vec::new(), next, error: Some(error) }
    }

    /// No connection to any of these.
    pub(crate) fn no_server(error: Error, servers: &[String]) -> Self {
        let why = trouble(&error);
        let Some(obstacle) = error.obstacle() else { return Self::unconnected(error, servers) };
        let what = match servers {
            [_] => why.to_owned(),
            _ => format!("cannot connect to any of {}: {why}", servers.join(", ")),
        };
        Self { exit: Exit::NoServer, what, lines: Vec::new(), next: way_past(obstacle).to_owned(), error: Some(error) }
    }

    /// For any reason that is no well-known obstacle: mistakes of ours among them.
    fn unconnected(error: Error, servers: &[String]) -> Self {
        if let Some((setting, rest)) = error.message().split_once(": ")
            && let Some(flag) = flag_of(setting)
        {
            let (what, next) = rest.rsplit_once(": ").unwrap_or((rest, "`answerback --help` says what it takes"));
            return Self::new(Exit::Usage, format!("{flag}: {what}"), next);
        }
        let what = match servers {
            [one] => format!("cannot connect to {one}: {}", trouble(&error)),
            _ => format!("cannot connect to any of {}: {}", servers.join(", "), trouble(&error)),
        };
        let next = way_past(Obstacle::Unreachable).to_owned();
        Self { exit: Exit::NoServer, what, lines: Vec::new(), next, error: Some(error) }
    }

    /// The output cannot be written. Who closed a pipe has had enough: that is no error.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, "", ""),
            _ => Self::new(Exit::Other, format!("cannot write the output: {error}"), "check where it goes to"),
        }
    }

    /// The operating system refused something.
    pub(crate) fn system(doing: &str, error: &io::Error) -> Self {
        Self::new(Exit::Other, format!("cannot {doing}: {error}"), "see what the operating system says about that")
    }

    /// What happened, in one line.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Tells it, and says how the process ends.
    pub(crate) fn tell(&self, as_json: bool) -> Exit {
        if self.what.is_empty() {
            return self.exit;
        }
        if as_json {
            note(&told(&self.json()));
            return self.exit;
        }
        note(&format!("{} {}", paint_error(Style::Bad, "error:"), escaped(&self.what)));
        self.lines.iter().for_each(|line| note(&escaped(line)));
        if let Some(details) = self.details() {
            note(&format!("data: {}", escaped(&details)));
        }
        note(&format!("{} {}", paint_error(Style::Strong, "next:"), escaped(&self.next)));
        self.exit
    }

    /// What the handler said about its error beside code and message.
    fn details(&self) -> Option<String> {
        let data = self.error.as_ref()?.fault()?.raw_data();
        (data != b"null").then(|| String::from_utf8_lossy(data).into_owned())
    }

    fn json(&self) -> Value {
        let mut error = self.error.as_ref().map_or_else(|| json!({ "message": self.what }), error_json);
        if !self.lines.is_empty() {
            error["lines"] = json!(self.lines);
        }
        json!({ "error": error, "exit": self.exit as u8, "next": self.next })
    }
}

/// What is wrong with a connection. The library's advice is for programmers; the one for people stands in the next line, or is not needed.
pub(crate) fn trouble(error: &Error) -> &str {
    let message = error.message();
    let advice = error.obstacle().map_or("", Obstacle::advice);
    message.strip_suffix(advice).and_then(|what| what.strip_suffix(": ")).unwrap_or(message)
}

/// The flag for a setting of the library.
fn flag_of(setting: &str) -> Option<&'static str> {
    match setting {
        "ca_file" => Some("--tls-ca"),
        "server_name" => Some("--tls-server-name"),
        "client_certificate" => Some("--tls-certificate"),
        "tls" => Some("--tls"),
        _ => None,
    }
}

/// What to do about a server that cannot be connected to.
fn way_past(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::KeyWanted => "--key-file FILE with a key that the server has, or ANSWERBACK_KEY_FILE",
        Obstacle::KeyRefused => {
            "--key-file FILE with a key that the server has; `answerback keys check` shows which it knows"
        }
        Obstacle::NoKeys => "connect without a key, or start the server with --key-file or --keys",
        Obstacle::NotOurServer => "see whether --server is right, and whether the server has the same key",
        Obstacle::OtherVersion => "use a tool and a server of the same version",
        Obstacle::NotAnswerback => "--server HOST:PORT of an Answerback server, as its banner shows it",
        Obstacle::Silent | Obstacle::Closed => {
            "see whether --server is right, and what the log of the server says; it may have no keys"
        }
        Obstacle::Certificate => {
            "--tls-ca FILE with the authority that signed it, or --tls-server-name NAME with the name in it"
        }
        Obstacle::TlsRefused => {
            "see the log of the server: it may have no TLS, or want a certificate: --tls-certificate FILE"
        }
        Obstacle::NoTls => "connect without --tls, or start the server with --tls-certificate",
        _ => "start one with `answerback-server`, or say where it is with --server HOST:PORT",
    }
}

/// An error of a call, for scripts.
pub(crate) fn error_json(error: &Error) -> Value {
    let fault = error.fault().map(|fault| {
        let data = fault.data::<Value>().unwrap_or(Value::Null);
        json!({ "code": fault.code(), "message": fault.message(), "retryable": fault.is_retryable(), "data": data })
    });
    json!({
        "code": error.code().as_str(),
        "message": error.message(),
        "ran": error.ran().to_string(),
        "attempts": error.attempts(),
        "retry_after_ms": error.retry_after().map(|after| after.as_millis() as u64),
        "fault": fault,
    })
}

/// What to do about an error of a call, by its code.
fn next(error: &Error, action: &str) -> String {
    match error.code() {
        Code::NoHandler if action.starts_with('$') => {
            "names that start with $ belong to the server: see docs/PROTOCOL.md".to_owned()
        }
        Code::NoHandler => {
            format!("`answerback ls` shows what is served; `answerback serve {action} --echo` serves it")
        }
        Code::Expired => {
            format!("a longer --ttl, or more handlers; `answerback explain {action}` says what holds it up")
        }
        Code::Timeout => format!("a longer --timeout; `answerback explain {action}` says what holds it up"),
        Code::HandlerLost => "call again only if twice does no harm; --attempts lets the broker do so".to_owned(),
        Code::Fault if error.is_safe_to_retry() => "the handler says that the same call may succeed later".to_owned(),
        Code::Fault => "the handler does not say that another try may succeed; its own log may say more".to_owned(),
        Code::Overloaded => match error.retry_after() {
            Some(after) => format!("try again in {} ms, or start more handlers", after.as_millis()),
            None => "try again later, or start more handlers".to_owned(),
        },
        Code::Conflict => "use a new --key for a new request".to_owned(),
        Code::Denied => "use a name that you may use; in the keys file of the server stands who may do what".to_owned(),
        Code::TooLarge => "send less, or raise --max-frame of the server".to_owned(),
        Code::Draining => "call again in a moment, or another server: --server HOST:PORT".to_owned(),
        Code::Unavailable => {
            "see /readyz and the log of the server for what its disk says; without --durable it is kept in memory"
                .to_owned()
        }
        Code::Disconnected if error.ran() != Ran::No => {
            "look whether the work ran before you call again; --attempts 2 lets it be asked again by itself".to_owned()
        }
        Code::Disconnected => "start `answerback-server`, or say where it is with --server HOST:PORT".to_owned(),
        Code::VersionMismatch => "use a client and a server of the same version".to_owned(),
        _ => "`answerback --help` says how things are asked for".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_number() {
        let numbers = [
            (Code::Fault, 3),
            (Code::NoHandler, 4),
            (Code::Timeout, 5),
            (Code::Expired, 5),
            (Code::Denied, 6),
            (Code::Disconnected, 6),
            (Code::VersionMismatch, 6),
            (Code::Overloaded, 1),
            (Code::HandlerLost, 1),
            (Code::Unknown, 1),
        ];
        for (code, number) in numbers {
            assert_eq!(Exit::from(code) as u8, number, "{code}");
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit, failure.what.as_str()), (Exit::Ok, ""));
        assert_eq!(Failure::output(&io::ErrorKind::StorageFull.into()).exit, Exit::Other);
    }
}

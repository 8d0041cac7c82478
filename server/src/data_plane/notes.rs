//! What the core finds worth a line in the log. Names come from the wire: they are fields of type string, which both log
//! formats print escaped.

use answerback_broker::{Note, Time};
use answerback_process::paced::Paced;
use answerback_protocol::NodeId;

/// Writes notes to the log, each at its level.
#[derive(Debug, Default)]
pub(super) struct Notes {
    sends_lost: Paced<Time>,
}

impl Notes {
    pub(super) fn log(&mut self, now: Time, note: &Note) {
        match note {
            Note::SessionOpened { connection, client, name, resumed } => {
                tracing::debug!(%connection, client, name = &**name, resumed, "session opened");
            }
            Note::SessionClosed { client, name, calls_dropped, deliveries_lost } => {
                tracing::debug!(client, name = &**name, calls_dropped, deliveries_lost, "session closed");
            }
            Note::ConnectionRefused { connection, code, message } => {
                let (code, told) = (code.as_str(), message.as_str());
                tracing::debug!(%connection, code, told, "connection closed with an error");
            }
            Note::PeerUp { connection, server, node, dialed } => {
                let (server, node) = (&**server, node_text(*node));
                tracing::info!(%connection, server, node, dialed, "linked with another server");
            }
            Note::PeerDown { server, node, waiting: 0 } => {
                let (server, node) = (&**server, node_text(*node));
                tracing::warn!(server, node, "the link to another server is down; nothing waited for it");
            }
            Note::PeerDown { server, node, waiting } => {
                let (server, node) = (&**server, node_text(*node));
                let story = "the link to another server is down; requests that it has wait for it to come back (--session-grace)";
                tracing::warn!(server, node, waiting, "{story}");
            }
            // Of those that were dialed more is told where they are dialed.
            Note::PeerRefused { connection, code, message } => {
                tracing::debug!(%connection, code = code.as_str(), told = message.as_str(), "another server refuses to be linked");
            }
            Note::SendLost { action, code } => {
                if let Some(also) = self.sends_lost.may(now) {
                    tracing::warn!(action = &**action, code = code.as_str(), also, "an accepted send ended unanswered");
                }
            }
            Note::Draining { calls_returned, sends_waiting, running } => {
                tracing::info!(calls_returned, sends_waiting, running, "draining");
            }
        }
    }
}

/// As `$peers` shows it.
fn node_text(node: NodeId) -> String {
    format!("{:014x}", node.get())
}

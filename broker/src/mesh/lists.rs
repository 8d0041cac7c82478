//! What people are shown of other servers: `$peers`, and where an action is served.

use super::Link;
use crate::action::Action;
use crate::broker::Broker;
use serde_json::{Value, json};

impl Broker {
    pub(crate) fn list_peers(&self) -> Value {
        let list: Vec<_> = self.mesh.links.iter().map(|(_, link)| self.peer_line(link)).collect();
        json!({ "node": node_text(self.settings.node), "peers": list })
    }

    fn peer_line(&self, link: &Link) -> Value {
        let session = link.theirs.and_then(|theirs| self.sessions.get(theirs));
        let offers = session.map_or(0, |session| session.serves.len());
        json!({
            "server": &*link.server,
            "node": node_text(link.node),
            "address": link.address.as_deref().or_else(|| link.connection.map(|connection| self.peer_of(connection))),
            "dialed": link.address.is_some(),
            "up": link.is_up,
            "actions": offers,
            "waiting": session.map_or(0, |session| session.deliveries.len()),
            "running": session.map_or(0, |session| session.calls.len()),
        })
    }

    /// The servers over which an action is served, the nearest first.
    pub(crate) fn elsewhere(&self, action: &Action) -> Vec<Value> {
        let handlers = action.handlers.iter().filter_map(|&key| self.handlers.get(key));
        let mut far: Vec<_> = handlers.filter(|handler| handler.way.is_some() && handler.open).collect();
        far.sort_by_key(|handler| handler.way().len());
        let line = |handler: &&crate::handler::Handler| {
            let session = self.sessions.get(handler.session);
            json!({
                "server": session.map_or("", |session| &session.name),
                "hops": handler.way().len(),
                "credit": handler.credit,
                "in_flight": handler.in_flight,
            })
        };
        far.iter().map(line).collect()
    }
}

/// A node as it stands in lists and logs.
pub(super) fn node_text(node: answerback_protocol::NodeId) -> String {
    format!("{:014x}", node.get())
}

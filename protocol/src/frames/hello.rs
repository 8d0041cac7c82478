//! `hello`: the first frame of every connection.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::{NodeId, SessionId};
use crate::limits::CLIENT_NAME_BYTES_MAX;
use crate::malformed::Wrong;
use crate::text::Text;

/// A client says who it is and which session it has or wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello<'a> {
    /// The protocol versions it speaks, least and greatest.
    pub protocol: (u32, u32),
    /// Its name, for people and for `from`.
    pub name: Text<'a>,
    /// Its session, chosen at random and kept over reconnects.
    pub session: SessionId,
    /// Which program it is, if it says.
    pub agent: Option<Text<'a>>,
    /// Which server it is, if it is one: then the connection is a link, on which each is the other's client.
    pub node: Option<NodeId>,
}

impl<'a> Kind<'a> for Hello<'a> {
    const TYPE: &'static str = "hello";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut protocol, mut name, mut session, mut agent, mut node) = (None, None, None, None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "protocol" => protocol = Some(member.version_range()?),
                "name" => name = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                "session" => session = Some(member.session()?),
                "agent" => agent = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                "node" => node = Some(member.id(NodeId::new)?),
                _ => {}
            }
        }
        Ok(Self {
            protocol: required("protocol", protocol)?,
            name: required("name", name)?,
            session: required("session", session)?,
            agent,
            node,
        })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.numbers("protocol", [self.protocol.0.into(), self.protocol.1.into()].into_iter());
        head.text("name", &self.name);
        head.text("session", &self.session.to_hex());
        head.maybe_text("agent", self.agent.as_deref());
        head.maybe_number("node", self.node.map(NodeId::get));
    }
}

//! `welcome`: the answer to `hello`.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::{NodeId, SessionId};
use crate::limits::CLIENT_NAME_BYTES_MAX;
use crate::malformed::Wrong;
use crate::text::Text;

/// The broker lets a client in and says what holds on this connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome<'a> {
    /// The protocol version of this connection.
    pub protocol: u32,
    /// The name of the server.
    pub server: Text<'a>,
    /// The client's session, as it said.
    pub session: SessionId,
    /// Whether the session was known and goes on.
    pub resumed: bool,
    /// Whether the server has started since, so that it knows only what its store held.
    pub restarted: bool,
    /// The most that the first length of a frame to the server may say.
    pub max_frame: u32,
    /// Milliseconds of silence after which either side sends `ping`.
    pub heartbeat: u64,
    /// Which server it is, among all of them: a session belongs to one.
    pub node: Option<NodeId>,
}

impl<'a> Kind<'a> for Welcome<'a> {
    const TYPE: &'static str = "welcome";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut protocol, mut server, mut session, mut max_frame, mut heartbeat) = (None, None, None, None, None);
        let (mut resumed, mut restarted, mut node) = (false, false, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "protocol" => protocol = Some(member.integer(1, u32::MAX.into())? as u32),
                "server" => server = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                "session" => session = Some(member.session()?),
                "resumed" => resumed = member.boolean()?,
                "restarted" => restarted = member.boolean()?,
                "max_frame" => max_frame = Some(member.integer(0, u32::MAX.into())? as u32),
                "heartbeat" => heartbeat = Some(member.count()?),
                "node" => node = Some(member.id(NodeId::new)?),
                _ => {}
            }
        }
        Ok(Self {
            protocol: required("protocol", protocol)?,
            server: required("server", server)?,
            session: required("session", session)?,
            resumed,
            restarted,
            max_frame: required("max_frame", max_frame)?,
            heartbeat: required("heartbeat", heartbeat)?,
            node,
        })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.number("protocol", self.protocol.into());
        head.text("server", &self.server);
        head.text("session", &self.session.to_hex());
        head.boolean("resumed", self.resumed);
        head.flag("restarted", self.restarted);
        head.number("max_frame", self.max_frame.into());
        head.number("heartbeat", self.heartbeat);
        head.maybe_number("node", self.node.map(NodeId::get));
    }
}

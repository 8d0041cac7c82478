//! A request that another server passed on: what is different about it from one of a client.

use crate::action::Action;
use crate::admission::Refusal;
use crate::broker::Broker;
use crate::request::Request;
use crate::session::Session;
use crate::tables::Key;
use answerback_protocol::Code;
use answerback_protocol::frames::Request as Frame;

/// Broadcasts of others that are remembered. A copy that waits for credit on a longer way while so many others come may reach a handler twice. Were they
/// remembered until their deadlines instead, some with long ones would keep out all others.
pub(super) const CASTS_MAX: usize = 65_536;

impl Broker {
    /// Why a request cannot have come this way, if it cannot.
    pub(crate) fn refuses_transit(&self, session: Key<Session>, frame: &Frame<'_>) -> Option<Refusal> {
        let via = frame.via.as_deref()?;
        let wrong = |text: &str| Some(Refusal::new(Code::BadRequest, text.to_owned()));
        if !self.is_server(session) {
            return wrong("only servers pass requests on: `via` is not for clients");
        }
        if frame.action.is_reserved() {
            return wrong("names that start with `$` belong to each server alone");
        }
        if via.path.contains(&self.settings.node) && via.home != Some(self.settings.node) {
            return Some(Refusal::new(Code::Draining, "it has been here before".to_owned()));
        }
        None
    }

    /// Whether a request came from another server and no handler here could ever take it: then it does not wait here, but there.
    pub(crate) fn is_stranded(&self, request: &Request, action: &Action) -> bool {
        let is_near = |key: &Key<crate::handler::Handler>| {
            self.handlers.get(*key).is_some_and(|handler| handler.way.is_none() && handler.open)
        };
        !request.path().is_empty() && !action.handlers.iter().any(is_near)
    }

    /// Whether a broadcast came here before, over another server. If not, it is remembered.
    pub(crate) fn was_cast(&mut self, frame: &Frame<'_>) -> bool {
        let cast = frame.via.as_deref().and_then(|via| via.cast);
        cast.is_some_and(|cast| self.mesh.casts.is_seen(cast.get()))
    }
}

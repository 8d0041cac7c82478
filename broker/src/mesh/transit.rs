//! A request that another server passed on: what is different about it from one of a client.

use crate::action::Action;
use crate::admission::Refusal;
use crate::broker::Broker;
use crate::request::Request;
use crate::session::Session;
use crate::tables::Key;
use crate::time::Time;
use answerback_protocol::Code;
use answerback_protocol::frames::Request as Frame;

/// Broadcasts of others that are remembered. One that is forgotten too early may reach a handler twice, so with more than this they are refused.
const CASTS_MAX: usize = 65_536;

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
    pub(crate) fn was_cast(&mut self, frame: &Frame<'_>, until: Time) -> Result<bool, Refusal> {
        let Some(cast) = frame.via.as_deref().and_then(|via| via.cast) else { return Ok(false) };
        if self.mesh.casts.get(&cast.get()).is_some_and(|until| *until > self.now) {
            return Ok(true);
        }
        if self.mesh.casts.len() >= CASTS_MAX {
            let now = self.now;
            self.mesh.casts.retain(|_, until| *until > now);
            if self.mesh.casts.len() >= CASTS_MAX {
                let text = format!("{CASTS_MAX} broadcasts of other servers are under way, the most there can be");
                return Err(Refusal::new(Code::Overloaded, text));
            }
        }
        self.mesh.casts.insert(cast.get(), until);
        Ok(false)
    }
}

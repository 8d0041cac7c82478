//! Who serves what: `serve`, `unserve`, and actions coming into being and going.

use crate::action::Action;
use crate::broker::Broker;
use crate::endings::End;
use crate::handler::Handler;
use crate::rights::Right;
use crate::session::Session;
use crate::tables::{Key, give_back};
use answerback_protocol::frames::{About, Serve, Serving, Unserve, Unserved};
use answerback_protocol::{Code, Text};
use std::sync::Arc;

impl Broker {
    /// A client serves an action, or changes how much of it it takes.
    pub(crate) fn serve(&mut self, session: Key<Session>, serve: Serve<'_>) {
        let Some(connection) = self.sessions.get(session).and_then(|s| s.connection) else { return };
        let refusal = self.may_not_serve(session, &serve);
        if let Some((code, text)) = refusal {
            let about = About::Action(serve.action.into_text().into_static());
            return self.notice(connection, code, text, Some(about));
        }
        let Some(action) = self.action(serve.action.as_str()) else {
            let text = self.too_many_actions();
            let about = About::Action(serve.action.into_text().into_static());
            return self.notice(connection, Code::Overloaded, text, Some(about));
        };
        let handler = self.handler_of(session, action);
        let resuming = self.sessions.get(session).is_some_and(|s| s.resuming);
        if let Some(handler) = self.handlers.get_mut(handler) {
            (handler.credit, handler.open, handler.present) = (serve.credit, true, !resuming);
        }
        let now = self.now;
        let name = self.actions.get_mut(action).map(|action| {
            action.rate.starts_over(now);
            Arc::clone(&action.name)
        });
        self.tell(session, Serving { action: name.map_or(Text::Borrowed(""), Text::from) });
        self.handler_changed(handler);
        self.look_at_action(action);
    }

    fn may_not_serve(&mut self, session: Key<Session>, serve: &Serve<'_>) -> Option<(Code, String)> {
        if serve.action.is_reserved() {
            return Some((Code::Denied, "names that start with `$` belong to the broker; choose another".to_owned()));
        }
        if let Some(text) = self.denies(session, Right::Serve, serve.action.as_str()) {
            return Some((Code::Denied, text));
        }
        let (limits, serves) = (&self.settings.limits, &self.sessions.get(session)?.serves);
        if self.action_by_name.get(serve.action.as_str()).is_some_and(|key| serves.contains_key(key)) {
            return None;
        }
        let text = if serves.len() >= limits.actions_per_session {
            format!("a session serves at most {} actions (--max-actions-per-session)", limits.actions_per_session)
        } else if self.handlers.len() >= limits.handlers {
            format!("all sessions serve at most {} actions, counted for each (--max-handlers)", limits.handlers)
        } else {
            return None;
        };
        Some((Code::Overloaded, text))
    }

    pub(crate) fn handler_of(&mut self, session: Key<Session>, action: Key<Action>) -> Key<Handler> {
        let known = self.sessions.get(session).and_then(|s| s.serves.get(&action)).copied();
        known.unwrap_or_else(|| {
            let handler = self.handlers.insert(Handler::new(session, action));
            if let Some(session) = self.sessions.get_mut(session) {
                session.serves.insert(action, handler);
            }
            if let Some(action) = self.actions.get_mut(action) {
                action.handlers.insert(handler);
            }
            handler
        })
    }

    /// A client wants no more deliveries of an action. Those it has go on.
    pub(crate) fn unserve(&mut self, session: Key<Session>, unserve: Unserve<'_>) {
        let action = self.action_by_name.get(unserve.action.as_str()).copied();
        let handler = action.and_then(|action| self.sessions.get(session)?.serves.get(&action).copied());
        if let Some(handler) = handler {
            self.stop_handler(handler);
        }
        self.tell(session, Unserved { action: unserve.action.into_text().into_static() });
    }

    /// A handler gets nothing more. What it has goes on.
    pub(crate) fn stop_handler(&mut self, handler: Key<Handler>) {
        if let Some(record) = self.handlers.get_mut(handler) {
            record.open = false;
            let action = record.action;
            self.mesh_changed(action);
            self.look_at_action(action);
        }
        self.end_lane(handler);
        self.handler_changed(handler);
        self.forget_if_done(handler);
    }

    /// A handler that wants nothing more and has nothing is forgotten.
    pub(crate) fn forget_if_done(&mut self, handler: Key<Handler>) {
        if self.handlers.get(handler).is_some_and(|h| !h.open && h.in_flight == 0 && h.lane.is_empty()) {
            self.remove_handler(handler);
        }
    }

    /// A session has ended, and with it all that it served.
    pub(crate) fn stop_serving(&mut self, session: Key<Session>) {
        let handlers: Vec<_> =
            self.sessions.get(session).map(|s| s.serves.values().copied().collect()).unwrap_or_default();
        for handler in handlers {
            if let Some(record) = self.handlers.get_mut(handler) {
                record.open = false;
                let action = record.action;
                self.look_at_action(action);
            }
            self.end_lane(handler);
            self.remove_handler(handler);
        }
    }

    /// Parts of broadcasts that wait for this handler will not reach it.
    fn end_lane(&mut self, handler: Key<Handler>) {
        while let Some(part) = self.handlers.get(handler).and_then(|h| h.lane.first(&self.requests)) {
            self.end(part, End::HandlerGone);
        }
    }

    fn remove_handler(&mut self, key: Key<Handler>) {
        let Some(handler) = self.handlers.remove(key) else { return };
        self.mesh_changed(handler.action);
        if let Some(session) = self.sessions.get_mut(handler.session) {
            session.serves.remove(&handler.action);
        }
        if let Some(action) = self.actions.get_mut(handler.action) {
            action.handlers.remove(&key);
            if let Some(rank) = handler.listed {
                action.free.remove(&(rank, key));
            }
            if action.handlers.is_empty() {
                action.served_until = Some(self.now);
            }
        }
        self.forget_action_if_unwanted(handler.action);
    }

    /// The action of this name, made if there is none. `None` if there are too many.
    pub(crate) fn action(&mut self, name: &str) -> Option<Key<Action>> {
        if let Some(&known) = self.action_by_name.get(name) {
            return Some(known);
        }
        if self.actions.len() >= self.settings.limits.actions {
            return None;
        }
        let name: Arc<str> = Arc::from(name);
        let key = self.actions.insert(Action::new(Arc::clone(&name)));
        self.action_by_name.insert(name, key);
        Some(key)
    }

    pub(crate) fn too_many_actions(&self) -> String {
        let most = self.settings.limits.actions;
        format!("{most} actions exist, the most allowed (--max-actions); serve or call fewer names")
    }

    pub(crate) fn forget_action_if_unwanted(&mut self, key: Key<Action>) {
        if self.actions.get(key).is_some_and(|action| !action.is_wanted())
            && let Some(action) = self.actions.remove(key)
        {
            self.action_by_name.remove(&*action.name);
            give_back(&mut self.action_by_name);
        }
    }
}

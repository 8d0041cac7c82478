//! Holders of keys, in some worlds. What each may do is two lists of names, which is obviously right: what stands in none must be denied at once, and
//! must never happen.

use crate::caller::UNSERVED;
use crate::ledger::hold;
use crate::random::Random;
use crate::world::World;
use answerback_broker::{Broker, Change, ConnectionId, Input, Item, Patterns, Rights, Settings, Time};
use answerback_protocol::frames::{Hello, Request};
use answerback_protocol::names::Pattern;
use answerback_protocol::{ClientFrame, Name, Payload, RequestId, SessionId};
use std::sync::Arc;

/// A holder.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    id: &'static str,
    calls: Vec<&'static str>,
    serves: Vec<&'static str>,
}

const NAMES: [&str; 3] = ["shop", "mail", "shop2"];

impl Holder {
    /// Some holders, each of which may do most things.
    pub(crate) fn some(random: &mut Random, actions: &[&'static str]) -> Vec<Self> {
        let count = random.between(1, NAMES.len() as u64) as usize;
        let mut most = || actions.iter().copied().chain([UNSERVED]).filter(|_| random.chance(800)).collect();
        NAMES[..count].iter().map(|id| Self { id, calls: most(), serves: most() }).collect()
    }

    pub(crate) fn may_call(&self, action: &str) -> bool {
        action == "$echo" || self.calls.contains(&action)
    }

    pub(crate) fn may_serve(&self, action: &str) -> bool {
        self.serves.contains(&action)
    }

    /// What handlers see of a client that calls itself so.
    pub(crate) fn before(&self, name: &str) -> String {
        format!("{}/{name}", self.id)
    }

    fn as_the_broker_knows_it(&self) -> answerback_broker::Holder {
        let rights = Rights { call: grants(&self.calls), serve: grants(&self.serves), ..Rights::default() };
        answerback_broker::Holder { id: self.id.into(), rights: Arc::new(rights) }
    }
}

fn grants(names: &[&str]) -> Patterns {
    names.iter().filter_map(|name| Pattern::new(*name).ok()).collect()
}

impl World {
    /// Whose key a client has.
    pub(crate) fn holder_of(&self, client: usize) -> Option<&Holder> {
        let holders = &self.scenario.holders;
        holders.get(client % holders.len().max(1))
    }

    pub(crate) fn may_call(&self, client: usize, action: &str) -> bool {
        self.holder_of(client).is_none_or(|holder| holder.may_call(action))
    }

    pub(crate) fn holder_for(&self, client: Option<usize>) -> Option<answerback_broker::Holder> {
        Some(self.holder_of(client?)?.as_the_broker_knows_it())
    }

    /// What a store calls the session of a client. With a holder that is a secret of the broker's, so one is asked that does nothing else.
    pub(crate) fn stored_session(&self, client: usize, session: SessionId) -> u128 {
        let Some(mut holder) = self.holder_for(Some(client)) else { return session.get() };
        holder.rights = Arc::new(Rights::all());
        let mut broker = Broker::new(Settings { has_store: true, ..self.scenario.settings.clone() });
        let (connection, now) = (ConnectionId::new(0, 0, 0), Time::default());
        broker.handle(
            now,
            Input::Connected {
                connection,
                peer: String::new(),
                holder: Some(holder),
                waited: std::time::Duration::ZERO,
            },
        );
        let hello = Hello { protocol: (1, 1), name: "c".into(), session, agent: None, node: None };
        let Ok(action) = Name::new("a") else { unreachable!("a name of one letter") };
        let call = Request { durable: true, ..Request::call(RequestId::truncated(1), action) };
        for frame in [ClientFrame::from(hello), call.into()] {
            broker.handle(now, Input::Frame { connection, frame, data: Payload::NONE });
        }
        let steps = broker.take_steps().map(|(_, steps)| steps).unwrap_or_default();
        let stored = steps.into_iter().flat_map(|step| step.0).find_map(|change| match change {
            Change::Put(_, Item::Request(saved)) => saved.caller.map(|caller| caller.session),
            _ => None,
        });
        hold!(stored.is_some_and(|stored| stored != session.get()), "a store has the session of a holder as it is");
        stored.unwrap_or_default()
    }
}

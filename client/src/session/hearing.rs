//! What is heard: every frame from the server, and what follows from it.

use super::Session;
use super::calls::Stage;
use super::words::{Broken, Caller, Counts, Delivery, Ending, Event, Info, Part};
use crate::error::Error;
use answerback_protocol::codec::HeadAndData;
use answerback_protocol::frames::{About, Deliver, ErrorNotice, Reply, Welcome};
use answerback_protocol::{Code, Problem, Ran, ServerFrame};
use bytes::Bytes;
use std::time::{Duration, Instant};

impl<C: Caller> Session<C> {
    // ── the connection ───────────────────────────────────────────────────────────────────────────

    /// A socket is there: hello is the first thing to transmit.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.connection.begin(now);
    }

    /// The socket is gone; the session stays, and will say everything again.
    pub(crate) fn disconnected(&mut self, now: Instant) {
        self.connection.end();
        self.calls.bare_cancels = 0;
        self.say.clear();
        self.leaving = false;
        self.calls.handle_timeout(now, self.limits.patience);
    }

    /// The most that the first length of a frame from the server may say.
    pub(crate) fn frame_limit(&self) -> u32 {
        self.connection.frame_limit()
    }

    /// Bytes came: the server lives.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.connection.heard(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let connection = self.connection.poll_timeout();
        let welcome = self.connection.welcome_until(self.limits.welcome_within);
        [connection, welcome, self.calls.poll_timeout()].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Broken> {
        self.calls.handle_timeout(now, self.limits.patience);
        if self.connection.welcome_until(self.limits.welcome_within).is_some_and(|until| until <= now) {
            return Err(Broken::Silent);
        }
        self.connection.handle_timeout(now)
    }

    /// Takes a frame in.
    pub(crate) fn handle(&mut self, now: Instant, frame: HeadAndData) -> Result<(), Broken> {
        let HeadAndData { head, data } = frame;
        let frame = match ServerFrame::read(&head) {
            Ok(frame) => frame,
            Err(malformed) if malformed.problem == Problem::UnknownType => return Ok(()),
            Err(malformed) => return Err(Broken::Malformed(malformed.to_string())),
        };
        match frame {
            ServerFrame::Reply(reply) => self.hear_reply(now, reply, data),
            ServerFrame::Deliver(deliver) => return self.delivered(to_work_on(deliver, data, now)),
            ServerFrame::Accepted(accepted) => self.calls.end(accepted.id, Ok(Bytes::new())),
            ServerFrame::Ack(ack) => self.deliveries.acknowledged(ack.replies),
            ServerFrame::CancelDelivery(cancel) => self.events.push_back(Event::CancelDelivery(cancel.id)),
            ServerFrame::Ping(_) => self.connection.pong_due = true,
            ServerFrame::Pong(_) => self.calls.bare_cancels_arrived(),
            ServerFrame::Welcome(welcome) => return self.hear_welcome(&welcome),
            ServerFrame::Serving(serving) => {
                self.events.push_back(Event::Serving { action: serving.action.as_str().into() });
            }
            ServerFrame::Unserved(unserved) => {
                let action = unserved.action.as_str();
                if self.unserving.remove(action) {
                    self.events.push_back(Event::Unserved { action: action.into() });
                }
            }
            ServerFrame::ErrorNotice(notice) => return self.hear_error(&notice),
            ServerFrame::Goaway(goaway) => {
                self.leave();
                self.events.push_back(Event::Goaway {
                    reason: goaway.reason.as_str().into(),
                    after: Duration::from_millis(goaway.after),
                    elsewhere: goaway.elsewhere.iter().map(|address| address.as_str().into()).collect(),
                });
            }
            // Nothing was subscribed to.
            ServerFrame::Subscribed(_) | ServerFrame::Unsubscribed(_) | ServerFrame::Event(_) => {}
        }
        Ok(())
    }

    fn hear_welcome(&mut self, welcome: &Welcome<'_>) -> Result<(), Broken> {
        if !self.connection.is_greeting() || welcome.session != self.identity.session {
            return Err(Broken::Malformed("a welcome that nobody waits for".to_owned()));
        }
        self.connection.welcome(welcome);
        self.deliveries.begin();
        if !welcome.resumed && !welcome.restarted {
            self.session_lost();
        }
        self.say_everything();
        let resumed = welcome.resumed;
        self.events.push_back(Event::Welcome { server: welcome.server.as_str().into(), resumed });
        Ok(())
    }

    fn hear_reply(&mut self, now: Instant, reply: Reply<'_>, data: Bytes) {
        self.connection.took(now, data.len());
        if reply.part {
            return self.hear_part(&reply, data);
        }
        let id = reply.id;
        let result = match &reply.error {
            None => Ok(data),
            Some(error) if error.code == Code::Draining && self.goes_elsewhere(id) => return,
            Some(error) => Err(Error::received(error, data)),
        };
        let info = reply.info.map(|info| {
            Box::new(Info {
                queued: Duration::from_millis(info.queued),
                ran: info.ran.map(Duration::from_millis),
                by: info.by.map(|by| by.as_str().into()),
            })
        });
        let counts = reply.gather.map(|gather| Counts {
            expected: gather.expected,
            answered: gather.answered,
            failed: gather.failed,
            lost: gather.lost,
        });
        self.calls.end_with(id, Ending { result, info, counts });
    }

    /// A call that a leaving server did not take is unsaid again, for another server. Only if it was not taken for certain.
    fn goes_elsewhere(&mut self, id: answerback_protocol::RequestId) -> bool {
        let Some(call) = self.calls.get_mut(id).filter(|call| self.leaving && call.stage == Stage::Said) else {
            return false;
        };
        // A session that was lost before has used up attempts of it, and those stay used.
        if call.lost == 0 {
            (call.stage, call.said_on) = (Stage::Unsaid, 0);
        }
        call.lost == 0
    }

    fn hear_part(&mut self, reply: &Reply<'_>, data: Bytes) {
        let Some(call) = self.calls.get_mut(reply.id) else { return };
        if let Some(seq) = reply.seq {
            if seq <= call.parts_seen {
                return;
            }
            call.parts_seen = seq;
        }
        let Some(caller) = &mut call.caller else { return };
        let from = reply.from.as_ref().map(|from| from.as_str().into());
        let result = match &reply.error {
            None => Ok(data),
            Some(error) => Err(Error::received(error, data)),
        };
        if !caller.part(Part { from, result }) {
            self.cancel(reply.id);
        }
    }

    fn hear_error(&mut self, notice: &ErrorNotice<'_>) -> Result<(), Broken> {
        let error = |ran| Error::new(notice.code, ran, notice.message.as_str());
        if notice.fatal {
            return Err(Broken::Fatal(error(Ran::No)));
        }
        match &notice.about {
            Some(About::Id(id)) => self.calls.end(*id, Err(error(Ran::Maybe))),
            Some(About::Action(action)) => {
                let action: Box<str> = action.as_str().into();
                if self.serves.remove(&action).is_some() {
                    self.events.push_back(Event::ServeRefused { action, error: error(Ran::No) });
                }
            }
            Some(About::Topic(_)) | None => {}
        }
        Ok(())
    }
}

fn to_work_on(deliver: Deliver<'_>, data: Bytes, now: Instant) -> Delivery {
    let left = Duration::from_millis(deliver.left);
    Delivery {
        id: deliver.id,
        action: deliver.action.as_str().into(),
        from: deliver.from.as_str().into(),
        // A deadline that the clock cannot hold is as good as none.
        deadline: now.checked_add(left).unwrap_or(now + Duration::from_secs(365 * 86_400)),
        attempt: deliver.attempt,
        trace: deliver.trace.map(|trace| trace.as_str().into()),
        data,
    }
}

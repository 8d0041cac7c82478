//! What the server says.

use super::Session;
use super::line::Phase;
use super::words::{Broken, Caller, Counts, Delivery, Ending, Event, Info, Part};
use crate::error::Error;
use answerback_protocol::codec::HeadAndData;
use answerback_protocol::frames::{About, CallInfo, Deliver, ErrorNotice, Gather, Goaway, Reply, Welcome};
use answerback_protocol::limits::{FRAME_BYTES_LEAST, FRAME_BYTES_MOST, VERSIONS, WAIT_MS_MAX};
use answerback_protocol::{Code, Problem, Ran, RequestId, ServerFrame};
use bytes::Bytes;
use std::time::{Duration, Instant};

impl<C: Caller> Session<C> {
    /// A frame came.
    pub(crate) fn handle(&mut self, now: Instant, frame: HeadAndData) -> Result<(), Broken> {
        let HeadAndData { head, data } = frame;
        let frame = match ServerFrame::read(&head) {
            Ok(frame) => frame,
            Err(malformed) if malformed.problem == Problem::UnknownType => return Ok(()),
            Err(malformed) => return Err(Broken::Malformed(malformed.to_string())),
        };
        match self.line.phase {
            Phase::Away => Ok(()),
            Phase::Greeting { .. } => self.hear_first(now, &frame),
            Phase::Welcome => self.hear(now, frame, data),
        }
    }

    fn hear_first(&mut self, now: Instant, frame: &ServerFrame<'_>) -> Result<(), Broken> {
        match frame {
            ServerFrame::Welcome(welcome) => self.welcomed(now, welcome),
            ServerFrame::ErrorNotice(notice) if notice.fatal => Err(fatal(notice, Ran::No)),
            ServerFrame::ErrorNotice(_) | ServerFrame::Ping(_) | ServerFrame::Pong(_) => Ok(()),
            other => Err(malformed(format!("the server said `{}` before `welcome`", other.kind()))),
        }
    }

    fn hear(&mut self, now: Instant, frame: ServerFrame<'_>, data: Bytes) -> Result<(), Broken> {
        match frame {
            ServerFrame::Reply(reply) => self.replied(now, reply, data),
            ServerFrame::Accepted(accepted) => self.accepted(accepted.id),
            ServerFrame::Event(event) => self.topics.event(&event, data, &mut self.events),
            ServerFrame::Subscribed(subscribed) => self.topics.subscribed(&subscribed, &mut self.events),
            ServerFrame::Unsubscribed(unsubscribed) => self.topics.unsubscribed(&unsubscribed),
            ServerFrame::Deliver(deliver) => return self.delivered(now, &deliver, data),
            ServerFrame::CancelDelivery(cancel) if self.work.is_held(cancel.id) => {
                self.events.push_back(Event::CancelDelivery(cancel.id));
            }
            ServerFrame::Ack(ack) => return self.acknowledged(ack.replies),
            ServerFrame::Ping(_) => self.line.ping(),
            ServerFrame::Pong(_) => {
                let pongs = self.line.pong();
                self.calls.pong(pongs);
            }
            ServerFrame::Serving(serving) => self.services.confirmed(&serving.action, &mut self.events),
            ServerFrame::Unserved(unserved) => self.services.confirmed(&unserved.action, &mut self.events),
            ServerFrame::ErrorNotice(notice) if notice.fatal => return Err(fatal(&notice, Ran::Maybe)),
            ServerFrame::ErrorNotice(notice) => self.told_of_error(notice),
            ServerFrame::Goaway(goaway) => self.told_to_go(&goaway),
            ServerFrame::Welcome(_) => return Err(malformed("the server said `welcome` twice".to_owned())),
            ServerFrame::CancelDelivery(_) => {}
        }
        Ok(())
    }

    // ── the connection

    fn welcomed(&mut self, now: Instant, welcome: &Welcome<'_>) -> Result<(), Broken> {
        self.check_welcome(welcome)?;
        if self.node.is_some() && welcome.node.is_some() && self.node != welcome.node {
            return Err(self.met_another_server());
        }
        self.node = welcome.node.or(self.node);
        let goes_on = welcome.resumed || welcome.restarted;
        if !welcome.resumed {
            self.work.session_lost();
        }
        if !goes_on {
            self.calls.session_lost();
            self.services.session_lost(&mut self.events);
            self.topics.session_lost();
        }
        let resume_due = welcome.resumed || self.was_welcome;
        // A server that has restarted cannot know that this session never was there; a client that has just begun does.
        let resumed = welcome.resumed || (welcome.restarted && self.was_welcome);
        self.was_welcome = true;
        self.line.welcomed(now, welcome.max_frame, welcome.heartbeat, resume_due);
        self.calls.announce(!self.leaving);
        self.events.push_back(Event::Welcome { server: (&*welcome.server).into(), resumed });
        Ok(())
    }

    /// Behind a balancer the same address leads to another server. What was said to the one before is lost to this client. And the session must not go on here
    /// under its name: the one before may still know it, and would take it up again, without what was said here, if the client came back to it.
    fn met_another_server(&mut self) -> Broken {
        self.calls.session_lost();
        Broken::Elsewhere
    }

    fn check_welcome(&self, welcome: &Welcome<'_>) -> Result<(), Broken> {
        let wrong = if welcome.session != self.identity.session {
            "the server welcomes another session than this client's".to_owned()
        } else if !(VERSIONS.0..=VERSIONS.1).contains(&welcome.protocol) {
            format!("the server speaks version {} of the protocol, which this client does not know", welcome.protocol)
        } else if !(FRAME_BYTES_LEAST..=FRAME_BYTES_MOST).contains(&welcome.max_frame) {
            format!("the server says a max_frame of {}, which no server has", welcome.max_frame)
        } else {
            return Ok(());
        };
        Err(malformed(wrong))
    }

    fn told_of_error(&mut self, notice: ErrorNotice<'_>) {
        match notice.about {
            Some(About::Action(action)) => {
                let error = Error::new(notice.code, Ran::No, &*notice.message);
                self.services.refused(&action, error, &mut self.events);
            }
            Some(About::Id(id)) => self.told_of_error_with(id, notice.code, &notice.message),
            Some(About::Topic(topic)) if self.topics.has_pattern(&topic) => {
                let error = Error::new(notice.code, Ran::No, &*notice.message);
                self.topics.refused(&topic, &error, &mut self.events);
            }
            Some(About::Topic(topic)) => {
                let (code, message) = (notice.code, notice.message.escape_debug());
                tracing::warn!(topic = %topic.escape_debug(), %code, "the server refuses events: {message}");
            }
            None => {}
        }
    }

    /// Known servers say so only if an id is used twice, which does not happen here. What another one means by it cannot be known; but
    /// the call must not wait for an answer that may not come.
    fn told_of_error_with(&mut self, id: RequestId, code: Code, message: &str) {
        if self.publishes.refused(id.get(), code, message) {
            return;
        }
        let is_said = self.calls.get(id.get()).is_some_and(|call| call.is_said_on(self.line.number));
        if is_said && let Some(call) = self.calls.take(id.get()) {
            call.fail(code, Ran::Maybe, message);
        }
    }

    fn told_to_go(&mut self, goaway: &Goaway<'_>) {
        self.leave();
        self.events.push_back(Event::Goaway {
            reason: (&*goaway.reason).into(),
            after: Duration::from_millis(goaway.after.min(WAIT_MS_MAX)),
            elsewhere: goaway.elsewhere.iter().map(|address| (&**address).into()).collect(),
        });
    }

    // ── calls

    fn accepted(&mut self, id: RequestId) {
        if self.publishes.accepted(id.get()) {
            return;
        }
        match self.calls.take(id.get()) {
            Some(call) if !call.ask.reply => {
                call.caller.end(Ending { result: Ok(Bytes::new()), info: None, counts: None });
            }
            // Only a send is accepted. The answer to a call is still to come.
            Some(call) => self.calls.put(id.get(), call),
            None => {}
        }
    }

    fn replied(&mut self, now: Instant, reply: Reply<'_>, data: Bytes) {
        self.line.took_reply(now, data.len());
        if reply.part {
            return self.took_part(reply, data);
        }
        let Some(call) = self.calls.take(reply.id.get()) else { return };
        let error = reply.error.as_deref();
        let not_taken = error.is_some_and(|error| error.code == Code::Draining && error.ran == Ran::No);
        // Its asker has nothing of it, and this promise is about it alone if it was in no other session.
        if not_taken && self.leaving && call.is_unharmed() {
            return self.calls.unsay(reply.id.get(), call);
        }
        let (info, counts) = (reply.info.map(|info| Box::new(info_of(&info))), reply.gather.map(|g| counts_of(*g)));
        let result = match error {
            None if call.misses_parts(reply.seq) => Err(Error::new(Code::HandlerLost, Ran::Maybe, PARTS_LOST)),
            None => Ok(data),
            Some(error) => Err(call.judge(Error::received(error, data))),
        };
        call.caller.end(Ending { result, info, counts });
    }

    fn took_part(&mut self, reply: Reply<'_>, data: Bytes) {
        let id = reply.id.get();
        let Some(call) = self.calls.get(id) else { return };
        if !call.is_new_part(reply.seq) {
            return;
        }
        if call.misses_parts(reply.seq) {
            return self.give_up_parts(id);
        }
        call.took_part(reply.seq);
        let result = match &reply.error {
            None => Ok(data),
            Some(error) => Err(Error::received(error, data)),
        };
        let from = reply.from.map(|from| Box::from(&*from));
        if !call.caller.part(Part { from, result }) {
            self.calls.cancel(id, true);
        }
    }

    /// An answer with a hole in it is not one.
    fn give_up_parts(&mut self, id: u64) {
        if let Some(call) = self.calls.cancel_and_take(id, true) {
            call.fail(Code::HandlerLost, Ran::Maybe, PARTS_LOST);
        }
    }

    // ── work

    fn acknowledged(&mut self, replies: u64) -> Result<(), Broken> {
        if self.work.acknowledge(replies) {
            return Ok(());
        }
        Err(malformed(format!("the server acknowledges {replies} replies and was not sent so many")))
    }

    fn delivered(&mut self, now: Instant, deliver: &Deliver<'_>, data: Bytes) -> Result<(), Broken> {
        match self.work.hold(deliver.id, self.line.number) {
            None => return Err(malformed("the server delivers more than the credit it was given".to_owned())),
            // It is worked on already. The answer will be for both.
            Some(false) => return Ok(()),
            Some(true) => {}
        }
        let left = Duration::from_millis(deliver.left.min(WAIT_MS_MAX));
        self.events.push_back(Event::Deliver(Delivery {
            id: deliver.id,
            action: (&*deliver.action).into(),
            from: (&*deliver.from).into(),
            deadline: now.checked_add(left).unwrap_or(now),
            attempt: deliver.attempt,
            trace: deliver.trace.as_ref().map(|trace| Box::from(&**trace)),
            data,
        }));
        Ok(())
    }
}

const PARTS_LOST: &str = "parts of its answer were lost while there was no connection, because the server keeps only so many: ask for less at once, or raise --kept-replies of the server";

fn malformed(what: String) -> Broken {
    Broken::Malformed(what)
}

fn fatal(notice: &ErrorNotice<'_>, ran: Ran) -> Broken {
    Broken::Fatal(Error::new(notice.code, ran, &*notice.message))
}

fn info_of(info: &CallInfo<'_>) -> Info {
    Info {
        queued: Duration::from_millis(info.queued),
        ran: info.ran.map(Duration::from_millis),
        by: info.by.as_ref().map(|by| Box::from(&**by)),
    }
}

fn counts_of(gather: Gather) -> Counts {
    let Gather { expected, answered, failed, lost } = gather;
    Counts { expected, answered, failed, lost }
}

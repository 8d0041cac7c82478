//! What a link's task does beside moving bytes, connected or not: the session's timers, the application's orders, and going elsewhere
//! when the server leaves.

use super::{LinkNumber, Order};
use crate::session::Broken;
use crate::shared::{Inside, Shared};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::Sleep;

/// The task's one timer.
pub(crate) struct Tending {
    number: LinkNumber,
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
}

/// What the task must do now.
#[derive(Debug)]
pub(crate) enum Obey {
    /// The application wants a new connection.
    Reconnect,
    /// The application wants the task to end.
    Stop,
    /// It is time to let another link take over.
    GoElsewhere,
    /// The session's timers say that the connection is of no use.
    Broken(Broken),
}

impl Tending {
    pub(crate) fn new(number: LinkNumber) -> Self {
        Self { number, sleep: Box::pin(tokio::time::sleep_until(tokio::time::Instant::now())), armed: None }
    }

    /// Runs what is due, and sees to it that the task wakes for what is next.
    pub(crate) fn poll(&mut self, shared: &Arc<Shared>, context: &mut Context<'_>) -> Poll<Obey> {
        loop {
            let next = {
                let mut inside = shared.lock();
                match self.tend(&mut inside, Shared::now()) {
                    Err(obey) => return Poll::Ready(obey),
                    Ok(next) => {
                        if let Some(link) = inside.link(self.number) {
                            link.sleeps(context);
                        }
                        shared.ring();
                        next
                    }
                }
            };
            if !self.is_due(next, context) {
                return Poll::Pending;
            }
        }
    }

    /// Runs what is due, and says when the next is.
    pub(crate) fn tend(&self, inside: &mut Inside, now: Instant) -> Result<Option<Instant>, Obey> {
        let Some(link) = inside.link(self.number) else { return Err(Obey::Stop) };
        match link.order {
            Order::Stop => return Err(Obey::Stop),
            Order::Reconnect => {
                link.order = Order::Go;
                return Err(Obey::Reconnect);
            }
            // Without a server there is nobody to say goodbye to.
            Order::Leave if !link.session.is_welcome() => return Err(Obey::Stop),
            Order::Leave => link.session.bye(),
            Order::Retire if link.session.is_idle() && !link.session.serves_anything() => link.session.bye(),
            Order::Retire => {}
            Order::Go => {}
        }
        if link.session.poll_timeout().is_some_and(|at| at <= now) {
            link.session.handle_timeout(now).map_err(Obey::Broken)?;
        }
        let go = link.going.as_ref().filter(|_| link.order == Order::Go).map(|going| going.at);
        if go.is_some_and(|at| at <= now) {
            return Err(Obey::GoElsewhere);
        }
        let due = link.session.poll_timeout();
        Ok(due.into_iter().chain(go).min())
    }

    /// Arms the timer; whether it is due already. The timer is not moved when it would only ring too early.
    pub(crate) fn is_due(&mut self, next: Option<Instant>, context: &mut Context<'_>) -> bool {
        let Some(next) = next else { return false };
        if self.armed.is_none_or(|armed| armed > next || armed <= Shared::now()) {
            self.sleep.as_mut().reset(next.into());
            self.armed = Some(next);
        }
        let rings = self.sleep.as_mut().poll(context).is_ready();
        if rings {
            self.armed = None;
        }
        rings
    }
}

//! `top`: what `ls` shows, live. A task looks at the server, a thread reads keys, and this one draws.

mod look;
mod screen;
mod view;

use crate::args::{Common, Top as Args};
use crate::connection::with_client;
use crate::exit::{Exit, Failure, Outcome};
use crate::json::told;
use crate::print::{is_terminal, line};
use answerback::{Client, State};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use look::Look;
use screen::Screen;
use std::thread;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::MissedTickBehavior;
use view::{Key, View};

/// Keys and looks that wait to be drawn. Who types faster than that waits.
const WAITING_MAX: usize = 16;

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    if !common.json && !is_terminal() {
        let what = "top draws on a terminal, and standard output is none";
        return Err(Failure::new(Exit::Usage, what, "`answerback ls` lists once, `answerback top --json` in lines"));
    }
    let watched = async |client: &Client, _| match common.json {
        true => print_lines(client, args).await,
        false => draw(client, args).await,
    };
    with_client(common, watched).await
}

/// A line of JSON for each look.
async fn print_lines(client: &Client, args: &Args) -> Outcome {
    let mut looks = looks(client, args);
    let mut before = None;
    let mut left = args.times.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(look) = looks.recv().await else { break };
        let look = look?;
        line(&told(&look.json(before.as_ref())))?;
        before = Some(look);
        left -= 1;
    }
    Ok(Exit::Ok)
}

async fn draw(client: &Client, args: &Args) -> Outcome {
    let (mut looks, mut watch) = (looks(client, args), client.watch());
    let mut view = View::new(args.sort, client.state());
    let mut screen = Screen::open()?;
    let mut keys = keys();
    let mut left = args.times.unwrap_or(u64::MAX);
    while left > 0 {
        screen.draw(|width, height| view.draw(width, height))?;
        tokio::select! {
            look = looks.recv() => {
                view.looked(look.unwrap_or_else(|| Err(no_more_looks())));
                left -= 1;
            }
            key = keys.recv() => match key {
                Some(key) if key != Key::Quit => view.pressed(key),
                _ => break,
            },
            state = watch.changed() => match state {
                State::Closed { why: Some(why), .. } => return Err(Failure::of(why, "$stats")),
                state => view.changed(state),
            },
        }
    }
    Ok(Exit::Ok)
}

/// Looks at the server again and again. A look that takes long does not hold up keys.
fn looks(client: &Client, args: &Args) -> Receiver<Result<Look, Failure>> {
    let (tell, looks) = channel(1);
    let (client, mut tick) = (client.clone(), tokio::time::interval(args.interval));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(async move {
        loop {
            tick.tick().await;
            if tell.send(Look::at(&client).await).await.is_err() {
                return;
            }
        }
    });
    looks
}

fn no_more_looks() -> Failure {
    Failure::new(Exit::Other, "the server is not looked at any more", "start top again")
}

/// Reads keys for as long as somebody wants them. A thread, because reading a terminal blocks.
fn keys() -> Receiver<Key> {
    let (tell, keys) = channel(WAITING_MAX);
    thread::spawn(move || read_keys(&tell));
    keys
}

fn read_keys(tell: &Sender<Key>) {
    // An error means that the terminal is gone; then so is whoever looked at it.
    while let Ok(event) = event::read() {
        let key = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => key_of(key),
            // Drawing anew is all that a change of size needs.
            Event::Resize(..) => Some(Key::Redraw),
            _ => None,
        };
        if key.is_some_and(|key| tell.blocking_send(key).is_err()) {
            return;
        }
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    use crate::args::SortBy::{Action, Bytes, Credit, InFlight, Oldest, Waiting};
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char(' ') => Key::Pause,
        KeyCode::Char('a') => Key::Sort(Action),
        KeyCode::Char('c') => Key::Sort(Credit),
        KeyCode::Char('f') => Key::Sort(InFlight),
        KeyCode::Char('w') => Key::Sort(Waiting),
        KeyCode::Char('o') => Key::Sort(Oldest),
        KeyCode::Char('b') => Key::Sort(Bytes),
        KeyCode::Char('r') => Key::Reverse,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return None,
    })
}

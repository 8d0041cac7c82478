//! What `top` shows: lines of text for a size. Nothing here knows a terminal.

use super::look::{Look, Rates};
use crate::args::SortBy;
use crate::commands::ls::Action;
use crate::exit::{Failure, trouble};
use crate::print::{Style, escaped, shortened};
use crate::table::Column::{Figures, Words};
use crate::table::Table;
use crate::units::{grouped, show_duration, show_ms, show_rate, show_size};
use answerback::State;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Redraw,
    Pause,
    Sort(SortBy),
    Reverse,
    Up,
    Down,
    PageUp,
    PageDown,
}

/// A line of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Option<Style>,
}

/// Everything that is on the screen.
pub(super) struct View {
    now: Option<Look>,
    before: Option<Look>,
    /// Why there is no connection. Looks fail then as well, but this says more.
    lost: Option<String>,
    /// Why the last look failed.
    trouble: Option<String>,
    /// Where the server is.
    address: String,
    sort: SortBy,
    reverse: bool,
    paused: bool,
    /// The first action shown.
    first: usize,
    /// How many fitted onto the screen when it was drawn last.
    page: usize,
}

/// Lines above and below the actions.
const HEAD_LINES: usize = 5;
const FOOT_LINES: usize = 1;

impl View {
    pub(super) fn new(sort: SortBy, state: State) -> Self {
        let mut view = Self {
            now: None,
            before: None,
            lost: None,
            trouble: None,
            address: String::new(),
            sort,
            reverse: false,
            paused: false,
            first: 0,
            page: 1,
        };
        view.changed(state);
        view
    }

    /// The server was looked at.
    pub(super) fn looked(&mut self, look: Result<Look, Failure>) {
        match look {
            Ok(_) if self.paused => {}
            Ok(look) => {
                self.before = self.now.replace(look);
                self.trouble = None;
            }
            Err(failure) => self.trouble = Some(failure.what().to_owned()),
        }
    }

    /// The connection is another.
    pub(super) fn changed(&mut self, state: State) {
        match state {
            State::Connected { address, .. } => {
                self.address = address;
                (self.lost, self.trouble) = (None, None);
            }
            State::Waiting { why, pause, .. } => {
                self.lost = Some(format!("{}; next try in {}", trouble(&why), show_duration(pause)));
            }
            _ => {}
        }
    }

    pub(super) fn pressed(&mut self, key: Key) {
        match key {
            Key::Pause => self.paused = !self.paused,
            Key::Reverse => self.reverse = !self.reverse,
            Key::Sort(by) => (self.sort, self.reverse, self.first) = (by, false, 0),
            Key::Up => self.first = self.first.saturating_sub(1),
            Key::Down => self.first += 1,
            Key::PageUp => self.first = self.first.saturating_sub(self.page),
            Key::PageDown => self.first += self.page,
            Key::Quit | Key::Redraw => {}
        }
    }

    /// The lines for a screen of this size.
    pub(super) fn draw(&mut self, width: usize, height: usize) -> Vec<Line> {
        let mut lines = self.head();
        let rows = self.rows();
        let count = rows.len().saturating_sub(1);
        self.page = height.saturating_sub(HEAD_LINES + FOOT_LINES).max(1);
        self.first = self.first.min(count.saturating_sub(self.page));
        let mut rows = rows.into_iter();
        lines.extend(rows.next().map(|heads| Line::of(heads, Style::Strong)));
        lines.extend(rows.skip(self.first).take(self.page).map(Line::plain));
        lines.resize(height.saturating_sub(FOOT_LINES).max(1), Line::plain(String::new()));
        lines.push(Line::of(self.foot(count), Style::Faint));
        for line in &mut lines {
            line.text = shortened(&line.text, width).into_owned();
        }
        lines.truncate(height);
        lines
    }

    fn head(&self) -> Vec<Line> {
        let Some(now) = &self.now else {
            let waits = self.trouble().map_or_else(|| "looking …".to_owned(), |trouble| escaped(trouble).into_owned());
            return vec![Line::of(waits, Style::Warn)];
        };
        let stats = &now.stats;
        let (server, address) = (escaped(&stats.server), escaped(&self.address));
        let state = if stats.draining { "   DRAINS" } else { "" };
        let first = format!("{server} at {address}   up {}{state}", show_ms(stats.uptime_ms));
        let held = format!(
            "connections {}   sessions {}   actions {}   waiting {}   in flight {}   held {}",
            grouped(stats.connections),
            grouped(stats.sessions),
            grouped(stats.actions),
            grouped(stats.queued),
            grouped(stats.in_flight),
            show_size(stats.bytes),
        );
        let rates = self.before.as_ref().and_then(|before| now.rates_since(before));
        let trouble = self.trouble().map(|trouble| Line::of(escaped(trouble).into_owned(), Style::Bad));
        vec![
            Line::of(first, Style::Strong),
            Line::plain(rates.map_or_else(|| "per second: at the next look".to_owned(), rates_line)),
            Line::plain(held),
            trouble.unwrap_or_else(|| Line::plain(String::new())),
        ]
    }

    fn trouble(&self) -> Option<&str> {
        self.lost.as_deref().or(self.trouble.as_deref())
    }

    /// The heads of the columns, and a line for each action.
    fn rows(&self) -> Vec<String> {
        let Some(now) = &self.now else { return Vec::new() };
        let mut actions: Vec<&Action> = now.actions.actions.iter().collect();
        actions.sort_by(|a, b| self.order(a, b));
        let earlier = self.earlier();
        let mut table = Table::new(&[
            Words("ACTION"),
            Figures("HANDLERS"),
            Figures("CREDIT"),
            Figures("IN FLIGHT"),
            Figures("WAITING"),
            Figures("GROWS/S"),
            Figures("OLDEST"),
            Figures("BYTES"),
        ]);
        for action in actions {
            let grows = earlier.as_ref().map(|(seconds, queued)| {
                let before = queued.get(action.action.as_str()).copied().unwrap_or(0);
                (action.queued as f64 - before as f64) / seconds
            });
            table.row([
                action.action.clone(),
                grouped(action.handlers),
                grouped(action.credit),
                grouped(action.in_flight),
                grouped(action.queued),
                grows.map(signed).unwrap_or_default(),
                action.oldest_ms.map(show_ms).unwrap_or_default(),
                show_size(action.bytes),
            ]);
        }
        table.lines()
    }

    /// How long ago the earlier look was, and what waited then.
    fn earlier(&self) -> Option<(f64, BTreeMap<&str, u64>)> {
        let before = self.before.as_ref()?;
        let seconds = self.now.as_ref()?.seconds_since(before)?;
        let queued = before.actions.actions.iter().map(|action| (action.action.as_str(), action.queued));
        Some((seconds, queued.collect()))
    }

    /// Names from A on, figures from the greatest on; equals by name.
    fn order(&self, a: &Action, b: &Action) -> Ordering {
        let by_name = a.action.cmp(&b.action);
        let order = match self.sort {
            SortBy::Action => by_name,
            SortBy::Credit => b.credit.cmp(&a.credit),
            SortBy::InFlight => b.in_flight.cmp(&a.in_flight),
            SortBy::Waiting => b.queued.cmp(&a.queued),
            SortBy::Oldest => b.oldest_ms.cmp(&a.oldest_ms),
            SortBy::Bytes => b.bytes.cmp(&a.bytes),
        };
        let order = if self.reverse { order.reverse() } else { order };
        order.then(by_name)
    }

    fn foot(&self, count: usize) -> String {
        let by = match self.sort {
            SortBy::Action => "action",
            SortBy::Credit => "credit",
            SortBy::InFlight => "in flight",
            SortBy::Waiting => "waiting",
            SortBy::Oldest => "oldest",
            SortBy::Bytes => "bytes",
        };
        let paused = if self.paused { "PAUSED   " } else { "" };
        let more = self.now.as_ref().map_or(0, |now| now.actions.more);
        let from = if count == 0 { 0 } else { self.first + 1 };
        let to = (self.first + self.page).min(count);
        let of = grouped(count as u64 + more);
        format!("{paused}{from}-{to} of {of} by {by}   q quit  space pause  sort a c f w o b  r reverse")
    }
}

impl Line {
    fn plain(text: String) -> Self {
        Self { text, style: None }
    }

    fn of(text: String, style: Style) -> Self {
        Self { text, style: Some(style) }
    }
}

fn rates_line(rates: Rates) -> String {
    let Rates { requests, deliveries, replies, errors, frames_in, frames_out } = rates;
    let rate = show_rate;
    format!(
        "per second: requests {}   deliveries {}   replies {}   errors {}   frames in {}, out {}",
        rate(requests),
        rate(deliveries),
        rate(replies),
        rate(errors),
        rate(frames_in),
        rate(frames_out),
    )
}

/// With its sign, since a queue may also become shorter.
fn signed(rate: f64) -> String {
    match rate {
        r if r > 0.0 => format!("+{}", show_rate(r)),
        r if r < 0.0 => format!("-{}", show_rate(-r)),
        _ => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use serde_json::json;

    fn look(uptime_ms: u64, requests: u64, actions: &[(&str, u64)]) -> Look {
        let actions: Vec<_> = actions
            .iter()
            .map(|(name, queued)| {
                json!({ "action": name, "handlers": 1, "credit": 2, "in_flight": 1, "queued": queued, "bytes": 64,
                        "oldest_ms": if *queued > 0 { Some(7) } else { None } })
            })
            .collect();
        let stats = json!({
            "server": "s\u{1b}1", "uptime_ms": uptime_ms, "draining": false, "connections": 1, "sessions": 2, "actions": 3,
            "queued": 4, "in_flight": 5, "bytes": 6,
            "total": { "requests": requests, "deliveries": 0, "replies": 0, "frames_in": 0, "frames_out": 0, "errors": {} },
        });
        Look::of(stats, json!({ "actions": actions, "more": 0 })).unwrap()
    }

    fn view(sort: SortBy) -> View {
        View::new(sort, State::Draining)
    }

    fn texts(view: &mut View, width: usize, height: usize) -> Vec<String> {
        let lines: Vec<_> = view.draw(width, height).into_iter().map(|line| line.text).collect();
        assert!(lines.len() <= height && lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
        lines
    }

    fn names(view: &mut View) -> Vec<String> {
        let lines = texts(view, 100, 20);
        let rows = lines[HEAD_LINES..].iter().take_while(|line| !line.is_empty());
        rows.map(|row| row.split(' ').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_screen_of_it() {
        let mut view = view(SortBy::Waiting);
        view.looked(Ok(look(1_000, 100, &[("user.get", 5), ("mail", 0)])));
        view.looked(Ok(look(3_000, 1_100, &[("user.get", 9), ("mail", 0)])));
        let expected = [
            "s\\u001b1 at    up 3.00 s",
            "per second: requests 500   deliveries 0   replies 0   errors 0   frames in 0, out 0",
            "connections 1   sessions 2   actions 3   waiting 4   in flight 5   held 6 B",
            "",
            "ACTION    HANDLERS  CREDIT  IN FLIGHT  WAITING  GROWS/S  OLDEST  BYTES",
            "user.get         1       2          1        9     +2.0    7 ms   64 B",
            "mail             1       2          1        0        0           64 B",
            "",
            "1-2 of 2 by waiting   q quit  space pause  sort a c f w o b  r reverse",
        ];
        assert_eq!(texts(&mut view, 90, 9), expected);
    }

    #[test]
    fn any_size_is_drawn() {
        let mut view = view(SortBy::Action);
        let many: Vec<_> = (0..50).map(|n| format!("action{n:02}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), 1)).collect();
        for full in [false, true] {
            for (width, height) in [(0, 0), (1, 1), (10, 2), (20, 6), (80, 24), (300, 100)] {
                texts(&mut view, width, height);
            }
            if !full {
                view.looked(Ok(look(1, 1, &many)));
            }
        }
    }

    #[test]
    fn keys_sort_and_scroll() {
        let mut view = view(SortBy::Waiting);
        view.looked(Ok(look(1, 1, &[("b", 1), ("a", 1), ("c", 3)])));
        assert_eq!(names(&mut view), ["c", "a", "b"]);
        view.pressed(Key::Reverse);
        assert_eq!(names(&mut view), ["a", "b", "c"]);
        view.pressed(Key::Sort(SortBy::Action));
        view.pressed(Key::Reverse);
        assert_eq!(names(&mut view), ["c", "b", "a"]);
        // Two lines are left for actions: the first one goes out of sight, and no further than that.
        for _ in 0..5 {
            view.pressed(Key::Down);
        }
        let lines = texts(&mut view, 100, HEAD_LINES + 2 + FOOT_LINES);
        assert!(lines[HEAD_LINES].starts_with("b ") && lines[HEAD_LINES + 1].starts_with("a "), "{lines:#?}");
        view.pressed(Key::PageUp);
        assert_eq!(names(&mut view), ["c", "b", "a"]);
    }

    #[test]
    fn a_pause_keeps_what_is_shown() {
        let mut view = view(SortBy::Action);
        view.looked(Ok(look(1, 1, &[("a", 1)])));
        view.pressed(Key::Pause);
        view.looked(Ok(look(2, 1, &[("b", 1)])));
        assert_eq!(names(&mut view), ["a"]);
        assert!(texts(&mut view, 100, 10).last().unwrap().starts_with("PAUSED"));
        view.pressed(Key::Pause);
        view.looked(Ok(look(3, 1, &[("b", 1)])));
        assert_eq!(names(&mut view), ["b"]);
    }

    #[test]
    fn trouble_is_shown_above_what_was_seen_last() {
        let mut view = view(SortBy::Action);
        view.looked(Ok(look(1, 1, &[("a", 1)])));
        view.looked(Err(Failure::new(Exit::Other, "it is\u{1b} gone", "")));
        let lines = texts(&mut view, 100, 10);
        assert_eq!((lines[3].as_str(), lines[5].split(' ').next()), ("it is\\u001b gone", Some("a")));
    }
}

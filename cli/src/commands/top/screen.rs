//! The terminal while `top` has it: raw, on its other screen. It is given back however this ends: at the end, at an error, at a signal
//! and at a panic, whose message would otherwise be lost with the other screen.

use super::view::Line;
use crate::exit::Failure;
use crate::print::colours_are_wanted;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue, style::Print};
use std::io::{self, Write, stdout};
use std::panic;

/// The terminal, until this is dropped.
pub(super) struct Screen {
    colours: bool,
}

impl Screen {
    pub(super) fn open() -> Result<Self, Failure> {
        let failed = |error| Failure::system("draw on this terminal", &error);
        let shown = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            shown(panic);
        }));
        // From here on it is given back, also if a later step fails.
        let screen = Self { colours: colours_are_wanted() };
        enable_raw_mode().map_err(failed)?;
        execute!(stdout(), EnterAlternateScreen, Hide).map_err(failed)?;
        Ok(screen)
    }

    /// Draws all lines anew, without a moment in which the screen is empty.
    pub(super) fn draw(&mut self, lines: impl FnOnce(usize, usize) -> Vec<Line>) -> Result<(), Failure> {
        let (width, height) = size().map_err(|error| Failure::output(&error))?;
        let lines = lines(width.into(), height.into());
        self.write(&lines).map_err(|error| Failure::output(&error))
    }

    fn write(&self, lines: &[Line]) -> io::Result<()> {
        let mut out = stdout().lock();
        queue!(out, BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().enumerate() {
            let text = line.style.map_or_else(|| line.text.clone(), |style| style.on(&line.text, self.colours));
            queue!(out, MoveTo(0, row as u16), Print(text), Clear(ClearType::UntilNewLine))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// There is nobody to tell if one of these fails.
fn give_back() {
    let _ = execute!(stdout(), EndSynchronizedUpdate, Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

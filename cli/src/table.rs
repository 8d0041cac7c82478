//! Tables for people: words to the left, figures to the right.

use crate::print::{escaped, shortened};
use std::fmt;

/// The longest cell: names may have 255 bytes, and one such name must not push everything else off the screen.
const CELL_MAX: usize = 60;

/// A table under construction.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// The head of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Words, to the left.
    Words(&'static str),
    /// Figures, to the right.
    Figures(&'static str),
}

impl Column {
    fn head(self) -> &'static str {
        match self {
            Self::Words(head) | Self::Figures(head) => head,
        }
    }

    fn fit(self, cell: &str, width: usize) -> String {
        match self {
            Self::Words(_) => format!("{cell:<width$}"),
            Self::Figures(_) => format!("{cell:>width$}"),
        }
    }
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column. What is in it may come from anywhere.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| shortened(&escaped(&cell), CELL_MAX).into_owned()).collect());
    }

    /// The lines, the head first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let heads: Vec<_> = self.columns.iter().map(|column| column.head().to_owned()).collect();
        let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).zip(&self.columns);
            let fitted: Vec<_> = cells.map(|((cell, &width), column)| column.fit(cell, width)).collect();
            fitted.join("  ").trim_end().to_owned()
        };
        std::iter::once(&heads).chain(&self.rows).map(line).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::Column::{Figures, Words};
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[Words("ACTION"), Figures("N"), Words("")]);
        table.row(["a".into(), "1,000".into(), "x".into()]);
        table.row(["user.get".into(), "7".into(), String::new()]);
        assert_eq!(table.to_string(), "ACTION        N\na         1,000  x\nuser.get      7");
    }

    #[test]
    fn names_cannot_break_the_table() {
        let mut table = Table::new(&[Words("ACTION")]);
        table.row(["a\nb\u{1b}[31m".into()]);
        table.row(["x".repeat(255)]);
        assert_eq!(table.lines()[1], "a\\nb\\u001b[31m");
        assert_eq!(table.lines()[2].chars().count(), CELL_MAX);
    }
}

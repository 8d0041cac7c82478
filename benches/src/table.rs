//! Tables for people: the first columns to the left, figures to the right.

use std::fmt;

/// A table under construction.
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Columns of words, which come first.
    words: usize,
}

impl Table {
    /// A table whose first `words` columns are words and whose others are figures.
    pub(crate) fn new(title: impl Into<String>, words: usize, columns: &[&'static str]) -> Self {
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new(), words }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        writeln!(f, "\n{}\n", self.title)?;
        for row in std::iter::once(&head).chain(&self.rows) {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column < self.words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A whole number with commas between its thousands.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < -0.5 { format!("-{text}") } else { text }
}

/// Bytes in the unit in which they are written down: 64 B, 1 KiB.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        _ if bytes.is_multiple_of(1024) => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} KiB", bytes as f64 / 1024.0),
    }
}

/// Three figures that count, whatever the size.
pub(crate) fn figures(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        n if n >= 100.0 => grouped(number),
        n if n >= 10.0 => format!("{number:.1}"),
        n if n >= 1.0 => format!("{number:.2}"),
        n if n >= 0.1 => format!("{number:.3}"),
        _ => format!("{number:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("title", 1, &["what", "ns"]);
        table.row(["a call".to_owned(), grouped(1_234_567.0)]);
        assert_eq!(table.to_string(), "\ntitle\n\n  what           ns\n  a call  1,234,567\n");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!((grouped(0.0), grouped(999.6), grouped(-1_000.0)), ("0".into(), "1,000".into(), "-1,000".into()));
        assert_eq!((size(64), size(65_536), size(1_500)), ("64 B".into(), "64 KiB".into(), "1.5 KiB".into()));
        assert_eq!(
            (figures(0.0123), figures(5.678), figures(1234.5)),
            ("0.0123".into(), "5.68".into(), "1,234".into())
        );
    }
}

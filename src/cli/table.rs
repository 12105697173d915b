//! Tables for people: columns as wide as they need to be, numbers to the right.

use crate::admin::Distribution;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

use Align::{Left, Right};

/// Rows of text under a heading.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table; a heading that starts with `<` is of a column of words.
    pub(super) fn new(headings: &[&'static str]) -> Self {
        let column = |h: &&'static str| h.strip_prefix('<').map_or((*h, Right), |h| (h, Left));
        Self { columns: headings.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for every column");
        self.rows.push(cells);
    }

    /// Returns whether there are no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |i: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(i)).map(|c| c.chars().count());
            cells.chain([self.columns[i].0.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let heading: Vec<String> = self.columns.iter().map(|(h, _)| (*h).to_owned()).collect();
        for row in [&heading].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                let gap = " ".repeat(width - cell.chars().count());
                let (before, after) = if *align == Right { (gap.as_str(), "") } else { ("", gap.as_str()) };
                line.push_str(&format!("{before}{cell}{after}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Returns a time in the unit that suits it, with three digits.
pub(super) fn time(ns: u64) -> String {
    let scaled = |unit: f64, name: &str| {
        let value = ns as f64 / unit;
        let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        format!("{value:.places$} {name}")
    };
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => scaled(1e3, "us"),
        1_000_000..1_000_000_000 => scaled(1e6, "ms"),
        1_000_000_000..100_000_000_000 => scaled(1e9, "s"),
        _ => {
            let s = ns / 1_000_000_000;
            format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
        }
    }
}

/// Returns an amount of memory in the unit that suits it.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) if bytes.is_multiple_of(*size) => format!("{} {unit}", bytes / size),
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}

/// Returns `used / limit`.
pub(super) fn of_limit(used: u64, limit: u64) -> String {
    format!("{} / {}", bytes(used), bytes(limit))
}

/// Returns the cells for a distribution: how many, p50, p99, p99.9, max.
pub(super) fn distribution(d: &Distribution) -> [String; 5] {
    if d.count == 0 {
        return ["0", "-", "-", "-", "-"].map(str::to_owned);
    }
    [d.count.to_string(), time(d.p50_ns), time(d.p99_ns), time(d.p999_ns), time(d.max_ns)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let mut table = Table::new(&["<NAME", "N", "<WHY"]);
        table.row(vec!["red".into(), "1".into(), "x".into()]);
        table.row(vec!["crimson".into(), "1000".into(), String::new()]);
        assert_eq!(table.to_string(), "NAME        N  WHY\nred         1  x\ncrimson  1000\n");
    }

    #[test]
    fn amounts_are_readable() {
        let times = [(5, "5 ns"), (1_234, "1.23 us"), (56_700_000, "56.7 ms"), (999_000_000, "999 ms")];
        for (ns, text) in times.into_iter().chain([(3_723_000_000_000, "1:02:03"), (1_500_000_000, "1.50 s")]) {
            assert_eq!(time(ns), text);
        }
        for (n, text) in [(0, "0 B"), (1 << 30, "1 GiB"), (1536, "1.5 KiB"), ((1 << 20) * 300, "300 MiB")] {
            assert_eq!(bytes(n), text);
        }
    }
}

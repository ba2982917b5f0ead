//! Tables without borders: titles, columns as wide as they must be, numbers to the right.

use crate::terminal::{Screen, one_line};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a cell says, beyond its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// It went well.
    Good,
    /// Look here.
    Bad,
    /// Not now.
    Dim,
    /// Under way, or waiting.
    Busy,
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: one_line(text.as_ref()), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// A table under construction.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

const GAP: &str = "  ";

impl Table {
    /// A table with these titles; one that begins with `>` is of a column of numbers.
    pub fn new(titles: &[&str]) -> Self {
        let column = |title: &&str| match title.strip_prefix('>') {
            Some(title) => (title.to_owned(), Align::Right),
            None => ((*title).to_owned(), Align::Left),
        };
        Self { columns: titles.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are titles.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// The text. On a terminal the last column is cut where the line would break.
    pub fn render(&self, screen: Screen) -> String {
        let titles: Vec<Cell> =
            self.columns.iter().map(|(title, _)| Cell::toned(title, Tone::Plain)).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|n| {
                let cells = self.rows.iter().map(|row| row[n].text.width());
                cells.max().unwrap_or(0).max(titles[n].text.width())
            })
            .collect();
        let mut text = self.line(&titles, &widths, screen);
        for row in &self.rows {
            text.push_str(&self.line(row, &widths, screen));
        }
        text
    }

    fn line(&self, cells: &[Cell], widths: &[usize], screen: Screen) -> String {
        let mut line = String::new();
        let mut used = 0;
        for (n, cell) in cells.iter().enumerate() {
            let last = n + 1 == cells.len();
            let room = screen.width.map_or(usize::MAX, |width| width.saturating_sub(used));
            let text = if last { cut(&cell.text, room) } else { cell.text.clone() };
            let pad = " ".repeat(widths[n].saturating_sub(text.width()));
            let painted = paint(&text, cell.tone, screen);
            match self.columns[n].1 {
                Align::Left => line.extend([painted, pad]),
                Align::Right => line.extend([pad, painted]),
            }
            line.push_str(GAP);
            used += widths[n] + GAP.len();
        }
        let mut line = line.trim_end().to_owned();
        line.push('\n');
        line
    }
}

/// A text in the colour of its tone.
pub fn paint(text: &str, tone: Tone, screen: Screen) -> String {
    let colour = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => "32",
        Tone::Bad => "31",
        Tone::Dim => "2",
        Tone::Busy => "33",
    };
    if screen.colour && !text.is_empty() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// The beginning of a text that fits into `room` columns, with `…` where something is missing.
fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["JOB", ">RUNS", "WHY"]);
        table.row([Cell::from("data-sync"), "12".into(), Cell::toned("exit 1", Tone::Bad)]);
        table.row([Cell::from("备份"), "7".into(), "".into()]);
        table
    }

    #[test]
    fn columns_line_up_whatever_the_script() {
        let expected = "JOB        RUNS  WHY\ndata-sync    12  exit 1\n备份          7\n";
        assert_eq!(table().render(Screen::PLAIN), expected);
    }

    #[test]
    fn a_narrow_terminal_cuts_the_last_column() {
        let screen = Screen { width: Some(20), colour: false };
        let text = table().render(screen);
        assert!(text.lines().all(|line| line.width() <= 20), "{text}");
        assert!(text.contains("ex…") || text.contains("e…"), "{text}");
    }

    #[test]
    fn colour_is_outside_the_padding() {
        let screen = Screen { width: None, colour: true };
        assert!(table().render(screen).contains("  \x1b[31mexit 1\x1b[0m"), "{}", table().render(screen));
    }
}

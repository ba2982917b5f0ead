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
    /// Titles of columns that are left out where the screen is too narrow, the first one first.
    yielding: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

const GAP: &str = "  ";
/// Before what of a last column goes beneath its line.
const INDENT: &str = "    ";

impl Table {
    /// A table with these titles; one that begins with `>` is of a column of numbers.
    pub fn new(titles: &[&str]) -> Self {
        let column = |title: &&str| match title.strip_prefix('>') {
            Some(title) => (title.to_owned(), Align::Right),
            None => ((*title).to_owned(), Align::Left),
        };
        Self { columns: titles.iter().map(column).collect(), rows: Vec::new(), yielding: &[] }
    }

    /// The same; on a narrow screen the columns with these titles are left out, the first one first.
    pub fn yielding(self, titles: &'static [&'static str]) -> Self {
        Self { yielding: titles, ..self }
    }

    /// Adds a row; it has as many cells as there are titles.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// The text. Where it is wider than the screen, columns that yield are left out; if that does not help, what does
    /// not fit of the last column stands beneath its line. Nothing of that column is lost: it says why.
    pub fn render(&self, screen: Screen) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|n| {
                let cells = self.rows.iter().map(|row| row[n].text.width());
                cells.max().unwrap_or(0).max(self.columns[n].0.width())
            })
            .collect();
        let shown = self.shown(&widths, screen);
        let titles: Vec<Cell> = self.columns.iter().map(|(title, _)| title.into()).collect();
        let mut text = self.line(&titles, &shown, &widths, screen);
        for row in &self.rows {
            text.push_str(&self.line(row, &shown, &widths, screen));
        }
        text
    }

    /// The columns that are shown: as many as fit whole, else as many as leave room for the last one's title.
    fn shown(&self, widths: &[usize], screen: Screen) -> Vec<usize> {
        let without = |left_out: usize| -> Vec<usize> {
            let left_out = &self.yielding[..left_out];
            (0..widths.len()).filter(|n| !left_out.contains(&self.columns[*n].0.as_str())).collect()
        };
        let Some(room) = screen.width else { return without(0) };
        let fits = |columns: &[usize], last_width: &dyn Fn(usize) -> usize| {
            let Some((last, others)) = columns.split_last() else { return true };
            let others: usize = others.iter().map(|n| widths[*n] + GAP.len()).sum();
            others + last_width(*last) <= room
        };
        let choices = || (0..=self.yielding.len()).map(without);
        choices()
            .find(|columns| fits(columns, &|last| widths[last]))
            .or_else(|| choices().find(|columns| fits(columns, &|last| self.columns[last].0.width())))
            .unwrap_or_else(|| without(self.yielding.len()))
    }

    fn line(&self, cells: &[Cell], shown: &[usize], widths: &[usize], screen: Screen) -> String {
        let mut line = String::new();
        let mut used = 0;
        let mut beneath = String::new();
        for n in shown {
            let (cell, width) = (&cells[*n], widths[*n]);
            let room = screen.width.map_or(usize::MAX, |width| width.saturating_sub(used));
            if Some(n) == shown.last() && cell.text.width() > room {
                let room = screen.width.unwrap_or(usize::MAX).saturating_sub(INDENT.len());
                for part in wrap(&cell.text, room) {
                    beneath.push_str(&format!("{INDENT}{}\n", paint(part, cell.tone, screen)));
                }
                break;
            }
            let pad = " ".repeat(width.saturating_sub(cell.text.width()));
            let painted = paint(&cell.text, cell.tone, screen);
            match self.columns[*n].1 {
                Align::Left => line.extend([painted, pad]),
                Align::Right => line.extend([pad, painted]),
            }
            line.push_str(GAP);
            used += width + GAP.len();
        }
        format!("{}\n{beneath}", line.trim_end())
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

/// The text in parts of at most `room` columns, broken at spaces where there are any.
fn wrap(text: &str, room: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while rest.width() > room.max(1) {
        let mut used = 0;
        let within = rest.char_indices().take_while(|(_, c)| {
            used += c.width().unwrap_or(0);
            used <= room
        });
        let end = within.last().map_or(0, |(at, c)| at + c.len_utf8());
        // However narrow, each part has a character at least.
        let end = end.max(rest.chars().next().map_or(0, char::len_utf8));
        let end = match rest[..end].rfind(' ') {
            Some(space) if !rest[end..].starts_with(' ') => space,
            _ => end,
        };
        parts.push(rest[..end].trim_end());
        rest = rest[end..].trim_start();
    }
    parts.push(rest);
    parts
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

    fn narrow(table: &Table, width: usize) -> String {
        table.render(Screen { width: Some(width), colour: false })
    }

    #[test]
    fn a_narrow_terminal_has_fewer_columns_then_the_last_one_beneath() {
        let table = table().yielding(&["RUNS"]);
        assert!(narrow(&table, 23).starts_with("JOB        RUNS  WHY\n"));
        let fewer = "JOB        WHY\ndata-sync  exit 1\n备份\n";
        assert_eq!((narrow(&table, 22), narrow(&table, 17)), (fewer.to_owned(), fewer.to_owned()));
        assert_eq!(narrow(&table, 15), "JOB        WHY\ndata-sync\n    exit 1\n备份\n");
    }

    #[test]
    fn nothing_of_the_last_column_is_lost_however_narrow_the_terminal() {
        let mut table = Table::new(&["A", "WHY"]);
        table.row([Cell::from("a"), "a reason of several words, 理由也有中文".into()]);
        for width in 1..60 {
            let text = narrow(&table, width);
            let squeezed: String = text.split_whitespace().collect();
            assert_eq!(squeezed, "AWHYaareasonofseveralwords,理由也有中文", "{width}");
            assert!(width < 8 || text.lines().all(|line| line.width() <= width), "{width}: {text}");
        }
    }

    #[test]
    fn colour_is_outside_the_padding() {
        let screen = Screen { width: None, colour: true };
        assert!(table().render(screen).contains("  \x1b[31mexit 1\x1b[0m"), "{}", table().render(screen));
    }
}

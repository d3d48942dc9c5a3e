//! Tables: columns without borders on a pipe and on a terminal alike, wrapped only on a terminal.

use comfy_table::{Attribute, Color, ContentArrangement, TableStyle, presets};

use super::Ui;
use crate::error::printable;

/// How a cell is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Worth a look.
    Doubtful,
    /// Not well.
    Bad,
    /// Stands out.
    Strong,
    /// Stands back.
    Dim,
}

/// A text and how it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Returns `text` with a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Cell {
        Cell { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text, Tone::Plain)
    }
}

/// Rows under a header.
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<Cell>>,
    framed: bool,
    /// Titles of columns that a narrow terminal does without, in this order.
    spare: Vec<String>,
}

impl Table {
    /// Returns an empty table.
    pub fn new<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Table {
        let header = header.into_iter().map(Into::into).collect();
        Table { header, rows: Vec::new(), framed: false, spare: Vec::new() }
    }

    /// Names columns that are left out, in this order, where the terminal is too narrow for all.
    pub fn spare<T: Into<String>>(mut self, titles: impl IntoIterator<Item = T>) -> Table {
        self.spare = titles.into_iter().map(Into::into).collect();
        self
    }

    /// Draws a frame, for cells that may span lines: rows of a query.
    pub fn framed(mut self) -> Table {
        self.framed = true;
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the text, in the width and colours of `ui`. Control characters in cells are replaced, except
    /// line ends within a frame.
    pub fn render(&self, ui: &Ui) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(if self.framed { presets::UTF8_FULL_CONDENSED } else { plain_style() });
        match ui.width() {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        if ui.0.colour_out {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let bold = |text: &str| comfy_table::Cell::new(text).add_attribute(Attribute::Bold);
        let columns = self.columns(ui.width());
        table.set_header(columns.iter().map(|i| bold(&printable(&self.header[*i]))));
        for row in &self.rows {
            table.add_row(columns.iter().filter_map(|i| row.get(*i)).map(|cell| self.cell(cell)));
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }

    /// Returns the columns that are shown in `width`.
    fn columns(&self, width: Option<u16>) -> Vec<usize> {
        let mut columns: Vec<usize> = (0..self.header.len()).collect();
        let Some(width) = width.map(usize::from) else { return columns };
        // A space stands on both sides of a cell.
        let needs = |i: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.text.chars().count());
            cells.chain([self.header[i].chars().count()]).max().unwrap_or(0) + 2
        };
        for title in &self.spare {
            if columns.iter().map(|i| needs(*i)).sum::<usize>() <= width {
                break;
            }
            columns.retain(|i| self.header[*i] != *title);
        }
        columns
    }

    fn cell(&self, cell: &Cell) -> comfy_table::Cell {
        let text = match self.framed {
            true => cell.text.lines().map(printable).collect::<Vec<_>>().join("\n"),
            false => printable(&cell.text),
        };
        let styled = comfy_table::Cell::new(text);
        match cell.tone {
            Tone::Plain => styled,
            Tone::Good => styled.fg(Color::Green),
            Tone::Doubtful => styled.fg(Color::Yellow),
            Tone::Bad => styled.fg(Color::Red),
            Tone::Strong => styled.add_attribute(Attribute::Bold),
            Tone::Dim => styled.add_attribute(Attribute::Dim),
        }
    }
}

fn plain_style() -> TableStyle {
    presets::NOTHING
}

/// Returns the width of the terminal on standard output, or `None` if it is none.
pub(super) fn terminal_width() -> Option<u16> {
    comfy_table::Table::new().width().filter(|width| *width >= 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Output, Progress};

    #[test]
    fn a_pipe_gets_whole_lines_without_colour() {
        let (ui, _, _) = Ui::captured(Output::Table, Progress::Plain, "");
        let mut table = Table::new(["NAME", "ROLE"]);
        table.row([Cell::from("m1"), Cell::new("MAIN", Tone::Good)]);
        table.row([Cell::from("x".repeat(150)), Cell::from("a\x1b[31mb\nc")]);
        let text = table.render(&ui);
        assert_eq!(text.lines().count(), 3);
        assert!(!text.contains('\x1b'));
        assert!(text.lines().nth(1).unwrap().starts_with(" m1"));
    }

    #[test]
    fn a_narrow_terminal_does_without_spare_columns() {
        let mut table = Table::new(["NAME", "ADDRESS", "BOLT"]).spare(["ADDRESS", "BOLT"]);
        table.row([Cell::from("m1"), Cell::from("172.28.37.12:10000"), Cell::from("127.0.0.1:7687")]);
        assert_eq!(table.columns(None), [0, 1, 2]);
        assert_eq!(table.columns(Some(42)), [0, 1, 2]);
        assert_eq!(table.columns(Some(41)), [0, 2]);
        assert_eq!(table.columns(Some(21)), [0]);
        assert_eq!(table.columns(Some(1)), [0]);
    }

    #[test]
    fn a_frame_keeps_the_lines_of_a_cell() {
        let (ui, _, _) = Ui::captured(Output::Table, Progress::Plain, "");
        let mut table = Table::new(["n"]).framed();
        table.row([Cell::from("one\ntwo")]);
        assert_eq!(table.render(&ui), "┌─────┐\n│ n   │\n╞═════╡\n│ one │\n│ two │\n└─────┘");
    }
}

//! The contact sheet: a picture of the most suspicious samples, with what was made of them.

mod canvas;
mod picture;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::mono_font::iso_8859_1::{
    FONT_6X13, FONT_7X13, FONT_7X13_BOLD, FONT_9X15_BOLD,
};
use embedded_graphics::pixelcolor::Rgb888;
use thiserror::Error;

use canvas::Canvas;

/// Tiles in a row.
const COLUMNS: usize = 5;
/// Tiles on a sheet; more would make it a poster.
pub const MOST: usize = 10;
/// Side of the square that a sample is drawn in: 28 pixels six times over, and as wide as the two
/// longest names of Fashion-MNIST beside each other.
const SIDE: i32 = 168;
const GAP: i32 = 22;
const MARGIN: i32 = 30;
/// Top of the tiles: margin and title.
const HEAD: i32 = MARGIN + 42;
/// From the top of a tile to the top of the one below.
const PITCH: i32 = SIDE + 62;

const PAPER: Rgb888 = Rgb888::new(0xfb, 0xfa, 0xf7);
const INK: Rgb888 = Rgb888::new(0x20, 0x24, 0x2a);
const FADED: Rgb888 = Rgb888::new(0x5a, 0x60, 0x68);
const GREEN: Rgb888 = Rgb888::new(0x1f, 0x8a, 0x4c);
const RED: Rgb888 = Rgb888::new(0xc4, 0x36, 0x2f);

/// The sheet could not be stored.
#[derive(Debug, Error)]
pub enum SheetError {
    /// The file cannot be written.
    #[error("cannot write {}: {source}; check the directory, its permissions and the free space", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The picture cannot be encoded.
    #[error("cannot encode the picture for {}: {source}; please report this", .path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: png::EncodingError,
    },
}

/// One suspect.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Number of the sample in the training set.
    pub index: usize,
    /// Shape of the sample. Two dimensions are a picture, three too if the first or the last is 1
    /// or 3; anything else is drawn as bars.
    pub shape: Vec<usize>,
    /// Its values, row-major: 0 to 1 from black to white. Others are stretched to that.
    pub values: Vec<f32>,
    /// Name of the class that it is labelled with.
    pub given: String,
    /// Name of the class that it seems to be.
    pub suggested: String,
    /// How suspicious it is.
    pub score: f32,
    /// How likely so high a score is for a sample whose label is right.
    pub p_value: f64,
    /// Whether the label really is wrong, where that is known.
    pub mislabelled: Option<bool>,
}

/// Draws the first [`MOST`] tiles below a title and writes the sheet as a PNG file.
pub fn contact_sheet(title: &str, items: &[Tile], path: &Path) -> Result<(), SheetError> {
    let bytes = draw(title, items)
        .encode()
        .map_err(|source| SheetError::Encoding {
            path: path.to_path_buf(),
            source,
        })?;
    fs::write(path, bytes).map_err(|source| SheetError::Unwritable {
        path: path.to_path_buf(),
        source,
    })
}

fn draw(title: &str, items: &[Tile]) -> Canvas {
    let items = &items[..items.len().min(MOST)];
    let columns = COLUMNS as i32;
    let rows = items.len().div_ceil(COLUMNS).max(1) as i32;
    let width = 2 * MARGIN + columns * SIDE + (columns - 1) * GAP;
    let height = HEAD + rows * PITCH - (PITCH - SIDE) + 40 + MARGIN - 6;
    let mut canvas = Canvas::new(width, height, PAPER);

    let known = items.iter().any(|tile| tile.mislabelled.is_some());
    let legend_width = if known { legend(&mut canvas, width) } else { 0 };
    let room = width - 2 * MARGIN - legend_width;
    let font = &FONT_9X15_BOLD;
    canvas.text(&cut(title, letters(room, font)), MARGIN, MARGIN, font, INK);
    if items.is_empty() {
        canvas.text("no suspects", MARGIN, HEAD, &FONT_7X13, FADED);
    }
    for (i, tile) in items.iter().enumerate() {
        let column = (i % COLUMNS) as i32;
        let row = (i / COLUMNS) as i32;
        let x = MARGIN + column * (SIDE + GAP);
        draw_tile(&mut canvas, tile, x, HEAD + row * PITCH);
    }
    canvas
}

/// Explains the marks, right-aligned beside the title; returns the width that it takes.
fn legend(canvas: &mut Canvas, width: i32) -> i32 {
    let font = &FONT_7X13;
    let mut x = width - MARGIN;
    for (wrong, words) in [(false, "false alarm"), (true, "truly mislabelled")] {
        x -= text_width(words, font);
        canvas.text(words, x, MARGIN + 1, font, FADED);
        x -= 16;
        mark(canvas, wrong, x as f32 + 4.0, MARGIN as f32 + 8.0);
        x -= 24;
    }
    width - MARGIN - x
}

fn draw_tile(canvas: &mut Canvas, tile: &Tile, x: i32, y: i32) {
    picture::draw(canvas, tile, x, y, SIDE);
    if let Some(wrong) = tile.mislabelled {
        let (cx, cy) = ((x + SIDE - 15) as f32, (y + 15) as f32);
        canvas.disc(cx, cy, 10.0, PAPER);
        mark(canvas, wrong, cx, cy);
    }
    draw_names(canvas, tile, x, y + SIDE + 8);

    let font = &FONT_6X13;
    let y = y + SIDE + 25;
    let index = format!("#{}", tile.index);
    canvas.text(&index, x, y, font, FADED);
    let room = letters(SIDE, font) - index.len() - 1;
    let numbers = format!("score {}  p {}", number(tile.score), p_value(tile.p_value));
    let numbers = cut(&numbers, room);
    canvas.text(
        &numbers,
        x + SIDE - text_width(&numbers, font),
        y,
        font,
        FADED,
    );
}

/// What the sample is labelled with, an arrow, and what it seems to be.
fn draw_names(canvas: &mut Canvas, tile: &Tile, x: i32, y: i32) {
    let font = &FONT_7X13;
    // The arrow takes three letters: no font here has one.
    let room = letters(SIDE, font) - 3;
    // A long name may have what a short one leaves.
    let share = |other: &str| (room / 2).max(room.saturating_sub(other.chars().count()));
    let given = cut(&tile.given, share(&tile.suggested));
    let suggested = cut(&tile.suggested, share(&tile.given));

    canvas.text(&given, x, y, font, FADED);
    let start = x + text_width(&given, font);
    let end = start + text_width("   ", font);
    let (left, right) = ((start + 4) as f32, (end - 6) as f32);
    let middle = y as f32 + 7.5;
    canvas.stroke((left, middle), (right, middle), 1.2, INK);
    canvas.stroke((right - 3.5, middle - 3.5), (right, middle), 1.2, INK);
    canvas.stroke((right - 3.5, middle + 3.5), (right, middle), 1.2, INK);
    canvas.text(&suggested, end, y, &FONT_7X13_BOLD, INK);
}

/// A green tick for a suspect that deserves it, a red cross for a false alarm.
fn mark(canvas: &mut Canvas, wrong: bool, x: f32, y: f32) {
    if wrong {
        canvas.stroke((x - 4.5, y + 0.5), (x - 1.5, y + 3.5), 2.4, GREEN);
        canvas.stroke((x - 1.5, y + 3.5), (x + 4.8, y - 4.0), 2.4, GREEN);
    } else {
        canvas.stroke((x - 4.0, y - 4.0), (x + 4.0, y + 4.0), 2.4, RED);
        canvas.stroke((x - 4.0, y + 4.0), (x + 4.0, y - 4.0), 2.4, RED);
    }
}

fn number(score: f32) -> String {
    if score.abs() < 1000.0 {
        format!("{score:.2}")
    } else {
        format!("{score:.1e}")
    }
}

fn p_value(p: f64) -> String {
    if p >= 0.001 || p == 0.0 {
        format!("{p:.3}")
    } else {
        format!("{p:.0e}")
    }
}

/// Width of a line in pixels.
fn text_width(text: &str, font: &MonoFont<'_>) -> i32 {
    let advance = font.character_size.width + font.character_spacing;
    text.chars().count() as i32 * advance as i32
}

/// How many letters fit.
fn letters(room: i32, font: &MonoFont<'_>) -> usize {
    (room / text_width("x", font)).max(0) as usize
}

/// The text, or its start and two dots.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return String::from(text);
    }
    let mut start: String = text.chars().take(most.saturating_sub(2)).collect();
    start.truncate(start.trim_end().len());
    start.push_str("..");
    start
}

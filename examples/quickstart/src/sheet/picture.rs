//! One sample as a picture, or as bars where it is none.

use embedded_graphics::pixelcolor::Rgb888;

use super::Tile;
use super::canvas::Canvas;

/// Behind bars, and beside pictures that are not square.
const GROUND: Rgb888 = Rgb888::new(0xee, 0xec, 0xe6);
const BAR: Rgb888 = Rgb888::new(0x4a, 0x66, 0x80);
/// From one bar to the next, with a pixel between them.
const BAR_PITCH: i32 = 4;

/// Grey values from 0 to 1, row by row.
struct Grey {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

/// Draws the sample into the square at `x`, `y`.
pub(super) fn draw(canvas: &mut Canvas, tile: &Tile, x: i32, y: i32, side: i32) {
    canvas.fill(x, y, side, side, GROUND);
    match grey(&tile.shape, &tile.values) {
        Some(grey) => draw_grey(canvas, &grey, x, y, side),
        None => draw_bars(canvas, &tile.values, x, y, side),
    }
}

/// The sample as a picture, if it is one; colours are averaged.
fn grey(shape: &[usize], values: &[f32]) -> Option<Grey> {
    // Where the channels lie: how far apart they are, and how far apart the pixels.
    let (height, width, channels, channel_step, pixel_step) = match *shape {
        [h, w] => (h, w, 1, 1, 1),
        [c @ (1 | 3), h, w] => (h, w, c, h.checked_mul(w)?, 1),
        [h, w, c @ (1 | 3)] => (h, w, c, 1, c),
        _ => return None,
    };
    let pixels = height.checked_mul(width)?;
    // A single row or column is a list of features rather than a picture.
    if height < 2 || width < 2 || values.len() != pixels.checked_mul(channels)? {
        return None;
    }
    let mut means: Vec<f32> = (0..pixels)
        .map(|pixel| {
            let at = |channel| values[pixel * pixel_step + channel * channel_step];
            (0..channels).map(at).sum::<f32>() / channels as f32
        })
        .collect();
    let (low, high) = range(&means);
    if low < 0.0 || high > 1.0 {
        let span = (high - low).max(f32::MIN_POSITIVE);
        for mean in &mut means {
            *mean = (*mean - low) / span;
        }
    }
    Some(Grey {
        width,
        height,
        values: means,
    })
}

/// Nearest neighbour: whole multiples while it fits, otherwise as large as fits.
fn draw_grey(canvas: &mut Canvas, grey: &Grey, x: i32, y: i32, side: i32) {
    let longest = grey.width.max(grey.height);
    let side_len = side as usize;
    let scaled = |len: usize| match side_len / longest {
        0 => (len * side_len / longest).max(1),
        times => len * times,
    };
    let (width, height) = (scaled(grey.width), scaled(grey.height));
    let left = x + (side - width as i32) / 2;
    let top = y + (side - height as i32) / 2;
    for row in 0..height {
        for column in 0..width {
            let source = (row * grey.height / height) * grey.width + column * grey.width / width;
            let level = (grey.values[source].clamp(0.0, 1.0) * 255.0).round() as u8;
            let ink = Rgb888::new(level, level, level);
            canvas.fill(left + column as i32, top + row as i32, 1, 1, ink);
        }
    }
}

/// One bar per value, or per group of neighbouring values, up or down from a line at zero.
fn draw_bars(canvas: &mut Canvas, values: &[f32], x: i32, y: i32, side: i32) {
    let inset = 8;
    let bars = values.len().min(((side - 2 * inset) / BAR_PITCH) as usize);
    if bars == 0 {
        return;
    }
    let means: Vec<f32> = (0..bars)
        .map(|bar| {
            let group = &values[bar * values.len() / bars..(bar + 1) * values.len() / bars];
            group.iter().sum::<f32>() / group.len() as f32
        })
        .collect();
    let (low, high) = range(&means);
    let (low, high) = (low.min(0.0), high.max(0.0));
    let span = (high - low).max(f32::MIN_POSITIVE);
    let room = side - 2 * inset;
    // Few values make wide bars, so that the square is filled in any case.
    let pitch = room / bars as i32;
    let left = x + (side - pitch * bars as i32) / 2;
    let level = |value: f32| y + inset + ((high - value) / span * room as f32).round() as i32;
    for (bar, mean) in means.iter().enumerate() {
        let top = level(mean.max(0.0));
        let bottom = level(mean.min(0.0));
        // A value of zero leaves a trace: it is there.
        let height = (bottom - top).max(1);
        canvas.fill(left + bar as i32 * pitch, top, pitch - 1, height, BAR);
    }
}

fn range(values: &[f32]) -> (f32, f32) {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (low, high)
}

//! A picture in memory: embedded-graphics writes text and squares on it, smooth lines are drawn here.

use std::convert::Infallible;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};
use embedded_graphics::{Drawable, Pixel};

/// Eight bits each of red, green and blue per pixel.
pub(super) struct Canvas {
    width: i32,
    height: i32,
    pixels: Vec<Rgb888>,
}

impl Canvas {
    /// An empty sheet.
    pub(super) fn new(width: i32, height: i32, paper: Rgb888) -> Canvas {
        Canvas {
            width,
            height,
            pixels: vec![paper; (width * height) as usize],
        }
    }

    /// Writes one line, its top left corner at `x`, `y`.
    pub(super) fn text(&mut self, text: &str, x: i32, y: i32, font: &MonoFont<'_>, ink: Rgb888) {
        let style = MonoTextStyle::new(font, ink);
        let text = Text::with_baseline(text, Point::new(x, y), style, Baseline::Top);
        let Ok(_) = text.draw(self);
    }

    /// Fills a rectangle.
    pub(super) fn fill(&mut self, x: i32, y: i32, width: i32, height: i32, ink: Rgb888) {
        let size = Size::new(width.max(0) as u32, height.max(0) as u32);
        let Ok(()) = self.fill_solid(&Rectangle::new(Point::new(x, y), size), ink);
    }

    /// Draws a line with round ends. The ones of embedded-graphics have steps, which shows in marks
    /// of ten pixels.
    pub(super) fn stroke(&mut self, from: (f32, f32), to: (f32, f32), width: f32, ink: Rgb888) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let squared = (dx * dx + dy * dy).max(f32::EPSILON);
        let reach = width / 2.0 + 1.0;
        let left = from.0.min(to.0) - reach;
        let right = from.0.max(to.0) + reach;
        let top = from.1.min(to.1) - reach;
        let bottom = from.1.max(to.1) + reach;
        for y in top.floor() as i32..=bottom.ceil() as i32 {
            for x in left.floor() as i32..=right.ceil() as i32 {
                let (px, py) = (x as f32 + 0.5 - from.0, y as f32 + 0.5 - from.1);
                let along = ((px * dx + py * dy) / squared).clamp(0.0, 1.0);
                let distance = (px - along * dx).hypot(py - along * dy);
                self.blend(x, y, ink, width / 2.0 + 0.5 - distance);
            }
        }
    }

    /// Draws a filled circle.
    pub(super) fn disc(&mut self, x: f32, y: f32, radius: f32, ink: Rgb888) {
        self.stroke((x, y), (x, y), 2.0 * radius, ink);
    }

    /// The sheet as a PNG file.
    pub(super) fn encode(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::with_capacity(self.pixels.len() * 3);
        for pixel in &self.pixels {
            bytes.extend([pixel.r(), pixel.g(), pixel.b()]);
        }
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&bytes)?;
        writer.finish()?;
        Ok(file)
    }

    #[cfg(test)]
    pub(super) fn pixel(&self, x: i32, y: i32) -> Rgb888 {
        self.pixels[(y * self.width + x) as usize]
    }

    fn offset(&self, x: i32, y: i32) -> Option<usize> {
        let inside = (0..self.width).contains(&x) && (0..self.height).contains(&y);
        inside.then(|| (y * self.width + x) as usize)
    }

    /// Covers a pixel in part; `cover` may be outside of 0 to 1.
    fn blend(&mut self, x: i32, y: i32, ink: Rgb888, cover: f32) {
        let Some(offset) = self.offset(x, y) else {
            return;
        };
        let cover = cover.clamp(0.0, 1.0);
        let below = self.pixels[offset];
        let mix = |below: u8, ink: u8| {
            (f32::from(below) * (1.0 - cover) + f32::from(ink) * cover).round() as u8
        };
        self.pixels[offset] = Rgb888::new(
            mix(below.r(), ink.r()),
            mix(below.g(), ink.g()),
            mix(below.b(), ink.b()),
        );
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width as u32, self.height as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(point, ink) in pixels {
            if let Some(offset) = self.offset(point.x, point.y) {
                self.pixels[offset] = ink;
            }
        }
        Ok(())
    }
}

//! Previews as PNG.

use mirrorwatch_influence::Image;

/// A preview as a PNG file.
///
/// # Errors
///
/// Pixels that are not as many as they should be, or no picture at all.
pub fn png(image: &Image) -> Result<Vec<u8>, String> {
    let side = |n: usize| u32::try_from(n).map_err(|_| format!("a side of {n} pixels"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(image.width)?, side(image.height)?);
    encoder.set_color(match image.channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        n => return Err(format!("{n} values per pixel; there are 1 or 3")),
    });
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&image.pixels)?;
        writer.finish()
    });
    written.map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use mirrorwatch_influence::Preview;

    use super::*;

    #[test]
    fn a_picture_comes_back_as_it_was() {
        let values = vec![0, 50, 100, 150, 200, 255];
        for (preview, colour, width) in [
            (
                Preview::grey(3, 2, values.clone()),
                png::ColorType::Grayscale,
                3,
            ),
            (Preview::rgb(1, 2, values.clone()), png::ColorType::Rgb, 1),
        ] {
            let bytes = png(preview.image().unwrap()).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes))
                .read_info()
                .unwrap();
            let mut pixels = vec![0; 6];
            reader.next_frame(&mut pixels).unwrap();
            assert_eq!((reader.info().width, reader.info().height), (width, 2));
            assert_eq!(reader.info().color_type, colour);
            assert_eq!(pixels, values);
        }
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        for (width, height, channels, pixels) in [
            (0, 2, 1, 0),
            (3, 2, 1, 5),
            (usize::MAX, 1, 1, 1),
            (1, 1, 2, 2),
        ] {
            let image = Image {
                width,
                height,
                channels,
                pixels: vec![0; pixels],
            };
            assert!(png(&image).is_err(), "{image:?}");
        }
    }
}

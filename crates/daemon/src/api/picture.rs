//! Previews as PNG.

use mirrorwatch_influence::Preview;

/// A preview as a PNG file.
///
/// # Errors
///
/// Pixels that are not as many as they should be, or no picture at all.
pub fn png(preview: &Preview) -> Result<Vec<u8>, String> {
    let side = |n: usize| u32::try_from(n).map_err(|_| format!("a side of {n} pixels"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(preview.width)?, side(preview.height)?);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&preview.grey)?;
        writer.finish()
    });
    written.map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_comes_back_as_it_was() {
        let preview = Preview {
            width: 3,
            height: 2,
            grey: vec![0, 50, 100, 150, 200, 255],
        };
        let bytes = png(&preview).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; 6];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!((reader.info().width, reader.info().height), (3, 2));
        assert_eq!(pixels, preview.grey);
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        for (width, height, pixels) in [(0, 2, 0), (3, 2, 5), (usize::MAX, 1, 1)] {
            let preview = Preview {
                width,
                height,
                grey: vec![0; pixels],
            };
            assert!(png(&preview).is_err(), "{width} {height} {pixels}");
        }
    }
}

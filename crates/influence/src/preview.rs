//! What a person is shown of a sample.

/// A sample as a person can judge it, in pages and reports.
///
/// ```
/// use mirrorwatch_influence::Preview;
///
/// let picture = Preview::grey(2, 1, vec![0, 255]);
/// let colours = Preview::rgb(1, 1, vec![255, 0, 0]);
/// let sentence = Preview::text("my card has not arrived yet");
/// let row = Preview::row([("carat", "0.31"), ("cut", "Ideal")]);
/// # assert_ne!(picture, colours);
/// # assert_ne!(sentence, row);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preview {
    /// A small picture.
    Image(Image),
    /// A text; long ones are cut where they are shown.
    Text(String),
    /// The columns of a table row: names and values.
    Row(Vec<(String, String)>),
}

/// A picture: `height` × `width` pixels, row by row from the top.
///
/// ```
/// use mirrorwatch_influence::{Image, Preview};
///
/// let image = Image { width: 2, height: 1, channels: 1, pixels: vec![0, 255] };
/// assert_eq!(Preview::Image(image), Preview::grey(2, 1, vec![0, 255]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 (grey, 0 = black) or 3 (red, green, blue) values per pixel.
    pub channels: usize,
    /// `width * height * channels` values.
    pub pixels: Vec<u8>,
}

impl Preview {
    /// A grey picture of `width * height` values, 0 = black.
    ///
    /// ```
    /// # use mirrorwatch_influence::Preview;
    /// let picture = Preview::grey(2, 3, vec![0, 255, 0, 255, 0, 255]);
    /// assert!(picture.image().is_some_and(|image| (image.height, image.channels) == (3, 1)));
    /// ```
    pub fn grey(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        Preview::Image(Image {
            width,
            height,
            channels: 1,
            pixels,
        })
    }

    /// A picture in colour, of `width * height * 3` values: red, green and blue of each pixel.
    ///
    /// ```
    /// # use mirrorwatch_influence::Preview;
    /// let red = Preview::rgb(1, 1, vec![255, 0, 0]);
    /// assert!(red.image().is_some_and(|image| image.channels == 3 && image.pixels[0] == 255));
    /// ```
    pub fn rgb(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        Preview::Image(Image {
            width,
            height,
            channels: 3,
            pixels,
        })
    }

    /// A text.
    ///
    /// ```
    /// # use mirrorwatch_influence::Preview;
    /// let sentence = Preview::text("my card has not arrived yet");
    /// assert_eq!(sentence.words().as_deref(), Some("my card has not arrived yet"));
    /// ```
    pub fn text(text: impl Into<String>) -> Self {
        Preview::Text(text.into())
    }

    /// A table row.
    ///
    /// ```
    /// # use mirrorwatch_influence::Preview;
    /// let diamond = Preview::row([("carat", "0.31"), ("cut", "Ideal")]);
    /// assert_eq!(diamond.words().as_deref(), Some("carat: 0.31, cut: Ideal"));
    /// ```
    pub fn row<N: Into<String>, V: Into<String>>(
        columns: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let columns = columns.into_iter();
        Preview::Row(columns.map(|(n, v)| (n.into(), v.into())).collect())
    }

    /// The picture, if it is one.
    ///
    /// ```
    /// # use mirrorwatch_influence::Preview;
    /// assert!(Preview::grey(1, 1, vec![7]).image().is_some_and(|image| image.pixels == [7]));
    /// assert_eq!(Preview::text("a").image(), None);
    /// ```
    pub fn image(&self) -> Option<&Image> {
        match self {
            Preview::Image(image) => Some(image),
            Preview::Text(_) | Preview::Row(_) => None,
        }
    }

    /// The whole of it as a text: a row as `name: value` separated by commas; none for a picture.
    ///
    /// ```
    /// # use mirrorwatch_influence::Preview;
    /// assert_eq!(Preview::row([("x", "1"), ("y", "2")]).words().as_deref(), Some("x: 1, y: 2"));
    /// assert_eq!(Preview::grey(1, 1, vec![7]).words(), None);
    /// ```
    pub fn words(&self) -> Option<String> {
        match self {
            Preview::Image(_) => None,
            Preview::Text(text) => Some(text.clone()),
            Preview::Row(columns) => {
                let columns = columns
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"));
                Some(columns.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_there_is_to_read() {
        assert_eq!(Preview::grey(1, 1, vec![0]).words(), None);
        assert_eq!(Preview::text("a b").words().as_deref(), Some("a b"));
        let row = Preview::row([("x", "1"), ("y", "2")]);
        assert_eq!(row.words().as_deref(), Some("x: 1, y: 2"));
        assert_eq!(row.image(), None);
    }
}

//! The bytes of one IDX file: opened, decompressed where needed, header checked, values streamed.
//!
//! Nothing is allocated on the word of a header. A plain file's length is compared with the header
//! first; a gzipped one is decompressed chunk by chunk and never further than one byte past the
//! declared size.

use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::IdxError;
use crate::header::Header;

/// Bytes handed on at a time; divisible by the width of every element type.
const CHUNK: usize = 64 * 1024;

/// The two bytes every gzip file starts with. An IDX file starts with two zeros.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// One file, from its first byte on.
pub(crate) struct Source<'a> {
    path: PathBuf,
    reader: Box<dyn Read + 'a>,
    pub(crate) gzip: bool,
    /// The length of the file where it is plain and known.
    pub(crate) length: Option<u64>,
    /// Bytes read so far, after decompression.
    pub(crate) position: u64,
}

impl<'a> Source<'a> {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<Source<'static>, IdxError> {
        let unreadable = |source: io::Error| {
            let path = path.to_path_buf();
            match source.kind() {
                ErrorKind::NotFound => IdxError::Missing { path },
                _ => IdxError::Unreadable { path, source },
            }
        };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        // A pipe has no length to compare the header with.
        let length = metadata.is_file().then_some(metadata.len());
        Source::new(path.to_path_buf(), BufReader::new(file), length)
    }

    /// Reads bytes that are in memory already; `name` stands for the path in messages.
    pub(crate) fn bytes(name: &str, bytes: &'a [u8]) -> Result<Source<'a>, IdxError> {
        Source::new(PathBuf::from(name), bytes, Some(bytes.len() as u64))
    }

    /// Decides by the first two bytes, not by the name, whether the input is gzipped.
    fn new(
        path: PathBuf,
        mut input: impl Read + 'a,
        length: Option<u64>,
    ) -> Result<Source<'a>, IdxError> {
        let mut magic = [0; 2];
        let mut got = 0;
        while got < magic.len() {
            match input.read(&mut magic[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(IdxError::Unreadable { path, source }),
            }
        }
        if got == 0 {
            return Err(IdxError::Empty { path });
        }
        let gzip = magic == GZIP_MAGIC;
        let whole = Cursor::new(magic[..got].to_vec()).chain(input);
        let reader: Box<dyn Read + 'a> = if gzip {
            Box::new(MultiGzDecoder::new(whole))
        } else {
            Box::new(whole)
        };
        Ok(Source {
            path,
            reader,
            gzip,
            length: if gzip { None } else { length },
            position: 0,
        })
    }

    /// The path, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Hands on the values in chunks of whole elements, then makes sure that the file ends.
    pub(crate) fn elements(
        &mut self,
        header: &Header,
        mut each: impl FnMut(&[u8]) -> Result<(), IdxError>,
    ) -> Result<(), IdxError> {
        let mut buffer = vec![0; CHUNK];
        let mut left = header.data_bytes;
        while left > 0 {
            let want = left.min(CHUNK as u64) as usize;
            let got = self.fill(&mut buffer[..want])?;
            if got < want {
                return Err(self.truncated(header.total_bytes));
            }
            each(&buffer[..got])?;
            left -= got as u64;
        }
        // For a gzipped file this read is also what checks the checksum at its end.
        match self.read_some(&mut buffer[..1]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.trailing(header)),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Reads until the buffer is full or the file ends; returns how much there was.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, IdxError> {
        let mut got = 0;
        while got < buffer.len() {
            match self.read_some(&mut buffer[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                // How a decompressor says that its input was cut.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
                Err(source) => return Err(self.failed(source)),
            }
        }
        Ok(got)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(n) => {
                    self.position += n as u64;
                    return Ok(n);
                }
            }
        }
    }

    fn failed(&self, source: io::Error) -> IdxError {
        let path = self.path();
        if self.gzip {
            IdxError::Gzip { path, source }
        } else {
            IdxError::Unreadable { path, source }
        }
    }

    pub(crate) fn truncated(&self, expected: u64) -> IdxError {
        IdxError::Truncated {
            path: self.path(),
            expected,
            found: self.position,
        }
    }

    pub(crate) fn trailing(&self, header: &Header) -> IdxError {
        IdxError::Trailing {
            path: self.path(),
            expected: header.total_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::header::Element;

    /// Counts the compressed bytes that were asked for.
    struct Counted<'a>(&'a [u8], &'a Cell<usize>);

    impl Read for Counted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let got = self.0.read(buffer)?;
            self.1.set(self.1.get() + got);
            Ok(got)
        }
    }

    fn bomb(dims: [u32; 2], megabytes: usize) -> Vec<u8> {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&[0, 0, 8, 2]).unwrap();
        gz.write_all(&dims[0].to_be_bytes()).unwrap();
        gz.write_all(&dims[1].to_be_bytes()).unwrap();
        for _ in 0..megabytes {
            gz.write_all(&vec![0; 1 << 20]).unwrap();
        }
        gz.finish().unwrap()
    }

    fn read(bytes: &[u8], limit: u64) -> (Result<(), IdxError>, usize, usize) {
        let (consumed, kept) = (Cell::new(0), Cell::new(0));
        let input = Counted(bytes, &consumed);
        let mut source = Source::new(PathBuf::from("bomb.gz"), input, None).unwrap();
        let result = source
            .header(&[Element::U8], "bytes", limit)
            .and_then(|header| {
                source.elements(&header, |chunk| {
                    kept.set(kept.get() + chunk.len());
                    Ok(())
                })
            });
        (result, consumed.get(), kept.get())
    }

    #[test]
    fn a_bomb_is_not_decompressed_past_its_declared_size() {
        let bytes = bomb([2, 5], 64);
        let (result, consumed, kept) = read(&bytes, 1 << 30);
        assert!(matches!(
            result,
            Err(IdxError::Trailing { expected: 22, .. })
        ));
        assert_eq!(kept, 10);
        assert!(consumed < bytes.len(), "{consumed} of {}", bytes.len());
    }

    #[test]
    fn a_bomb_that_declares_its_size_meets_the_cap_before_any_value_is_read() {
        let (result, _, kept) = read(&bomb([u32::MAX, u32::MAX], 8), 1 << 30);
        assert!(matches!(result, Err(IdxError::TooLarge { .. })));
        assert_eq!(kept, 0);
    }

    #[test]
    fn a_declared_size_that_is_not_there_is_never_allocated() {
        let (result, _, kept) = read(&bomb([1 << 20, 1 << 12], 1), 1 << 33);
        assert!(
            matches!(result, Err(IdxError::Truncated { found, .. }) if found == 12 + (1 << 20))
        );
        assert_eq!(kept, 1 << 20);
    }
}

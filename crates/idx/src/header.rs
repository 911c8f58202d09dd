//! The header of an IDX file: read, and believed only as far as it can be true.

use crate::IdxError;
use crate::source::Source;

/// Element types that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    U8,
    I16,
    I32,
    F32,
}

impl Element {
    /// The type byte of the header.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Element::U8 => 0x08,
            Element::I16 => 0x0b,
            Element::I32 => 0x0c,
            Element::F32 => 0x0d,
        }
    }

    /// Bytes per element.
    fn width(self) -> u64 {
        match self {
            Element::U8 => 1,
            Element::I16 => 2,
            Element::I32 | Element::F32 => 4,
        }
    }
}

/// A header that was found to be plausible.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) element: Element,
    /// All dimensions, samples first; none of them is 0.
    pub(crate) dims: Vec<usize>,
    /// Number of values; safe to allocate only where `sized`.
    pub(crate) values: usize,
    /// Whether the file is known to be as long as the header says.
    pub(crate) sized: bool,
    pub(crate) data_bytes: u64,
    /// With the header.
    pub(crate) total_bytes: u64,
}

impl Source<'_> {
    /// Reads the header and holds it against the allowed types, the cap and the file's length.
    pub(crate) fn header(
        &mut self,
        allowed: &[Element],
        allowed_names: &'static str,
        limit: u64,
    ) -> Result<Header, IdxError> {
        let mut magic = [0; 4];
        let got = self.fill(&mut magic)?;
        if got == 0 && self.gzip {
            return Err(IdxError::Empty { path: self.path() });
        }
        if magic[..got.min(2)].iter().any(|byte| *byte != 0) {
            let bytes: Vec<String> = magic[..got].iter().map(|b| format!("{b:02x}")).collect();
            return Err(IdxError::WrongMagic {
                path: self.path(),
                bytes: bytes.join(" "),
            });
        }
        if got < magic.len() {
            return Err(self.truncated(magic.len() as u64));
        }
        let Some(element) = allowed.iter().copied().find(|e| e.byte() == magic[2]) else {
            return Err(IdxError::ElementType {
                path: self.path(),
                found: magic[2],
                allowed: allowed_names,
            });
        };
        let rank = usize::from(magic[3]);
        if rank == 0 {
            return Err(IdxError::RankZero { path: self.path() });
        }
        let mut raw = vec![0; 4 * rank];
        let header_bytes = (magic.len() + raw.len()) as u64;
        if self.fill(&mut raw)? < raw.len() {
            return Err(self.truncated(header_bytes));
        }
        let mut shape = Vec::with_capacity(rank);
        for dim in raw.chunks_exact(4) {
            shape.push(u32::from_be_bytes([dim[0], dim[1], dim[2], dim[3]]));
        }
        let header = self.sizes(element, shape, header_bytes, limit)?;
        if let Some(length) = self.length {
            if length < header.total_bytes {
                self.position = length;
                return Err(self.truncated(header.total_bytes));
            }
            if length > header.total_bytes {
                return Err(self.trailing(&header));
            }
        }
        Ok(header)
    }

    /// Multiplies the dimensions without overflow.
    fn sizes(
        &self,
        element: Element,
        shape: Vec<u32>,
        header_bytes: u64,
        limit: u64,
    ) -> Result<Header, IdxError> {
        if shape.contains(&0) {
            let path = self.path();
            return Err(IdxError::NoValues { path, shape });
        }
        let mut data_bytes = Some(element.width());
        let mut dims = Vec::with_capacity(shape.len());
        for dim in &shape {
            data_bytes = data_bytes.and_then(|bytes| bytes.checked_mul(u64::from(*dim)));
            dims.push(*dim as usize);
        }
        let data_bytes = data_bytes.filter(|bytes| *bytes <= limit);
        let values = data_bytes.and_then(|b| usize::try_from(b / element.width()).ok());
        let (Some(data_bytes), Some(values)) = (data_bytes, values) else {
            return Err(IdxError::TooLarge {
                path: self.path(),
                shape,
                limit,
            });
        };
        Ok(Header {
            element,
            dims,
            values,
            sized: self.length.is_some(),
            data_bytes,
            // The caller may have set a limit of u64::MAX.
            total_bytes: header_bytes.saturating_add(data_bytes),
        })
    }
}

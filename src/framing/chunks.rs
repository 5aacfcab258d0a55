//! The chunks of a body (RFC 9112 section 7.1), as they pass.

use std::ops::Range;

use crate::framing::Violation;
use crate::framing::head::is_token_byte;

/// Where in a chunked body the next byte stands.
#[derive(Debug, Default)]
pub struct Chunks {
    place: Place,
    extension_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataEnd,
    TrailerStart,
    TrailerName,
    Trailer,
    TrailerEnd,
    LastEnd,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

/// How many hexadecimal digits a size may have; more only serves to confuse.
const MAX_DIGITS: u8 = 16;

/// How large a chunk may say it is.
const MAX_SIZE: u64 = 1 << 60;

/// How many bytes of extensions and trailers a body may have.
const MAX_EXTENSION_BYTES: usize = 4096;

/// What the next bytes of a chunked body are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These are data; what stands before them is read past.
    Data(Range<usize>),
    /// The body ended here.
    End(usize),
    /// All are read past, and there is more to come.
    More,
}

impl Chunks {
    /// Reads bytes up to the end of the next data among them. What is returned must not be given again.
    ///
    /// # Errors
    /// `ChunkGrammar`.
    pub fn piece(&mut self, bytes: &[u8]) -> Result<Piece, Violation> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Place::Data { left } = &mut self.place {
                let here = (bytes.len() - at) as u64;
                let taken = here.min(*left);
                *left -= taken;
                if *left == 0 {
                    self.place = Place::DataReturn;
                }
                return Ok(Piece::Data(at..at + usize::try_from(taken).unwrap_or(usize::MAX)));
            }
            at += 1;
            match self.step(byte).ok_or(Violation::ChunkGrammar)? {
                Some(next) => self.place = next,
                None => return Ok(Piece::End(at)),
            }
        }
        Ok(Piece::More)
    }

    /// Reads one byte that is not data: the next place, or `Some(None)` at the end, or nothing on a violation.
    #[expect(clippy::option_option, reason = "outer: is it allowed; inner: is there more")]
    fn step(&mut self, byte: u8) -> Option<Option<Place>> {
        let next = match (self.place, byte) {
            (Place::Size { digits, size }, byte) if byte.is_ascii_hexdigit() && digits < MAX_DIGITS => {
                let digit = char::from(byte).to_digit(16).map(u64::from)?;
                let size = size.checked_mul(16)?.checked_add(digit).filter(|size| *size <= MAX_SIZE)?;
                Place::Size { digits: digits + 1, size }
            }
            (Place::Size { digits: 1.., size }, b';') => Place::Extension { size },
            (Place::Size { digits: 1.., size } | Place::Extension { size }, b'\r') => Place::SizeEnd { size },
            (Place::Extension { size }, byte) if self.is_extension(byte) => Place::Extension { size },
            (Place::SizeEnd { size: 0 } | Place::TrailerEnd, b'\n') => Place::TrailerStart,
            (Place::SizeEnd { size }, b'\n') => Place::Data { left: size },
            (Place::DataReturn, b'\r') => Place::DataEnd,
            (Place::DataEnd, b'\n') => Place::default(),
            (Place::TrailerStart, b'\r') => Place::LastEnd,
            (Place::Trailer, b'\r') => Place::TrailerEnd,
            (Place::TrailerStart | Place::TrailerName, byte) if is_token_byte(byte) && self.is_extension(byte) => {
                Place::TrailerName
            }
            (Place::TrailerName, b':') => Place::Trailer,
            (Place::Trailer, byte) if self.is_extension(byte) => Place::Trailer,
            (Place::LastEnd, b'\n') => return Some(None),
            _ => return None,
        };
        Some(Some(next))
    }

    /// Tells whether the byte may stand in an extension or a trailer, and counts it.
    fn is_extension(&mut self, byte: u8) -> bool {
        self.extension_bytes += 1;
        (byte == b'\t' || byte == b' ' || byte.is_ascii_graphic()) && self.extension_bytes <= MAX_EXTENSION_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::Chunks;
    use super::Piece;
    use crate::framing::Violation;

    /// Reads a body that arrives so many bytes at a time: where it ended, if it did, and its data.
    fn in_pieces(text: &str, size: usize) -> Result<(Option<usize>, Vec<u8>), Violation> {
        let (mut chunks, mut data) = (Chunks::default(), Vec::new());
        for (number, arrived) in text.as_bytes().chunks(size).enumerate() {
            let mut from = 0;
            while from < arrived.len() {
                match chunks.piece(&arrived[from..])? {
                    Piece::Data(range) => {
                        data.extend_from_slice(&arrived[from..][range.clone()]);
                        from += range.end;
                    }
                    Piece::End(end) => return Ok((Some(number * size + from + end), data)),
                    Piece::More => break,
                }
            }
        }
        Ok((None, data))
    }

    fn read(text: &str) -> Result<Option<usize>, Violation> {
        let whole = in_pieces(text, text.len().max(1));
        assert_eq!(whole, in_pieces(text, 1), "{text:?} in one piece and byte by byte");
        whole.map(|(end, _)| end)
    }

    #[test]
    fn chunks_end_at_the_empty_one() {
        for (text, end) in [
            ("0\r\n\r\n", Some(5)),
            ("3\r\nabc\r\n0\r\n\r\nGET", Some(13)),
            ("A;name=value\r\n0123456789\r\n0;x\r\nX-Trailer: 1\r\n\r\n", Some(47)),
            ("3\r\nab", None),
            ("3\r\nabc\r\n", None),
        ] {
            assert_eq!(read(text), Ok(end), "{text:?}");
        }
    }

    #[test]
    fn other_spellings_are_violations() {
        let flood = format!("{}3\r\nabc\r\n", "0".repeat(16));
        let extension = format!("3;{}\r\n", "x".repeat(5000));
        for text in [
            "3\nabc\r\n",
            "3\r\nabc\n",
            "3\r\nabcd\r\n",
            " 3\r\nabc\r\n",
            "3 \r\nabc\r\n",
            "0x3\r\nabc\r\n",
            "+3\r\nabc\r\n",
            "-1\r\n",
            "\r\n",
            "g\r\n",
            "3;a\nb\r\nabc\r\n",
            "3;a\0\r\nabc\r\n",
            "FFFFFFFFFFFFFFFFF\r\n",
            "FFFFFFFFFFFFFFFF\r\n",
            "0\r\n\n",
            "0\n\r\n",
            "0\r\nX: a\n\r\n",
            "0\r\n: a\r\n\r\n",
            "0\r\nT\r\n\r\n",
            "0\r\nT : a\r\n\r\n",
            &flood,
            &extension,
        ] {
            assert_eq!(read(text), Err(Violation::ChunkGrammar), "{text:?}");
        }
    }
}

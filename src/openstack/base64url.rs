//! Base64url without padding (RFC 7515 section 2), where every byte string has exactly one spelling.

/// Returns the bytes; nothing for padding, spaces, other letters or bits that would be thrown away.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    // one letter alone is no byte
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut bits) = (0_u16, 0_u16);
    for letter in text.bytes() {
        held = (held << 6) | sextet(letter)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (held == 0).then_some(bytes)
}

fn sextet(letter: u8) -> Option<u16> {
    match letter {
        b'A'..=b'Z' => Some(u16::from(letter - b'A')),
        b'a'..=b'z' => Some(u16::from(letter - b'a') + 26),
        b'0'..=b'9' => Some(u16::from(letter - b'0') + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn every_length_is_read() {
        for (text, bytes) in [
            ("", &[][..]),
            ("AA", &[0]),
            ("_w", &[255]),
            ("Zm8", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg", b"foob"),
            ("-_-_", &[0xfb, 0xff, 0xbf]),
            ("____", &[255, 255, 255]),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn only_one_spelling_is_read() {
        for text in
            ["A", "AAAAA", "Zm8=", "Zg==", "=", "Zm+v", "Zm/v", "Zm 9v", "Zm9v\n", "Zh", "Zm9", "AB", "\u{e4}A", "A."]
        {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}

//! Base64, the two alphabets that tokens and PEM files need.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Returns the bytes in the alphabet for URLs, without padding.
pub fn url(bytes: &[u8]) -> String {
    encode(bytes, URL)
}

/// Returns a PEM block of the bytes.
pub fn pem(label: &str, bytes: &[u8]) -> String {
    let mut text = encode(bytes, STANDARD);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    let mut block = format!("-----BEGIN {label}-----\n");
    for (place, letter) in text.chars().enumerate() {
        if place > 0 && place % 64 == 0 {
            block.push('\n');
        }
        block.push(letter);
    }
    block + &format!("\n-----END {label}-----\n")
}

fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for three in bytes.chunks(3) {
        let mut group = 0_u32;
        for place in 0..3 {
            group = group << 8 | u32::from(three.get(place).copied().unwrap_or_default());
        }
        for place in 0..=three.len() {
            let sextet = usize::try_from(group >> (18 - 6 * place) & 63).unwrap_or_default();
            // a sextet is below 64
            text.push(char::from(alphabet.get(sextet).copied().unwrap_or_default()));
        }
    }
    text
}

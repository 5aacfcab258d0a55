//! How hostile bytes are written.
//!
//! The bytes of a request are written with placeholders, which `Stage::bytes` fills in:
//!
//! | placeholder | stands for |
//! |---|---|
//! | `«target»`, `«image»`, `«member»` | the member's resource, its image, its member |
//! | `«token»`, `«owner»`, `«stranger»` | tokens of the member, the owner, a stranger |
//! | `«put»`, `«get»` | the head of an update or of a list, without its end |
//! | `«json»`, `«update»` | a good body of 22 bytes; a whole good update |
//! | `«hidden»` | a good update that must never be run: its query says `hidden` |
//! | `«#hidden»`, `«#x:hidden»` | how long that is, in decimal and hexadecimal digits |
//! | `«xE9»` | that byte |
//! | `«text*3»` | the text three times; `~` in it is a line end |

use crate::scene::ACCEPT;

/// Fills in the placeholders that need no scene.
pub fn filled(template: &str) -> Vec<u8> {
    fill(template, &|_| None)
}

/// Fills in the placeholders, those first that are known.
pub fn fill(template: &str, known: &dyn Fn(&str) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('«') {
        let (name, after) = after.split_once('»').expect("an end");
        bytes.extend_from_slice(before.as_bytes());
        bytes.extend(known(name).or_else(|| plain(name)).unwrap_or_else(|| panic!("{name}: what is that?")));
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn plain(name: &str) -> Option<Vec<u8>> {
    if name == "json" {
        return Some(ACCEPT.into());
    }
    if let Some((text, count)) = name.rsplit_once('*') {
        return Some(text.replace('~', "\r\n").repeat(count.parse().ok()?).into_bytes());
    }
    let digits = name.strip_prefix('x').filter(|digits| digits.len() == 2)?;
    Some(vec![u8::from_str_radix(digits, 16).ok()?])
}

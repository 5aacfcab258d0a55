//! Makes inputs that get past a parser's first check.

use proptest::collection::vec;
use proptest::prelude::Just;
use proptest::prelude::Strategy;
use proptest::prelude::any;
use proptest::prop_oneof;
use proptest::sample::Index;
use proptest::sample::select;

/// Makes pieces and noise.
pub fn mixed(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    vec(piece(pieces), 1..14).prop_map(|pieces| pieces.concat())
}

/// Makes seeds in which a few stretches, most of them empty, are replaced by pieces.
pub fn edited(seeds: Vec<Vec<u8>>, pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![3 => Just(0), 1 => 1..4_usize, 1 => 4..40_usize];
    let edits = vec((any::<Index>(), length, piece(pieces)), 0..4);
    (select(seeds), edits).prop_map(|(mut bytes, edits)| {
        for (at, length, piece) in edits {
            let start = at.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, piece);
        }
        bytes
    })
}

fn piece(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..3),
    ]
}

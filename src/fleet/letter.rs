//! What one gate publishes for the others: a batch of news, or just that it is there.
//!
//! A letter holds no token but its SHA-256, and tokens are too random to be found by their hash.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde::Deserialize;
use serde::Serialize;
use uuid::Uuid;

use crate::fleet::news::News;
use crate::openstack::token::TokenDigest;

/// A letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    v: u64,
    /// Which gate wrote it, by a name that it chose at its start.
    pub from: Uuid,
    /// The how manieth of its letters it is.
    pub number: u64,
    /// When, in milliseconds since 1970 by the sender's clock.
    sent: u64,
    /// Whether the sender has lost news: all that was remembered before may be wrong.
    pub has_lost: bool,
    images: Vec<Uuid>,
    tokens: Vec<String>,
}

/// Why a letter is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// A later gate wrote it, in another version.
    Version,
    /// It is no letter.
    Garbage,
}

#[derive(Deserialize)]
struct Version {
    v: u64,
}

/// The version that is written and read.
const VERSION: u64 = 1;
/// How many news a letter has at most.
pub const MAX_NEWS: usize = 512;
/// How long a letter may be that is read.
const MAX_BYTES: usize = 256 * 1024;

impl Letter {
    /// Writes a letter of what images and tokens there is news of; each is named once.
    pub fn new(from: Uuid, number: u64, has_lost: bool, news: &[News]) -> Self {
        let (mut images, mut tokens, mut has_lost) = (Vec::new(), Vec::new(), has_lost);
        for one in news {
            match one {
                News::Image(image) if !images.contains(image) => images.push(*image),
                News::Token(digest) if !tokens.contains(&digest.to_hex()) => tokens.push(digest.to_hex()),
                News::Image(_) | News::Token(_) => {}
                // gates only tell each other what they have seen themselves; more than that is a loss
                News::User(_) | News::Project(_) | News::AllTokens | News::AllImages => has_lost = true,
            }
        }
        let sent = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self { v: VERSION, from, number, sent: u64::try_from(sent).unwrap_or(u64::MAX), has_lost, images, tokens }
    }

    /// Returns the letter as it is published.
    pub fn encode(&self) -> Vec<u8> {
        // numbers, booleans and lists of texts can be written
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a letter.
    ///
    /// # Errors
    /// Tells why it is not read.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unread> {
        if bytes.len() > MAX_BYTES {
            return Err(Unread::Garbage);
        }
        match serde_json::from_slice::<Version>(bytes) {
            Ok(Version { v: VERSION }) => serde_json::from_slice(bytes).map_err(|_| Unread::Garbage),
            Ok(_) => Err(Unread::Version),
            Err(_) => Err(Unread::Garbage),
        }
    }

    /// Returns what it tells.
    pub fn news(&self) -> Vec<News> {
        let images = self.images.iter().copied().map(News::Image);
        let tokens = self.tokens.iter().filter_map(|hex| TokenDigest::from_hex(hex)).map(News::Token);
        let lost = [News::AllImages, News::AllTokens].into_iter().filter(|_| self.has_lost);
        images.chain(tokens).chain(lost).collect()
    }

    /// Returns how long it took to arrive, as far as both clocks agree.
    pub fn age(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_millis(self.sent))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::Letter;
    use super::Unread;
    use crate::fleet::news::News;
    use crate::openstack::token::TokenDigest;

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let digest = TokenDigest::from_hex(&"ab".repeat(32)).expect("a digest");
        let news = [News::Image(Uuid::nil()), News::Token(digest), News::Image(Uuid::nil())];
        let letter = Letter::new(Uuid::new_v4(), 7, false, &news);
        let read = Letter::decode(&letter.encode()).expect("a letter");
        assert_eq!(read, letter);
        assert_eq!(read.news(), news[..2], "each once");
    }

    #[test]
    fn a_sender_that_has_lost_news_makes_all_be_forgotten() {
        let letter = Letter::new(Uuid::new_v4(), 7, true, &[]);
        assert_eq!(letter.news(), [News::AllImages, News::AllTokens]);
    }

    #[test]
    fn what_is_no_letter_of_this_version_is_not_read() {
        let later = r#"{"v": 2, "from": "somebody", "all": "new"}"#;
        assert_eq!(Letter::decode(later.as_bytes()), Err(Unread::Version));
        for garbage in ["", "[]", "{}", r#"{"v": 1}"#, r#"{"v": 1, "from": "x"}"#, "\u{0}", r#"{"v": -1}"#] {
            assert_eq!(Letter::decode(garbage.as_bytes()), Err(Unread::Garbage), "{garbage}");
        }
        let long = format!("{}{}", " ".repeat(300_000), "{\"v\": 2}");
        assert_eq!(Letter::decode(long.as_bytes()), Err(Unread::Garbage));
    }
}

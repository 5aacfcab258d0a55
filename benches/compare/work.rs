//! What is sent: requests that are ready but for the image they name.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;

/// Which requests are sent.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The folder that `tokens` wrote: member updates with these tokens for these images
    #[arg(long, conflicts_with = "path")]
    pub guarded: Option<PathBuf>,
    /// A plain GET of this path
    #[arg(long)]
    pub path: Option<String>,
}

/// An endless, repeatable sequence of requests.
#[derive(Debug)]
pub struct Work {
    requests: Requests,
    sent: usize,
    dice: u64,
}

#[derive(Debug)]
enum Requests {
    Plain(Vec<u8>),
    /// What stands before the image, the images, and what stands after them: one a token.
    Guarded {
        before: Vec<u8>,
        images: Vec<Vec<u8>>,
        after: Vec<Vec<u8>>,
    },
}

/// The body of every member update.
const BODY: &str = r#"{"status":"accepted"}"#;

impl Work {
    /// Reads what is needed and prepares the requests.
    ///
    /// # Errors
    /// Fails if a file can not be read or nothing was asked for.
    pub fn new(options: &Options) -> io::Result<Self> {
        let requests = match (&options.guarded, &options.path) {
            (Some(folder), _) => guarded(folder)?,
            (None, Some(path)) => {
                Requests::Plain(format!("GET {path} HTTP/1.1\r\nHost: glance\r\nAccept: */*\r\n\r\n").into_bytes())
            }
            (None, None) => return Err(io::Error::other("either --guarded or --path is needed")),
        };
        Ok(Self { requests, sent: 0, dice: 0x2545_f491_4f6c_dd1d })
    }

    /// Returns how many requests it takes until each token and each image was sent once.
    pub fn round(&self) -> usize {
        match &self.requests {
            Requests::Plain(_) => 1000,
            Requests::Guarded { images, after, .. } => images.len().max(after.len()),
        }
    }

    /// Adds the next request: in turn during the first round, then any token with any image.
    pub fn write(&mut self, output: &mut Vec<u8>) {
        let in_turn = self.sent < self.round();
        let turn = self.sent;
        self.sent += 1;
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let dice = self.dice;
        match &self.requests {
            Requests::Plain(request) => output.extend_from_slice(request),
            Requests::Guarded { before, images, after } => {
                output.extend_from_slice(before);
                output.extend_from_slice(pick(images, turn, in_turn, dice >> 32));
                output.extend_from_slice(pick(after, turn, in_turn, dice & 0xffff_ffff));
            }
        }
    }
}

fn pick(list: &[Vec<u8>], turn: usize, in_turn: bool, dice: u64) -> &[u8] {
    let any = usize::try_from(dice).unwrap_or_default();
    let at = if in_turn { turn } else { any };
    list.get(at % list.len().max(1)).map_or(&[], Vec::as_slice)
}

fn guarded(folder: &Path) -> io::Result<Requests> {
    let tokens = fs::read_to_string(folder.join("tokens.txt"))?;
    let images = fs::read_to_string(folder.join("images.txt"))?;
    let after = tokens.lines().filter_map(|line| line.split_once(' ')).map(|(project, token)| {
        format!(
            "/members/{project} HTTP/1.1\r\nHost: glance\r\nAccept: */*\r\nX-Auth-Token: {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
            BODY.len()
        )
        .into_bytes()
    });
    Ok(Requests::Guarded {
        before: b"PUT /v2/images/".to_vec(),
        images: images.lines().map(|image| image.as_bytes().to_vec()).collect(),
        after: after.collect(),
    })
}

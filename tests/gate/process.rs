//! Starts the built binary, reads what it writes, and ends it.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread::JoinHandle;

use serde_json::Value;

use crate::harness::STARTING;
use crate::harness::eventually;

/// The running binary; killed with the test if it has not ended.
pub struct Process {
    child: Mutex<Child>,
    out: Arc<Mutex<Vec<String>>>,
    errors: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// How a process ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub errors: String,
}

impl Process {
    /// Starts the binary with these arguments and with no environment but this one.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_glance-gate"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        let (out, errors) = (Arc::default(), Arc::default());
        let readers = vec![
            read(child.stdout.take().expect("a pipe"), Arc::clone(&out)),
            read(child.stderr.take().expect("a pipe"), Arc::clone(&errors)),
        ];
        Self { child: Mutex::new(child), out, errors, readers }
    }

    /// Runs the binary to its end.
    pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        Self::start(arguments, environment).end().await
    }

    /// Serves with this configuration; returns when both listeners are there, with their addresses.
    pub async fn serve(config: &Path, environment: &[(&str, &str)]) -> (Self, SocketAddr, SocketAddr) {
        let _alone = STARTING.lock().await;
        let process = Self::start(&["serve", "--config", &config.display().to_string()], environment);
        eventually("both listeners are there", || async {
            process.has_ended() || process.listening("main").is_some() && process.listening("admin").is_some()
        })
        .await;
        let address = |listener| process.listening(listener).unwrap_or_else(|| panic!("{:?}", process.errors));
        let (main, admin) = (address("main"), address("admin"));
        (process, main, admin)
    }

    /// Tells it to stop and waits for its end.
    pub async fn terminate(self) -> Ended {
        let id = self.child.lock().expect("no test has failed").id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().expect("kill");
        assert!(told.success());
        self.end().await
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        eventually("the process has ended", || async { self.has_ended() }).await;
        let code = self.child.lock().expect("no test has failed").wait().expect("its end").code();
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        let text = |lines: &Mutex<Vec<String>>| lines.lock().expect("no test has failed").join("\n");
        Ended { code, out: text(&self.out), errors: text(&self.errors) }
    }

    fn has_ended(&self) -> bool {
        self.child.lock().expect("no test has failed").try_wait().expect("a child").is_some()
    }

    fn listening(&self, listener: &str) -> Option<SocketAddr> {
        let lines = self.out.lock().expect("no test has failed");
        lines.iter().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let is_it = line["message"] == "listening" && line["listener"] == listener;
            is_it.then(|| line["address"].as_str()?.parse().ok()).flatten()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn read(pipe: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let line = String::from_utf8_lossy(&line.expect("a pipe")).into_owned();
            lines.lock().expect("no test has failed").push(line);
        }
    })
}

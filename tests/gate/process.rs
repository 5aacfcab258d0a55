//! Starts the built binary, reads what it writes, and ends it.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::net::SocketAddr;
use std::net::TcpListener as Listener;
use std::os::fd::OwnedFd;
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_glance-gate"));
        command
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        Self::spawn(command)
    }

    /// Starts the binary as systemd does: with listeners at the descriptors 3 and 4.
    ///
    /// Descriptors are not inherited but for the first three, so a shell moves these two from its input and its error
    /// output; and `LISTEN_PID` must be the process' own, which only it knows.
    pub fn start_activated(
        arguments: &[&str],
        environment: &[(&str, &str)],
        main: &Listener,
        admin: &Listener,
    ) -> Self {
        let script = "exec 3<&0 4>&2 0</dev/null 2>&1; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_glance-gate")]).args(arguments).env_clear();
        command.envs(environment.iter().copied());
        let copy = |listener: &Listener| OwnedFd::from(listener.try_clone().expect("a descriptor"));
        command.stdin(copy(main)).stderr(copy(admin));
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary");
        let (out, errors) = (Arc::default(), Arc::default());
        let mut readers = vec![read(child.stdout.take().expect("a pipe"), Arc::clone(&out))];
        readers.extend(child.stderr.take().map(|pipe| read(pipe, Arc::clone(&errors))));
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
        let (main, admin) = process.listens().await;
        (process, main, admin)
    }

    /// Waits until both listeners are there; returns their addresses.
    pub async fn listens(&self) -> (SocketAddr, SocketAddr) {
        eventually("both listeners are there", || async {
            self.has_ended() || self.listening("main").is_some() && self.listening("admin").is_some()
        })
        .await;
        let address = |listener| self.listening(listener).unwrap_or_else(|| panic!("{:?}", self.errors));
        (address("main"), address("admin"))
    }

    /// Waits until it has written a line with this message.
    pub async fn says(&self, message: &str) {
        let mark = format!("\"message\":\"{message}\"");
        eventually(message, || async {
            self.out.lock().expect("no test has failed").iter().any(|line| line.contains(&mark))
        })
        .await;
    }

    /// Returns what it has written to standard output so far.
    pub fn written(&self) -> String {
        self.out.lock().expect("no test has failed").join("\n")
    }

    /// Tells it to stop and waits for its end.
    pub async fn terminate(self) -> Ended {
        self.signal("TERM");
        self.end().await
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.lock().expect("no test has failed").id().to_string();
        let told = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill");
        assert!(told.success());
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

//! One mail office under test: the real binary, in a directory of its own, on free ports.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::imap::Imap;
use crate::message::message;
use crate::smtp::Smtp;
use crate::wait;

/// Password of every account of an office under test.
pub const PASSWORD: &str = "correct-horse-7";

/// Path of the binary under test: `$POSTROAD_BINARY`, or what cargo built beside this test (a test
/// lies one folder deeper than a program).
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("POSTROAD_BINARY") {
        return path.into();
    }
    let here = std::env::current_exe().unwrap();
    let deep = here.parent().is_some_and(|folder| folder.ends_with("deps"));
    let target = here.ancestors().nth(if deep { 2 } else { 1 }).unwrap_or(&here);
    let binary = target.join("postroad");
    assert!(binary.exists(), "{} is not built: cargo build -p postroad", binary.display());
    binary
}

/// Runs an admin command on a configuration, with this on its standard input, whatever its end.
pub(crate) fn run_admin(config: &Path, arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let mut child = Command::new(binary())
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input closes it: no failure of the test.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

/// A running process of ours; killed and reaped on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Address of each listener, by its name in `--json`.
    pub listeners: BTreeMap<String, SocketAddr>,
}

impl Process {
    /// Starts the binary with these arguments and waits for the line that tells its listeners.
    /// Diagnostics go to `log`.
    ///
    /// # Panics
    /// If it ends, or prints something else.
    #[must_use]
    pub fn start(arguments: &[&str], log: &Path) -> Self {
        Self::start_by(&mut Command::new(binary()), arguments, log)
    }

    /// The same with a command prepared by the caller (a tracer, limits).
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_by(command: &mut Command, arguments: &[&str], log: &Path) -> Self {
        let log_file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let listeners = serde_json::from_str::<BTreeMap<String, String>>(&line)
            .unwrap_or_else(|error| {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                panic!("no line of listeners ({error}): {line:?}; it said:\n{said}")
            })
            .into_iter()
            .filter_map(|(name, address)| Some((name, address.parse().ok()?)))
            .collect();
        Self { child, listeners }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM, and waits for the end; returns whether it ended well.
    pub fn terminate(&mut self) -> bool {
        self.signal(rustix::process::Signal::TERM);
        self.ended()
    }

    /// Waits for its end; returns whether it ended well.
    ///
    /// # Panics
    /// If it goes on.
    pub fn ended(&mut self) -> bool {
        let child = &mut self.child;
        wait::until("the process to end", || child.try_wait().ok().flatten()).success()
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// If it is not running.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An office of one process: `postroad demo` in a temporary directory.
#[derive(Debug)]
pub struct Office {
    dir: TempDir,
    data: PathBuf,
    wrapper: Vec<String>,
    process: Option<Process>,
}

impl Office {
    /// Starts one with accounts admin@, alice@ and bob@example.test, password [`PASSWORD`].
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("office-").tempdir().unwrap();
        let data = dir.path().join("data");
        Self::start_in(dir, data, &[])
    }

    /// The same with routes to these servers, by domain, and with short times of sending.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_sending(routes: &[(&str, SocketAddr)]) -> Self {
        let mut office = Self::start();
        office.send_by(routes, &[]);
        office
    }

    /// Gives it routes to these servers, short times of sending, and these lines in `[relay]`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn send_by(&mut self, routes: &[(&str, SocketAddr)], relay: &[&str]) {
        let mut lines = vec!["retry = \"200ms\"", "retry_max = \"2s\""];
        lines.extend(relay);
        self.route(routes, &lines);
    }

    /// Gives it routes to these servers, and these lines in `[relay]`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn route(&mut self, routes: &[(&str, SocketAddr)], relay: &[&str]) {
        let relay = relay.join("\n");
        let routes: Vec<String> = routes
            .iter()
            .map(|(domain, host)| format!("[routes.\"{domain}\"]\nhosts = [\"{host}\"]\n"))
            .collect();
        self.configure(&[("mx = false", &relay), ("", &routes.join("\n"))]);
    }

    /// Lets it send to mail exchangers, those of this machine included, with these lines in `[relay]`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn by_exchangers(&mut self, relay: &[&str]) {
        let relay = relay.join("\n");
        let lines = format!("mx = true\nnetworks = [\"127.0.0.0/8\"]\n{relay}");
        self.rewrite("mx = false", &lines);
    }

    /// The same with its data elsewhere, and its process started by `wrapper` (a tracer).
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_at(data: &Path, wrapper: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("office-").tempdir().unwrap();
        Self::start_in(dir, data.to_path_buf(), wrapper)
    }

    fn start_in(dir: TempDir, data: PathBuf, wrapper: &[&str]) -> Self {
        let wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        let mut office = Self { dir, data, wrapper, process: None };
        office.restart();
        office
    }

    /// Starts it again where it was, on new ports.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.process = None;
        let data = self.data();
        let data = data.to_str().unwrap();
        let arguments = ["demo", "--data", data, "--password", PASSWORD, "--ports", "os", "--json"];
        let binary = binary();
        let mut command = match self.wrapper.split_first() {
            None => Command::new(&binary),
            Some((tracer, rest)) => {
                let mut command = Command::new(tracer);
                command.args(rest).arg(&binary);
                command
            }
        };
        self.process = Some(Process::start_by(&mut command, &arguments, &self.log()));
    }

    /// Ends it well, puts these lines behind lines of its configuration, and starts it again: each
    /// is (line that is there, what follows it). A section that is not there goes to the end, with
    /// an empty first.
    ///
    /// # Panics
    /// If there is no such line, or it does not end or start.
    pub fn configure(&mut self, lines: &[(&str, &str)]) {
        if let Some(process) = &mut self.process {
            assert!(process.terminate());
        }
        let config = self.data().join("postroad.toml");
        let mut text = std::fs::read_to_string(&config).unwrap();
        for (line, more) in lines {
            if line.is_empty() {
                text.push_str(&format!("\n{more}\n"));
                continue;
            }
            assert!(text.contains(&format!("\n{line}\n")), "no {line} in {text}");
            text = text.replace(&format!("\n{line}\n"), &format!("\n{line}\n{more}\n"));
        }
        std::fs::write(&config, text).unwrap();
        self.restart();
    }

    /// Ends it well, replaces a line of its configuration, and starts it again.
    fn rewrite(&mut self, line: &str, by: &str) {
        if let Some(process) = &mut self.process {
            assert!(process.terminate());
        }
        let config = self.data().join("postroad.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains(&format!("\n{line}\n")), "no {line} in {text}");
        std::fs::write(&config, text.replace(&format!("\n{line}\n"), &format!("\n{by}\n")))
            .unwrap();
        self.restart();
    }

    /// The store and configuration directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Where its diagnostics go.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// The running process.
    ///
    /// # Panics
    /// If it was killed and not restarted.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Process id of the running process.
    ///
    /// # Panics
    /// If it was killed and not restarted.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().pid()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Address of a listener: `smtp`, `submission`, `submissions`, `imap`, `imaps`, `http`.
    ///
    /// # Panics
    /// If it is not running or has no such listener.
    #[must_use]
    pub fn listener(&self, name: &str) -> SocketAddr {
        let process = self.process.as_ref().unwrap();
        *process.listeners.get(name).unwrap_or_else(|| panic!("no listener {name}"))
    }

    /// A client of the MX listener.
    ///
    /// # Panics
    /// If it does not greet.
    #[must_use]
    pub fn smtp(&self) -> Smtp {
        Smtp::connect(self.listener("smtp")).unwrap()
    }

    /// Alice submits the message of this id to one recipient; the id of its record.
    ///
    /// # Panics
    /// If it is not taken.
    pub fn submit(&self, to: &str, id: &str) -> String {
        let mut smtp = Smtp::connect_tls(self.listener("submissions")).unwrap();
        smtp.login("alice@example.test", PASSWORD).unwrap();
        let text = String::from_utf8(message(id)).unwrap();
        let text = text.replace("ana@sender.test>\r\nTo", "alice@example.test>\r\nTo");
        let reply = smtp.send("alice@example.test", &[to], text.as_bytes()).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
        reply.text().rsplit(' ').next().unwrap().trim().to_owned()
    }

    /// A logged-in client.
    ///
    /// # Panics
    /// If it does not let in.
    #[must_use]
    pub fn imap(&self, user: &str) -> Imap {
        Imap::login(self.listener("imap"), &format!("{user}@example.test"), PASSWORD).unwrap()
    }

    /// Runs an admin command on this office's configuration; returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn admin(&self, arguments: &[&str], input: &str) -> String {
        let output = self.try_admin(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, whatever its end.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn try_admin(&self, arguments: &[&str], input: &str) -> Output {
        run_admin(&self.data().join("postroad.toml"), arguments, input)
    }

    /// Waits until a mailbox has so many messages, then returns them.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn wait_for(&self, user: &str, mailbox: &str, count: usize) -> Vec<(u32, Vec<u8>)> {
        let mut imap = self.imap(user);
        wait::until(&format!("{count} messages in {mailbox} of {user}"), || {
            (imap.select(mailbox).unwrap() >= count).then_some(())
        });
        imap.messages().unwrap()
    }

    /// Fails if its diagnostics hold an ERROR, a WARN that was not announced, or a panic.
    ///
    /// # Panics
    /// With the lines that were not expected.
    pub fn assert_quiet(&self, announced: &[&str]) {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let loud: Vec<&str> = log
            .lines()
            .filter(|line| ["ERROR", "WARN", "panicked"].iter().any(|word| line.contains(word)))
            .filter(|line| !announced.iter().any(|part| line.contains(part)))
            .collect();
        assert!(loud.is_empty(), "unannounced diagnostics:\n{}", loud.join("\n"));
    }
}

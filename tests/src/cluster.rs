//! Several processes on one store, each with roles of its own: an office split over processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::office::{PASSWORD, Process, run_admin};

/// Listeners of an edge, all on ports that the system chooses.
const LISTENERS: [&str; 6] = ["smtp", "submission", "submissions", "imap", "imaps", "http"];

/// Processes that share one store directory.
#[derive(Debug)]
pub struct Cluster {
    dir: TempDir,
    /// More sections of every configuration.
    more: String,
    processes: BTreeMap<&'static str, (String, Option<Process>)>,
}

impl Cluster {
    /// Starts processes of these names and roles (as the configuration writes them), with accounts
    /// alice@ and bob@example.test, password [`PASSWORD`].
    ///
    /// # Panics
    /// If one does not start.
    #[must_use]
    pub fn start(processes: &[(&'static str, &str)]) -> Self {
        Self::start_with(processes, "")
    }

    /// The same with these sections in every configuration.
    ///
    /// # Panics
    /// If one does not start.
    #[must_use]
    pub fn start_with(processes: &[(&'static str, &str)], more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("cluster-").tempdir().unwrap();
        let mut cluster = Self { dir, more: more.to_owned(), processes: BTreeMap::new() };
        for (name, roles) in processes {
            let quoted: Vec<String> = roles.split(' ').map(|role| format!("\"{role}\"")).collect();
            cluster.processes.insert(name, (quoted.join(", "), None));
            cluster.configure(name);
        }
        let (first, _) = processes[0];
        cluster.admin(first, &["domain", "add", "example.test"], "");
        for user in ["alice", "bob"] {
            let address = format!("{user}@example.test");
            cluster.admin(first, &["account", "add", &address], &format!("{PASSWORD}\n"));
        }
        for (name, _) in processes {
            cluster.restart(name);
        }
        cluster
    }

    fn configure(&self, name: &str) {
        let (roles, _) = &self.processes[name];
        let mut text = format!(
            "[office]\nhostname = \"mail.example.test\"\nedge = \"{name}\"\nroles = [{roles}]\n\n\
             [store]\ndirectory = \"store\"\n\n[limits]\ntrusted = [\"127.0.0.0/8\"]\n\n\
             [policy]\nspf = \"off\"\ndkim = false\ndmarc = \"off\"\narc = false\n\
             reverse = false\n\n[timing]\nsweep = \"1s\"\n\n{}\n",
            self.more
        );
        if roles.contains("smtp") {
            for listener in LISTENERS {
                text.push_str(&format!("\n[listeners.{listener}]\naddress = \"127.0.0.1:0\"\n"));
            }
        }
        std::fs::write(self.config(name), text).unwrap();
    }

    /// Configuration file of a process.
    #[must_use]
    pub fn config(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.toml"))
    }

    /// Where all of them write their diagnostics.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Starts a process, again if it runs.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self, name: &str) {
        let config = self.config(name);
        let log = self.log();
        let (_, process) = self.processes.get_mut(name).unwrap();
        *process = None;
        let arguments = ["serve", "--json", "--config", config.to_str().unwrap()];
        *process = Some(Process::start(&arguments, &log));
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn kill(&mut self, name: &str) {
        self.processes.get_mut(name).unwrap().1 = None;
    }

    /// Address of a listener of a running process.
    ///
    /// # Panics
    /// If it does not run or has no such listener.
    #[must_use]
    pub fn listener(&self, name: &str, listener: &str) -> SocketAddr {
        self.processes[name].1.as_ref().unwrap().listeners[listener]
    }

    /// Runs an admin command on this store; returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn admin(&self, name: &str, arguments: &[&str], input: &str) -> String {
        let output = run_admin(&self.config(name), arguments, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

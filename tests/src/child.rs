//! A server in a process of its own, which can be killed.

use lapel_client::Client;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest between a broken connection and the end of the process.
const END_MAX: Duration = Duration::from_secs(10);

/// A server in a child process; dropping it kills it.
pub struct ChildServer {
    child: Child,
    /// Where it listens.
    pub address: String,
    /// Where its probes are, if they were asked for.
    pub probes: Option<SocketAddr>,
    /// A connection to it.
    pub client: Client,
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        // SIGKILL: no destructor runs, nothing is flushed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ChildServer {
    /// Starts `program` (the crate's `lapel-child-server`) on a folder.
    pub async fn start(program: &str, folder: &Path, arguments: &[String]) -> Self {
        let mut child = Command::new(program)
            .arg(folder)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child process");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (mut address, mut probes) = (None, None);
        for line in lines.map_while(Result::ok) {
            if let Some((_, told)) = line.split_once("PROBES ") {
                probes = Some(told.parse().expect("an address"));
            }
            address = line.split_once("LISTENING ").map(|(_, told)| told.to_owned());
            if address.is_some() {
                break;
            }
        }
        let address = address.expect("the child listens");
        Self { client: Client::connect(&address).await.expect("connects"), address, probes, child }
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits until it has ended by itself; false when it goes on. Its connections break some time before the system says
    /// that it is gone.
    pub async fn ends(&mut self) -> bool {
        let start = Instant::now();
        while !self.has_ended() {
            if start.elapsed() > END_MAX {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Kills it.
    pub fn kill(self) {
        drop(self);
    }
}

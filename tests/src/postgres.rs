//! A PostgreSQL server for tests: a real one, in a temporary folder, reached by a socket in it. Knows no table.
//!
//! A test that needs a server of its own, to stop it say, starts one; all others share one, each with a database of
//! its own. `tests/run` starts the shared one for all processes; a test that is run by itself starts its own.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::Process;
use crate::wait;

/// Names the url of the server that tests share, or `skip` where there can be none.
pub const SHARED: &str = "BULKHEAD_TEST_POSTGRES";

/// The one who may do all in it. There is no password: only who can open the socket gets in.
const SUPERUSER: &str = "bulkhead";

/// A server, ended with its drop where it was started here.
pub struct Postgres {
    url: String,
    own: Option<Own>,
}

/// A server of this process.
struct Own {
    root: TempDir,
    settings: Vec<String>,
    port: Option<u16>,
    running: Mutex<Option<Running>>,
}

/// The server's process, and the thread that waits for its end.
struct Running {
    process: Process,
    waiting: JoinHandle<()>,
}

impl Postgres {
    /// Whether there can be none here; says so.
    pub fn is_skipped() -> bool {
        let is_skipped = std::env::var(SHARED).is_ok_and(|it| it == "skip");
        if is_skipped {
            eprintln!("SKIPPED: there is no PostgreSQL here ({SHARED}=skip)");
        }
        is_skipped
    }

    /// The server that tests share, which nobody may stop; `None`, aloud, where there can be none.
    pub fn shared() -> Option<&'static Self> {
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        if Self::is_skipped() {
            return None;
        }
        let from = |url| Self { url, own: None };
        Some(
            SERVER
                .get_or_init(|| std::env::var(SHARED).map_or_else(|_| Self::start_shared(), from)),
        )
    }

    /// The server that tests are to share. Nobody stops it, so nothing is lost with what it does not bring to disk.
    pub fn start_shared() -> Self {
        Self::start_with(&["fsync=off"])
    }

    /// A server of its own, on a socket.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with settings: `fsync=off`, say.
    pub fn start_with(settings: &[&str]) -> Self {
        Self::create(settings, None)
    }

    /// The same, which listens on a port of 127.0.0.1 besides, see [`Self::tcp_url`]. Each of `files` is put into
    /// the folder of its data, where a setting can name it: a certificate and its key, say.
    pub fn start_on_tcp(settings: &[&str], files: &[(&str, &[u8])]) -> Self {
        let port = free_port();
        let server = Self::create_stopped(settings, Some(port));
        let data = server.own().data();
        for (name, bytes) in files {
            fs::write(data.join(name), bytes).unwrap();
            fs::set_permissions(data.join(name), Permissions::from_mode(0o600)).unwrap();
        }
        give(&data);
        server.resume();
        server
    }

    /// The url of its maintenance database, by the socket.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The same, by the port.
    pub fn tcp_url(&self) -> String {
        let port = self.own().port.expect("it listens on one");
        format!("postgres://{SUPERUSER}@127.0.0.1:{port}/postgres")
    }

    /// A new database, by its url. It is gone when another is made and this process is no more.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        self.tidy();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let (process, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let name = format!("test_{process}_{next}_{}", now.as_micros());
        self.query(&format!("CREATE DATABASE {name}"));
        let base = self.url.strip_suffix("/postgres");
        format!("{}/{name}", base.expect("it ends like that"))
    }

    /// Each database takes several megabytes.
    fn tidy(&self) {
        let all = self.query("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'");
        let process = |name: &str| Some(Process(name.split('_').nth(1)?.parse().ok()?));
        let is_left = |name: &&str| process(name).is_some_and(|it| !it.is_alive());
        for name in all.lines().filter(is_left) {
            // Somebody else may be at it.
            try_query(
                &self.url,
                &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            );
        }
    }

    /// What the maintenance database says to this, a line a row.
    pub fn query(&self, sql: &str) -> String {
        query(&self.url, sql)
    }

    /// Ends the server, as an operator does: connections are cut.
    pub fn stop(&self) {
        self.end(Signal::INT);
    }

    /// Kills the server, as a loss of power does.
    pub fn kill(&self) {
        self.end(Signal::KILL);
    }

    /// Starts the server again, with the data that it had.
    pub fn resume(&self) {
        let own = self.own();
        *own.running() = Some(own.run());
        wait::until("PostgreSQL to take connections", || {
            let answer = try_query(&self.url, "SELECT 1");
            answer.status.success().then_some(())
        });
    }

    fn create(settings: &[&str], port: Option<u16>) -> Self {
        let server = Self::create_stopped(settings, port);
        server.resume();
        server
    }

    fn create_stopped(settings: &[&str], port: Option<u16>) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let host = root
            .path()
            .to_str()
            .expect("it is plain")
            .replace('/', "%2F");
        let own = Own {
            root,
            settings: settings.iter().map(|it| (*it).to_owned()).collect(),
            port,
            running: Mutex::default(),
        };
        own.init();
        // The socket has the number of the port in its name, whether there is one or not.
        let at_port = port.map_or_else(String::new, |port| format!(":{port}"));
        let url = format!("postgres://{SUPERUSER}@{host}{at_port}/postgres");
        Self {
            url,
            own: Some(own),
        }
    }

    fn own(&self) -> &Own {
        let own = self.own.as_ref();
        own.expect("a server that others use is not touched")
    }

    fn end(&self, signal: Signal) {
        let running = self.own().running().take();
        let running = running.expect("it runs");
        let served = running.process.children();
        running.process.signal(signal);
        if signal == Signal::KILL {
            // Those that serve connections go on until they notice.
            served.iter().for_each(|process| process.signal(signal));
        }
        running.waiting.join().unwrap();
        wait::until("its processes to end", || {
            let is_over = !served.iter().any(|process| process.is_alive());
            is_over.then_some(())
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let running = self.own.as_ref().and_then(|own| own.running().take());
        if let Some(running) = running {
            // At once: its data are gone the moment after.
            running.process.signal(Signal::QUIT);
            let _ = running.waiting.join();
        }
    }
}

impl Own {
    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn init(&self) {
        for folder in [self.root.path(), &self.data()] {
            fs::create_dir_all(folder).unwrap();
            give(folder);
        }
        let mut command = as_its_user("initdb", &[]);
        command.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust"]);
        command.args(["--username", SUPERUSER, "--pgdata"]);
        let output = command
            .arg(self.data())
            .current_dir("/")
            .output()
            .expect("PostgreSQL is installed, or BULKHEAD_TEST_POSTGRES=skip");
        assert!(output.status.success(), "{output:?}");
    }

    fn run(&self) -> Running {
        let mut command = as_its_user("postgres", &["--pdeathsig", "QUIT"]);
        command.arg("-D").arg(self.data());
        command.arg("-k").arg(self.root.path());
        for setting in ["max_connections=300", "log_min_messages=fatal"] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        match self.port {
            Some(port) => command
                .args(["-c", "listen_addresses=127.0.0.1", "-c"])
                .arg(format!("port={port}")),
            None => command.args(["-c", "listen_addresses="]),
        };
        Running::start(command, self.root.path())
    }
}

impl Running {
    /// The signal of a parent's death comes with the death of the thread that started the child: so that thread stays.
    fn start(mut command: Command, root: &Path) -> Self {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(root.join("log"))
            .unwrap();
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let (sender, started) = mpsc::channel();
        let waiting = thread::spawn(move || {
            let mut child: Child = command.spawn().unwrap();
            sender.send(child.id()).unwrap();
            child.wait().unwrap();
        });
        let id = started.recv().expect("it was started");
        let process = Process(i32::try_from(id).expect("ids are small"));
        Self { process, waiting }
    }
}

/// One that nobody listens on, by now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What the database of this url says to this, a line a row.
///
/// # Panics
/// When it does not like it.
pub fn query(url: &str, sql: &str) -> String {
    let output = try_query(url, sql);
    assert!(output.status.success(), "{sql}: {output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

fn try_query(url: &str, sql: &str) -> Output {
    let mut command = Command::new(program("psql"));
    command.args([
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--set=ON_ERROR_STOP=1",
    ]);
    command
        .args(["--command", sql, "--dbname", url])
        .output()
        .unwrap()
}

/// The server refuses to be root: it runs as the user that it is installed with, or as nobody.
fn as_its_user(name: &str, options: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = its_user() {
        command
            .args(["--clear-groups", "--reuid", user, "--regid"])
            .arg(group_of(user));
    }
    command.args(options).arg(program(name));
    command
}

/// Whose the server's files must be; nobody else's than ours where we are not root.
fn its_user() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let is_there = |user: &&str| id("-u", user).is_some();
    ["postgres", "nobody"].into_iter().find(is_there)
}

fn group_of(user: &str) -> String {
    id("-g", user).expect("a user has one")
}

fn id(what: &str, user: &str) -> Option<String> {
    let output = Command::new("id").args([what, user]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.trim().to_owned())
}

/// Makes a folder and what is in it that user's.
fn give(folder: &Path) {
    if let Some(user) = its_user() {
        let mut command = Command::new("chown");
        assert!(
            command
                .args(["-R", user])
                .arg(folder)
                .status()
                .unwrap()
                .success()
        );
    }
}

/// Debian keeps the server's programs beside the path; the latest are taken.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = versions
        .map(|it| it.path())
        .filter(|it| it.join("bin").join(name).exists());
    let latest = found.max_by_key(version);
    latest.map_or_else(|| name.into(), |path| path.join("bin").join(name))
}

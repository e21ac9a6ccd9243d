//! What the system knows of a process: the daemon under test, and its workers.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A process, by its id. It may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub i32);

impl Process {
    /// Whether it still is one; a zombie is none.
    pub fn is_alive(self) -> bool {
        self.field("State")
            .is_some_and(|state| !state.starts_with('Z'))
    }

    /// A line of its status, by the name that stands before the colon.
    pub fn field(self, name: &str) -> Option<String> {
        let status = self.read("status")?;
        let mut fields = status.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(found, _)| *found == name)?;
        Some(value.trim().to_owned())
    }

    /// A number of its status.
    pub fn number(self, name: &str) -> u64 {
        let field = self.field(name);
        let number = field
            .as_deref()
            .and_then(|it| it.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("process {}: {name} is {field:?}", self.0))
    }

    /// The bytes of memory that are its own.
    pub fn resident(self) -> u64 {
        self.number("VmRSS") << 10
    }

    /// The processor time that it has spent, all its threads together.
    pub fn spent(self) -> Duration {
        let line = self.read("stat").unwrap_or_default();
        // The name before them may hold anything.
        let fields = line.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let times = fields.split(' ').skip(11).take(2);
        let ticks: u64 = times.filter_map(|it| it.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// How many threads it has.
    pub fn threads(self) -> u64 {
        self.number("Threads")
    }

    /// What its open descriptors lead to.
    pub fn descriptors(self) -> Vec<String> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.0));
        let open = open.into_iter().flatten().flatten();
        let links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.map(|link| link.display().to_string()).collect()
    }

    /// The number that its next descriptor will have.
    pub fn free_descriptor(self) -> u64 {
        let is_open =
            |number: &u64| fs::symlink_metadata(format!("/proc/{}/fd/{number}", self.0)).is_ok();
        let mut numbers = 0..;
        numbers
            .find(|number| !is_open(number))
            .expect("there is no end to numbers")
    }

    /// The sockets among them.
    pub fn sockets(self) -> BTreeSet<String> {
        let open = self.descriptors().into_iter();
        open.filter(|link| link.starts_with("socket:")).collect()
    }

    /// The files that it has mapped into its memory.
    pub fn mapped(self) -> String {
        self.read("maps").unwrap_or_default()
    }

    /// Its children that still run.
    pub fn children(self) -> Vec<Self> {
        let (alive, _) = self.family();
        alive
    }

    /// Its children that have ended and that nobody has asked for.
    pub fn zombies(self) -> Vec<Self> {
        let (_, zombies) = self.family();
        zombies
    }

    /// Sends it a signal; it may have ended already.
    pub fn signal(self, signal: Signal) {
        let _ = kill_process(Pid::from_raw(self.0).expect("a process has an id"), signal);
    }

    /// Has it stand still, all its threads: the first to hear of the signal tells the others.
    pub fn stop(self) {
        self.signal(Signal::STOP);
        wait::until("it to stand still", || {
            let state = self.field("State")?;
            state.starts_with('T').then_some(())
        });
    }

    fn family(self) -> (Vec<Self>, Vec<Self>) {
        let parent = self.0.to_string();
        let all = fs::read_dir("/proc").unwrap().flatten();
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Self));
        let children = all.filter(|it| it.field("PPid").as_ref() == Some(&parent));
        children.partition(|child| child.is_alive())
    }

    fn read(self, file: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).ok()
    }
}

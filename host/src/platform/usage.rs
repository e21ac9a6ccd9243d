//! What this process takes of the system, as proc(5) tells it.

/// What this process takes; nothing in a field where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUsage {
    /// Seconds of processor time, of the process and the system for it.
    pub cpu_seconds: Option<f64>,
    /// Bytes of address space.
    pub virtual_memory: Option<u64>,
    /// Bytes that are in memory.
    pub resident_memory: Option<u64>,
    /// When it was started, in seconds of the Unix epoch.
    pub started: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open descriptors.
    pub open_fds: Option<u64>,
    /// The most of them that there may be.
    pub max_fds: Option<u64>,
}

impl ProcessUsage {
    /// As of now.
    #[cfg(target_os = "linux")]
    pub fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let mut usage = parse(&text("/proc/self/stat"), &text("/proc/stat"));
        let fds = std::fs::read_dir("/proc/self/fd");
        // The one that reads the folder is among them.
        usage.open_fds = fds.ok().map(|fds| (fds.count() as u64).saturating_sub(1));
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        usage.max_fds = limit.current;
        usage
    }

    /// The system does not tell.
    #[cfg(not(target_os = "linux"))]
    pub fn read() -> Self {
        Self::default()
    }
}

/// The name of the program comes second, in brackets, and may have anything in it: fields are counted after it.
#[cfg(target_os = "linux")]
fn parse(stat: &str, system: &str) -> ProcessUsage {
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, fields)| fields)
        .split_ascii_whitespace()
        .collect();
    // proc(5) counts from 1, and two are left out.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let booted = system
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    ProcessUsage {
        cpu_seconds: field(14)
            .zip(field(15))
            .map(|(user, system)| (user + system) as f64 / ticks),
        virtual_memory: field(23),
        resident_memory: field(24).map(|pages| pages * rustix::param::page_size() as u64),
        started: field(22)
            .zip(booted)
            .map(|(after, booted)| booted + after as f64 / ticks),
        threads: field(20),
        open_fds: None,
        max_fds: None,
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_no_field() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 200 100 0 0 20 0 5 0 300 4096 2 x";
        let usage = parse(stat, "cpu 1\nbtime 1000\n");
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(usage.cpu_seconds, Some(300.0 / ticks));
        assert_eq!((usage.threads, usage.virtual_memory), (Some(5), Some(4096)));
        assert_eq!(usage.started, Some(1000.0 + 300.0 / ticks));
        let pages = rustix::param::page_size() as u64;
        assert_eq!(usage.resident_memory, Some(2 * pages));
        assert_eq!(parse("", "").threads, None);
    }

    #[test]
    fn this_process_takes_something() {
        let usage = ProcessUsage::read();
        assert!(usage.resident_memory.unwrap() > 1 << 20, "{usage:?}");
        assert!(
            usage.open_fds.unwrap() >= 3 && usage.threads.unwrap() >= 1,
            "{usage:?}"
        );
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let age = now.unwrap().as_secs_f64() - usage.started.unwrap();
        assert!((-2.0..24.0 * 3600.0).contains(&age), "{usage:?}");
    }
}

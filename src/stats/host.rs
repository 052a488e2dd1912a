//! Processor and memory: this process's and the whole machine's.

use std::{fs, num::NonZero, thread};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// What a look at the machine found. The first look has no processor time to compare with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// This process's part of what it may use, 0 to 1.
    pub process: Option<f64>,
    /// The machine's part in use, 0 to 1. In a container that is the node.
    pub system: Option<f64>,
    /// Processor time of this process since it began.
    pub process_seconds: f64,
    /// Bytes of this process in memory.
    pub memory: u64,
}

/// Looks at the machine again and again.
#[derive(Debug)]
pub struct Host {
    /// `None` where sysinfo knows nothing of the system.
    system: Option<System>,
    pid: Option<Pid>,
    cpus: f64,
}

impl Host {
    pub fn new() -> Self {
        Self { system: System::new().ok(), pid: sysinfo::get_current_pid().ok(), cpus: cpu_limit() }
    }

    /// How many processors this process may use: the container's limit, or all.
    pub const fn cpus(&self) -> f64 {
        self.cpus
    }

    /// Looks. What it finds is about the time since the last look, which should be a second or
    /// more.
    pub fn look(&mut self) -> Load {
        let (Some(system), Some(pid)) = (&mut self.system, self.pid) else {
            return Load::default();
        };
        let first = system.cpus().is_empty();
        system.refresh_cpu_usage();
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[pid]),
            false,
            ProcessRefreshKind::nothing().with_cpu().with_memory(),
        );
        let Some(process) = system.process(pid) else { return Load::default() };
        let percent_of_one = f64::from(process.cpu_usage());
        Load {
            process: (!first).then(|| (percent_of_one / 100.0 / self.cpus).min(1.0)),
            system: (!first).then(|| f64::from(system.global_cpu_usage()) / 100.0),
            process_seconds: process.accumulated_cpu_time() as f64 / 1_000.0,
            memory: process.memory(),
        }
    }
}

/// The container's limit on processor time, else the number of processors.
fn cpu_limit() -> f64 {
    let all =
        thread::available_parallelism().map_or(1.0, |count: NonZero<usize>| count.get() as f64);
    let read = |file: &str| fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok();
    let version_2 = read("cpu.max").and_then(|text| {
        let (quota, period) = text.trim().split_once(' ')?;
        parts(quota, period)
    });
    let version_1 = || parts(&read("cpu/cpu.cfs_quota_us")?, &read("cpu/cpu.cfs_period_us")?);
    version_2.or_else(version_1).unwrap_or(all)
}

/// Processor time that may be used, as a part of one processor. `None` for no limit, which is `max`
/// in version 2 and -1 in version 1.
fn parts(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.trim().parse().ok()?;
    let period: f64 = period.trim().parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_in_the_words_of_both_versions() {
        assert_eq!(parts("50000", "100000"), Some(0.5));
        assert_eq!(parts("400000\n", "100000\n"), Some(4.0));
        assert_eq!(parts("max", "100000"), None);
        assert_eq!(parts("-1", "100000"), None);
    }

    #[test]
    fn a_busy_process_is_seen() {
        let mut host = Host::new();
        // Until the system's clock ticks for it, a process has used nothing.
        let seen = (0..100).map(|_| busy_look(&mut host)).find(|load| load.process > Some(0.0));
        let load = seen.unwrap();
        assert!(load.process <= Some(1.0), "{load:?}");
        assert!(load.memory > 1 << 20, "{load:?}");
    }

    fn busy_look(host: &mut Host) -> Load {
        let begun = std::time::Instant::now();
        while begun.elapsed() < sysinfo::MINIMUM_CPU_UPDATE_INTERVAL {
            std::hint::black_box(0);
        }
        host.look()
    }
}

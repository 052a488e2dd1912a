//! The signals that stop the process: SIGTERM, SIGINT, SIGQUIT and SIGHUP.

use std::{fs, future::pending, io};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    /// `None` if the process was started with it ignored, as by nohup, to outlive its terminal.
    hangup: Option<Signal>,
    /// The number of stop requests. Hangups do not count: when a terminal closes, the kernel sends
    /// one, the shell another, and a session manager SIGTERM as well.
    asked: u32,
}

impl StopSignals {
    /// # Errors
    /// If the system does not let the process handle them.
    pub fn listen() -> io::Result<Self> {
        let hangup = SignalKind::hangup();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: if is_ignored(hangup) { None } else { Some(signal(hangup)?) },
            asked: 0,
        })
    }

    /// Waits for the next signal.
    pub async fn stop(&mut self) {
        let Self { terminate, interrupt, quit, hangup, asked } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => *asked += 1,
            _ = interrupt.recv() => *asked += 1,
            _ = quit.recv() => *asked += 1,
            _ = hung_up => {}
        }
    }

    /// Waits for the second stop request.
    pub async fn stop_at_once(&mut self) {
        while self.asked < 2 {
            self.stop().await;
        }
    }
}

/// Whether the process was started with a signal ignored. Only Linux reports it.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

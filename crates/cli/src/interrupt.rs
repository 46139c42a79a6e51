//! Signals of the system that end a run: Ctrl-C, SIGTERM, SIGHUP, and on Windows a console that is closed.

use std::sync::{
    Arc,
    atomic::{AtomicI32, Ordering},
};

/// Said at the first signal.
const SAVING: &str = "\ninterrupted: saving a checkpoint; once more ends the program at once";

/// A signal that asked this process to end, if one came.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<AtomicI32>);

impl Interrupt {
    /// Listens for signals from now on: the first is noted, the second ends the process.
    ///
    /// # Errors
    ///
    /// If the system does not allow it.
    pub fn listen() -> std::io::Result<Self> {
        let interrupt = Self::default();
        system::listen(interrupt.clone())?;
        Ok(interrupt)
    }

    /// Notes a signal by its number.
    fn receive(&self, signal: i32) {
        if self.0.swap(signal, Ordering::Relaxed) != 0 {
            std::process::exit(128 + signal);
        }
        say_err!("{SAVING}");
    }

    /// Whether a signal came.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Returns the exit code of a process that a signal ended, as a shell has it: 130 for Ctrl-C.
    pub fn exit_code(&self) -> i32 {
        128 + self.0.load(Ordering::Relaxed)
    }
}

/// Makes a write beyond a limit on a file's size (`ulimit -f`) an error, as one on a full disk is, rather than the end of the process.
///
/// # Errors
///
/// If the system does not allow it.
pub fn survive_size_limits() -> std::io::Result<()> {
    system::survive_size_limits()
}

#[cfg(unix)]
mod system {
    use std::sync::{Arc, atomic::AtomicBool};

    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
        iterator::Signals,
    };

    use super::Interrupt;

    pub fn listen(interrupt: Interrupt) -> std::io::Result<()> {
        // What whoever started the process has it ignore stays ignored: `nohup`, or a job in the background of a script.
        let signals = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
        let mut signals = Signals::new(signals)?;
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            signals.forever().for_each(|signal| interrupt.receive(signal));
        })?;
        Ok(())
    }

    pub fn survive_size_limits() -> std::io::Result<()> {
        // With any handler, the write itself returns an error.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
    }

    /// Whether a signal is ignored by this process.
    fn is_ignored(signal: i32) -> bool {
        // SAFETY: a null action changes nothing, and `now` is written before it is read; an all-zero `sigaction` is a valid one.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::Interrupt;

    /// Number of Ctrl-C.
    const SIGINT: i32 = 2;

    pub fn listen(interrupt: Interrupt) -> std::io::Result<()> {
        ctrlc::set_handler(move || interrupt.receive(SIGINT)).map_err(std::io::Error::other)
    }

    pub fn survive_size_limits() -> std::io::Result<()> {
        Ok(())
    }
}

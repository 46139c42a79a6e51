//! Choice of the kernels that run on a GPU.

use std::sync::{
    OnceLock,
    atomic::{AtomicU8, Ordering},
};

/// Kernels that run on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelPolicy {
    /// This project's WGSL where it can run and is worthwhile, burn's operations elsewhere.
    Auto,
    /// burn's operations everywhere.
    Composed,
    /// This project's WGSL where it can run, even where burn's operations are faster.
    Wgsl,
}

impl KernelPolicy {
    const ALL: [Self; 3] = [Self::Auto, Self::Composed, Self::Wgsl];

    /// Parses `auto`, `composed` or `wgsl`; returns `None` for any other word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "composed" => Some(Self::Composed),
            "wgsl" => Some(Self::Wgsl),
            _ => None,
        }
    }
}

/// Policy of the process, as an index into [`KernelPolicy::ALL`].
static POLICY: AtomicU8 = AtomicU8::new(0);

/// Returns the policy of this process: the one that was set, else the environment variable `LORELEI_KERNELS`, else `Auto`.
pub fn kernel_policy() -> KernelPolicy {
    static ENVIRONMENT: OnceLock<()> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let word = std::env::var("LORELEI_KERNELS").ok();
        if let Some(policy) = word.and_then(|word| KernelPolicy::from_word(&word)) {
            store(policy);
        }
    });
    KernelPolicy::ALL[usize::from(POLICY.load(Ordering::Relaxed))]
}

/// Sets the policy of this process.
pub fn set_kernel_policy(policy: KernelPolicy) {
    // The environment is read first, so that it does not override the new policy later.
    kernel_policy();
    store(policy);
}

fn store(policy: KernelPolicy) {
    POLICY.store(policy as u8, Ordering::Relaxed);
}

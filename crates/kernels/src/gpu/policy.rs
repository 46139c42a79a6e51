//! Which kernels run on a GPU.

use std::sync::{
    OnceLock,
    atomic::{AtomicU8, Ordering},
};

/// Which kernels run on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelPolicy {
    /// This project's WGSL where it can run and pays, else burn's operations.
    Auto,
    /// burn's operations.
    Composed,
    /// This project's WGSL where it can run, even where burn's operations are faster.
    Wgsl,
}

impl KernelPolicy {
    const ALL: [Self; 3] = [Self::Auto, Self::Composed, Self::Wgsl];

    /// The policy of a word: `auto`, `composed` or `wgsl`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "composed" => Some(Self::Composed),
            "wgsl" => Some(Self::Wgsl),
            _ => None,
        }
    }
}

/// A place in [`KernelPolicy::ALL`].
static POLICY: AtomicU8 = AtomicU8::new(0);

/// The policy of this process: what was set, else what the environment variable `LORELEI_KERNELS` says, else `Auto`.
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
    // The environment has its say first, so that it does not have it later.
    kernel_policy();
    store(policy);
}

fn store(policy: KernelPolicy) {
    POLICY.store(policy as u8, Ordering::Relaxed);
}

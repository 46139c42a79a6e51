//! Which kernels run on a GPU.

use std::sync::{
    OnceLock,
    atomic::{AtomicU8, Ordering},
};

/// Which kernels run on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelPolicy {
    /// This project's WGSL where it can run, else burn's operations.
    Auto,
    /// burn's operations.
    Composed,
}

/// [`COMPOSED`], or 0 for `Auto`.
static POLICY: AtomicU8 = AtomicU8::new(0);
const COMPOSED: u8 = 1;

/// The policy of this process: what was set, else what the environment variable `LORELEI_KERNELS` says (`auto` or `composed`), else `Auto`.
pub fn kernel_policy() -> KernelPolicy {
    static ENVIRONMENT: OnceLock<()> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        if std::env::var("LORELEI_KERNELS").is_ok_and(|value| value == "composed") {
            POLICY.store(COMPOSED, Ordering::Relaxed);
        }
    });
    match POLICY.load(Ordering::Relaxed) {
        COMPOSED => KernelPolicy::Composed,
        _ => KernelPolicy::Auto,
    }
}

/// Sets the policy of this process, for tests and benchmarks.
pub fn set_kernel_policy(policy: KernelPolicy) {
    // The environment has its say first, so that it does not have it later.
    kernel_policy();
    POLICY.store(if policy == KernelPolicy::Composed { COMPOSED } else { 0 }, Ordering::Relaxed);
}

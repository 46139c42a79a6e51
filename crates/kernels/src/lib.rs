//! The operations that training a low-rank adapter is made of.
//!
//! Each is one function over burn tensors ([`ops`]), differentiable by a backward pass derived by hand ([`autodiff`]), that
//! saves only what that pass needs: a frozen weight gets no gradient, and what would only serve such a gradient is not kept.
//! Below are a portable body of plain burn operations ([`portable`], runs everywhere and is the oracle) and fast paths that
//! a backend chooses ([`backend::KernelBackend`]): loops over slices on the CPU ([`cpu`]), WGSL on wgpu ([`gpu`]).

mod adamw;
pub mod autodiff;
pub mod backend;
pub mod cpu;
mod dropout;
pub mod gpu;
pub mod ops;
pub mod packed;
pub mod portable;

pub use adamw::AdamWStep;
pub use dropout::Dropout;
pub use gpu::{KernelPolicy, kernel_policy, set_kernel_policy};
pub use lorelei_shaders::limits;
pub use ops::*;
pub use packed::{PackedForm, PackedKind};

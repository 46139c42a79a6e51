//! The operations that make up the training of a low-rank adapter.
//!
//! Each is one function over burn tensors ([`ops`]), differentiable by a backward pass derived by hand ([`autodiff`]). Only what that pass needs is
//! saved: a frozen weight gets no gradient, and a tensor that would only serve such a gradient is not saved. Each has a portable body of plain burn
//! operations ([`portable`]), which runs everywhere and is the oracle of the tests, and fast paths that a backend selects
//! ([`backend::KernelBackend`]): loops over slices on the CPU ([`cpu`]), WGSL on wgpu ([`gpu`]).

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

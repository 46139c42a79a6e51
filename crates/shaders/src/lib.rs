//! The WGSL of `shaders/*.wgsl`, with every variant that is launched as a value of one type.
//!
//! A file's header has its formula, shapes, bindings and launch. Its `{{ placeholders }}` and conditions are minijinja's. Portable WGSL only: what
//! browsers (Tint) and naga both take, at most 7 storage buffers, 256 invocations and 16 KiB of workgroup memory a group, and no assumption
//! about subgroups.

use std::collections::HashSet;

use minijinja::{Environment, Value, context};

/// How an operand lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Of A, `[m, k]`; of B, `[n, k]`.
    Row,
    /// Of A, `[k, m]`; of B, `[k, n]`.
    Column,
}

impl Layout {
    fn word(self) -> &'static str {
        match self {
            Layout::Row => "row",
            Layout::Column => "column",
        }
    }
}

/// What a product's dropout mask is laid on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Masked {
    /// Nothing.
    Nothing,
    /// The left operand, as stored.
    A,
    /// The right operand, as stored.
    B,
    /// The adapter's product, by its place in the output.
    Low,
}

impl Masked {
    fn word(self) -> &'static str {
        match self {
            Masked::Nothing => "",
            Masked::A => "a",
            Masked::B => "b",
            Masked::Low => "low",
        }
    }
}

/// What the right operand of a product lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packed {
    /// Plain `f32`.
    No,
    /// GGUF's blocks of 32 signed bytes and a scale.
    Q8_0,
    /// GGUF's blocks of 32 nibbles and a scale.
    Q4_0,
    /// GGUF's blocks of 32 nibbles, a scale and a minimum.
    Q4_1,
}

impl Packed {
    fn word(self) -> &'static str {
        match self {
            Packed::No => "",
            Packed::Q8_0 => "q8_0",
            Packed::Q4_0 => "q4_0",
            Packed::Q4_1 => "q4_1",
        }
    }
}

/// A variant of `matmul.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// Rows of an invocation: a tile has 16 times as many.
    pub rows: u32,
    /// Columns of an invocation: a tile has 16 times as many.
    pub cols: u32,
    /// How A lies.
    pub a_by: Layout,
    /// How B, and L, lie.
    pub b_by: Layout,
    /// What B lies in.
    pub packed: Packed,
    /// Whether there is an adapter's product.
    pub low_rank: bool,
    /// What the mask is laid on.
    pub dropout: Masked,
}

impl Matmul {
    /// Every variant that has a use.
    fn all() -> Vec<Self> {
        let plain = Matmul {
            rows: 4,
            cols: 4,
            a_by: Layout::Row,
            b_by: Layout::Row,
            packed: Packed::No,
            low_rank: false,
            dropout: Masked::Nothing,
        };
        let mut all = vec![plain];
        // Each step takes what there is and adds it with another value of one field.
        let mut vary = |change: &dyn Fn(&mut Matmul)| {
            let mut changed = all.clone();
            changed.iter_mut().for_each(change);
            all.extend(changed);
        };
        vary(&|variant| variant.rows = 1);
        vary(&|variant| variant.cols = 1);
        vary(&|variant| variant.a_by = Layout::Column);
        vary(&|variant| variant.b_by = Layout::Column);
        vary(&|variant| variant.low_rank = true);
        for packed in [Packed::Q8_0, Packed::Q4_0, Packed::Q4_1] {
            vary(&|variant| variant.packed = packed);
        }
        for dropout in [Masked::A, Masked::B, Masked::Low] {
            vary(&|variant| variant.dropout = dropout);
        }
        // Only what has an adapter has a mask on its product; a mask on B is for adapters' gradients, and those are never packed.
        all.retain(|variant| variant.dropout != Masked::Low || variant.low_rank);
        all.retain(|variant| variant.dropout != Masked::B || variant.packed == Packed::No);
        let mut seen = HashSet::new();
        all.retain(|variant| seen.insert(*variant));
        all
    }
}

/// A kernel that can be launched. Its bindings, in their order, and its launch are in the header of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// `matmul.wgsl`.
    Matmul(Matmul),
    /// `rms_norm.wgsl`.
    RmsNorm,
    /// `rms_norm_backward.wgsl`.
    RmsNormBackward,
    /// `rope.wgsl`.
    Rope,
    /// `swiglu.wgsl`.
    Swiglu,
    /// `swiglu_backward.wgsl`.
    SwigluBackward,
    /// `softmax_cross_entropy.wgsl`.
    SoftmaxCrossEntropy {
        /// Whether the logits become their gradient.
        gradient: bool,
    },
    /// `attention.wgsl`.
    Attention {
        /// Channels of a head: see [`Kernel::takes_head_dim`].
        head_dim: u32,
    },
    /// `attention_backward_query.wgsl`.
    AttentionBackwardQuery {
        /// See `Attention`.
        head_dim: u32,
    },
    /// `attention_backward_key.wgsl`.
    AttentionBackwardKey {
        /// See `Attention`.
        head_dim: u32,
    },
    /// `adamw.wgsl`.
    AdamW,
}

impl Kernel {
    /// Whether the attention kernels have room for heads of `head_dim` channels.
    pub fn takes_head_dim(head_dim: usize) -> bool {
        head_dim > 0 && head_dim <= 128 && head_dim.is_multiple_of(16)
    }

    /// Invocations of a group along x and y.
    pub fn workgroup(&self) -> [u32; 2] {
        match self {
            Kernel::Matmul(_)
            | Kernel::Attention { .. }
            | Kernel::AttentionBackwardQuery { .. }
            | Kernel::AttentionBackwardKey { .. } => [16, 16],
            _ => [256, 1],
        }
    }

    /// The file's name, its text, and what fills it.
    fn template(&self) -> (&'static str, &'static str, Value) {
        macro_rules! file {
            ($name:literal) => {
                ($name, include_str!(concat!("../../../shaders/", $name)))
            };
        }
        let ((name, text), values) = match *self {
            Kernel::Matmul(Matmul { rows, cols, a_by, b_by, packed, low_rank, dropout }) => (
                file!("matmul.wgsl"),
                context! { rows, cols, low_rank, a_by => a_by.word(), b_by => b_by.word(), dropout => dropout.word(), packed => packed.word() },
            ),
            Kernel::RmsNorm => (file!("rms_norm.wgsl"), context! {}),
            Kernel::RmsNormBackward => (file!("rms_norm_backward.wgsl"), context! {}),
            Kernel::Rope => (file!("rope.wgsl"), context! {}),
            Kernel::Swiglu => (file!("swiglu.wgsl"), context! {}),
            Kernel::SwigluBackward => (file!("swiglu_backward.wgsl"), context! {}),
            Kernel::SoftmaxCrossEntropy { gradient } => {
                (file!("softmax_cross_entropy.wgsl"), context! { gradient })
            }
            Kernel::Attention { head_dim } => (file!("attention.wgsl"), context! { head_dim }),
            Kernel::AttentionBackwardQuery { head_dim } => {
                (file!("attention_backward_query.wgsl"), context! { head_dim })
            }
            Kernel::AttentionBackwardKey { head_dim } => {
                (file!("attention_backward_key.wgsl"), context! { head_dim })
            }
            Kernel::AdamW => (file!("adamw.wgsl"), context! {}),
        };
        (name, text, values)
    }

    /// The file under `shaders`.
    pub fn file(&self) -> &'static str {
        self.template().0
    }

    /// The WGSL of this variant.
    ///
    /// # Panics
    ///
    /// If the file is no template: a test renders every variant.
    pub fn source(&self) -> String {
        let (name, text, values) = self.template();
        let rendered = Environment::new().render_named_str(name, text, values);
        rendered.unwrap_or_else(|error| panic!("{name}: {error:#}"))
    }

    /// One of each kind and all variants of those that have some, for tests and for making pipelines ahead of their use.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Kernel::RmsNorm,
            Kernel::RmsNormBackward,
            Kernel::Rope,
            Kernel::Swiglu,
            Kernel::SwigluBackward,
            Kernel::SoftmaxCrossEntropy { gradient: false },
            Kernel::SoftmaxCrossEntropy { gradient: true },
            Kernel::AdamW,
        ];
        for head_dim in (16..=128).step_by(16) {
            all.push(Kernel::Attention { head_dim });
            all.push(Kernel::AttentionBackwardQuery { head_dim });
            all.push(Kernel::AttentionBackwardKey { head_dim });
        }
        all.extend(Matmul::all().into_iter().map(Kernel::Matmul));
        all
    }
}

//! The WGSL of `shaders/*.wgsl`, with every variant that is launched as a value of one type.
//!
//! A file's header has its formula, shapes, bindings and launch. Its `{{ placeholders }}` and conditions are minijinja's. Portable WGSL only: what
//! browsers (Tint) and naga both take, at most 7 storage buffers, 256 invocations and 16 KiB of workgroup memory a group, and no assumption
//! about subgroups.

pub mod limits;

use std::collections::{BTreeMap, HashSet};

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

/// What numbers lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stored {
    /// Single floats.
    F32,
    /// Half floats.
    F16,
    /// GGUF's blocks of 32 signed bytes and a scale.
    Q8_0,
    /// GGUF's blocks of 32 nibbles and a scale.
    Q4_0,
    /// GGUF's blocks of 32 nibbles, a scale and a minimum.
    Q4_1,
}

impl Stored {
    /// Whether it is blocks of packed integers.
    pub fn is_packed(self) -> bool {
        matches!(self, Stored::Q8_0 | Stored::Q4_0 | Stored::Q4_1)
    }

    /// The WGSL type of a number, or the blocks' name.
    fn word(self) -> &'static str {
        match self {
            Stored::F32 => "f32",
            Stored::F16 => "f16",
            Stored::Q8_0 => "q8_0",
            Stored::Q4_0 => "q4_0",
            Stored::Q4_1 => "q4_1",
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
    /// What A lies in: floats.
    pub a: Stored,
    /// What B lies in.
    pub b: Stored,
    /// What the result lies in: floats.
    pub out: Stored,
    /// How A lies.
    pub a_by: Layout,
    /// How B, and L, lie.
    pub b_by: Layout,
    /// Whether A and B are read in fours.
    pub wide: bool,
    /// Whether there is an adapter's product.
    pub low_rank: bool,
    /// What the mask is laid on.
    pub dropout: Masked,
}

impl Matmul {
    /// Every variant that has a use.
    fn all() -> Vec<Self> {
        use Layout::{Column, Row};
        use Stored::{F32, Q4_0, Q4_1, Q8_0};
        let plain = Matmul {
            rows: 4,
            cols: 4,
            a: F32,
            b: F32,
            out: F32,
            a_by: Row,
            b_by: Row,
            wide: false,
            low_rank: false,
            dropout: Masked::Nothing,
        };
        let mut uses = Vec::new();
        for x in [F32, Stored::F16] {
            for w in [x, Q8_0, Q4_0, Q4_1] {
                let linear = Matmul { a: x, b: w, out: x, ..plain };
                let back = Matmul { b_by: Column, ..linear };
                uses.extend([linear, back]);
                uses.extend([linear, back].map(|base| Matmul { low_rank: true, ..base }));
                uses.push(Matmul { low_rank: true, dropout: Masked::Low, ..back });
            }
            let lowered = Matmul { a: x, ..plain };
            let lowered_grad = Matmul { b_by: Column, ..lowered };
            let grad_a = Matmul { b: x, a_by: Column, b_by: Column, ..plain };
            let grad_b = Matmul { a: x, a_by: Column, b_by: Column, ..plain };
            let logits = Matmul { a: x, b: x, ..plain };
            let grad_hidden = Matmul { b: x, b_by: Column, ..plain };
            uses.extend([lowered, lowered_grad, grad_a, grad_b, logits, grad_hidden]);
            uses.push(Matmul { dropout: Masked::A, ..lowered });
            uses.push(Matmul { dropout: Masked::B, ..grad_a });
        }
        let mut all = Vec::new();
        for of in uses {
            for wide in [false, true] {
                for rows in [1, 4, 8] {
                    all.extend([1, 4].map(|cols| Matmul { rows, cols, wide, ..of }));
                }
            }
        }
        let mut seen = HashSet::new();
        all.retain(|variant| seen.insert(*variant));
        all
    }
}

/// The types of a template's arrays, and whether one is half floats.
fn stored(arrays: &[(&str, Stored)]) -> Value {
    let half = arrays.iter().any(|(_, stored)| *stored == Stored::F16);
    let types: BTreeMap<&str, &str> = arrays.iter().map(|(name, stored)| (*name, stored.word())).collect();
    context! { half, ..Value::from(types) }
}

/// A kernel that can be launched. Its bindings, in their order, and its launch are in the header of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// `matmul.wgsl`.
    Matmul(Matmul),
    /// `rms_norm.wgsl`.
    RmsNorm {
        /// What x lies in.
        x: Stored,
        /// What the weight and the result lie in.
        weight: Stored,
    },
    /// `rms_norm_backward.wgsl`.
    RmsNormBackward {
        /// What the result's gradient lies in.
        grad: Stored,
        /// What x and its gradient lie in.
        x: Stored,
        /// What the weight lies in.
        weight: Stored,
    },
    /// `rope.wgsl`.
    Rope {
        /// What everything but the angles lies in.
        x: Stored,
    },
    /// `swiglu.wgsl`.
    Swiglu {
        /// What everything lies in.
        x: Stored,
    },
    /// `swiglu_backward.wgsl`.
    SwigluBackward {
        /// What everything lies in.
        x: Stored,
    },
    /// `softmax_cross_entropy.wgsl`.
    SoftmaxCrossEntropy {
        /// Whether the logits become their gradient.
        gradient: bool,
    },
    /// `attention.wgsl`.
    Attention {
        /// Channels of a head: see [`Kernel::takes_head_dim`].
        head_dim: u32,
        /// What everything lies in.
        x: Stored,
    },
    /// `attention_backward_query.wgsl`.
    AttentionBackwardQuery {
        /// See `Attention`.
        head_dim: u32,
        /// See `Attention`.
        x: Stored,
    },
    /// `attention_backward_key.wgsl`.
    AttentionBackwardKey {
        /// See `Attention`.
        head_dim: u32,
        /// See `Attention`.
        x: Stored,
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
            Kernel::Matmul(Matmul { rows, cols, a, b, out, a_by, b_by, wide, low_rank, dropout }) => (
                file!("matmul.wgsl"),
                context! {
                    rows, cols, wide, low_rank,
                    half => [a, b, out].contains(&Stored::F16),
                    a => a.word(), b => b.word(), out => out.word(),
                    packed => if b.is_packed() { b.word() } else { "" },
                    a_by => a_by.word(), b_by => b_by.word(), dropout => dropout.word(),
                },
            ),
            Kernel::RmsNorm { x, weight } => {
                (file!("rms_norm.wgsl"), stored(&[("x", x), ("weight", weight)]))
            }
            Kernel::RmsNormBackward { grad, x, weight } => {
                (file!("rms_norm_backward.wgsl"), stored(&[("grad", grad), ("x", x), ("weight", weight)]))
            }
            Kernel::Rope { x } => (file!("rope.wgsl"), stored(&[("x", x)])),
            Kernel::Swiglu { x } => (file!("swiglu.wgsl"), stored(&[("x", x)])),
            Kernel::SwigluBackward { x } => (file!("swiglu_backward.wgsl"), stored(&[("x", x)])),
            Kernel::SoftmaxCrossEntropy { gradient } => {
                (file!("softmax_cross_entropy.wgsl"), context! { gradient })
            }
            Kernel::Attention { head_dim, x } => {
                (file!("attention.wgsl"), context! { head_dim, ..stored(&[("x", x)]) })
            }
            Kernel::AttentionBackwardQuery { head_dim, x } => {
                (file!("attention_backward_query.wgsl"), context! { head_dim, ..stored(&[("x", x)]) })
            }
            Kernel::AttentionBackwardKey { head_dim, x } => {
                (file!("attention_backward_key.wgsl"), context! { head_dim, ..stored(&[("x", x)]) })
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
            Kernel::SoftmaxCrossEntropy { gradient: false },
            Kernel::SoftmaxCrossEntropy { gradient: true },
            Kernel::AdamW,
        ];
        let floats = [Stored::F32, Stored::F16];
        for x in floats {
            all.extend([Kernel::Rope { x }, Kernel::Swiglu { x }, Kernel::SwigluBackward { x }]);
            for weight in floats {
                all.push(Kernel::RmsNorm { x, weight });
                all.extend(floats.map(|grad| Kernel::RmsNormBackward { grad, x, weight }));
            }
            for head_dim in (16..=128).step_by(16) {
                all.push(Kernel::Attention { head_dim, x });
                all.push(Kernel::AttentionBackwardQuery { head_dim, x });
                all.push(Kernel::AttentionBackwardKey { head_dim, x });
            }
        }
        all.extend(Matmul::all().into_iter().map(Kernel::Matmul));
        all
    }
}

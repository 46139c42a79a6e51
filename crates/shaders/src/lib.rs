//! The WGSL of `shaders/*.wgsl`, with every variant that is launched as a value of one type.
//!
//! A file's header documents its formula, shapes, bindings and launch. Its `{{ placeholders }}` and conditions are minijinja's. The WGSL is portable:
//! it is accepted by browsers (Tint) and by naga, uses at most 7 storage buffers, 256 invocations and 16 KiB of workgroup memory a group, and assumes
//! nothing about subgroups.

pub mod limits;

use std::collections::{BTreeMap, HashSet};

use minijinja::{Environment, Value, context};

/// Layout of an operand in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[m, k]` for A, `[n, k]` for B.
    Row,
    /// `[k, m]` for A, `[k, n]` for B.
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

/// Target of a product's dropout mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Masked {
    /// No mask.
    Nothing,
    /// The left operand, in its stored layout.
    A,
    /// The right operand, in its stored layout.
    B,
    /// The adapter's product, by position in the output.
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

/// Storage format of an array's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stored {
    /// Single floats.
    F32,
    /// Half floats.
    F16,
    /// GGUF's blocks of 32 signed bytes with a scale.
    Q8_0,
    /// GGUF's blocks of 32 nibbles with a scale.
    Q4_0,
    /// GGUF's blocks of 32 nibbles with a scale and a minimum.
    Q4_1,
}

impl Stored {
    /// Whether the numbers are blocks of packed integers.
    pub fn is_packed(self) -> bool {
        matches!(self, Stored::Q8_0 | Stored::Q4_0 | Stored::Q4_1)
    }

    /// Returns the WGSL type of a number, or the name of the blocks.
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
    /// Number of rows of an invocation; a tile has 16 times as many.
    pub rows: u32,
    /// Number of columns of an invocation; a tile has 16 times as many.
    pub cols: u32,
    /// Storage format of A, a float format.
    pub a: Stored,
    /// Storage format of B.
    pub b: Stored,
    /// Storage format of the result, a float format.
    pub out: Stored,
    /// Layout of A.
    pub a_by: Layout,
    /// Layout of B and L.
    pub b_by: Layout,
    /// Whether A and B are read in vectors of four.
    pub wide: bool,
    /// Whether an adapter's product is added.
    pub low_rank: bool,
    /// Target of the dropout mask.
    pub dropout: Masked,
}

impl Matmul {
    /// Returns every variant that is used.
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

/// Returns the WGSL types of a template's arrays, and whether one of them is half floats.
fn stored(arrays: &[(&str, Stored)]) -> Value {
    let half = arrays.iter().any(|(_, stored)| *stored == Stored::F16);
    let types: BTreeMap<&str, &str> = arrays.iter().map(|(name, stored)| (*name, stored.word())).collect();
    context! { half, ..Value::from(types) }
}

/// A kernel that can be launched. The header of its file documents its launch and its bindings in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// `matmul.wgsl`.
    Matmul(Matmul),
    /// `rms_norm.wgsl`.
    RmsNorm {
        /// Storage format of x.
        x: Stored,
        /// Storage format of the weight and the result.
        weight: Stored,
    },
    /// `rms_norm_backward.wgsl`.
    RmsNormBackward {
        /// Storage format of the result's gradient.
        grad: Stored,
        /// Storage format of x and its gradient.
        x: Stored,
        /// Storage format of the weight.
        weight: Stored,
    },
    /// `rope.wgsl`.
    Rope {
        /// Storage format of everything but the angles.
        x: Stored,
    },
    /// `swiglu.wgsl`.
    Swiglu {
        /// Storage format of all arrays.
        x: Stored,
    },
    /// `swiglu_backward.wgsl`.
    SwigluBackward {
        /// Storage format of all arrays.
        x: Stored,
    },
    /// `softmax_cross_entropy.wgsl`.
    SoftmaxCrossEntropy {
        /// Whether the logits are replaced by their gradient.
        gradient: bool,
    },
    /// `attention.wgsl`.
    Attention {
        /// Number of channels of a head, one that [`Kernel::takes_head_dim`] accepts.
        head_dim: u32,
        /// Storage format of all arrays.
        x: Stored,
    },
    /// `attention_backward_query.wgsl`.
    AttentionBackwardQuery {
        /// Number of channels of a head, one that [`Kernel::takes_head_dim`] accepts.
        head_dim: u32,
        /// Storage format of all arrays.
        x: Stored,
    },
    /// `attention_backward_key.wgsl`.
    AttentionBackwardKey {
        /// Number of channels of a head, one that [`Kernel::takes_head_dim`] accepts.
        head_dim: u32,
        /// Storage format of all arrays.
        x: Stored,
    },
    /// `adamw.wgsl`.
    AdamW,
    /// `concatenate.wgsl`.
    Concatenate {
        /// Number of parts of a launch, up to [`Kernel::MAX_PARTS`].
        parts: u32,
    },
}

impl Kernel {
    /// Largest number of parts that a launch of [`Kernel::Concatenate`] takes: all kernels bind seven arrays at most, and one is the result's.
    pub const MAX_PARTS: u32 = 6;

    /// Whether the attention kernels support heads of `head_dim` channels.
    pub fn takes_head_dim(head_dim: usize) -> bool {
        head_dim > 0 && head_dim <= 128 && head_dim.is_multiple_of(16)
    }

    /// Returns the invocations of a group along x and y.
    pub fn workgroup(&self) -> [u32; 2] {
        match self {
            Kernel::Matmul(_)
            | Kernel::Attention { .. }
            | Kernel::AttentionBackwardQuery { .. }
            | Kernel::AttentionBackwardKey { .. } => [16, 16],
            _ => [256, 1],
        }
    }

    /// Returns the file's name, its text, and the values of its placeholders.
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
            Kernel::Concatenate { parts } => (file!("concatenate.wgsl"), context! { parts }),
        };
        (name, text, values)
    }

    /// Returns the name of the file under `shaders`.
    pub fn file(&self) -> &'static str {
        self.template().0
    }

    /// Returns the WGSL of this variant.
    ///
    /// # Panics
    ///
    /// If the file is not a valid template; a test renders every variant.
    pub fn source(&self) -> String {
        let (name, text, values) = self.template();
        let rendered = Environment::new().render_named_str(name, text, values);
        rendered.unwrap_or_else(|error| panic!("{name}: {error:#}"))
    }

    /// Returns all variants of every kernel, for tests and for creating pipelines ahead of their use.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Kernel::SoftmaxCrossEntropy { gradient: false },
            Kernel::SoftmaxCrossEntropy { gradient: true },
            Kernel::AdamW,
        ];
        all.extend((1..=Self::MAX_PARTS).map(|parts| Kernel::Concatenate { parts }));
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

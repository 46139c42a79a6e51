//! `matmul.wgsl`: the products that everything else is made of.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::{Kernel, Layout, Masked, Matmul, Packed};

use super::launch::{Info, dims, launch};
use crate::{Dropout, PackedForm, PackedKind};

/// A product `out [m, n] = alpha · A·B + scale · drop(H·L)`; all tensors contiguous.
pub struct Product<'a> {
    /// `A`, and how it lies.
    pub a: (&'a CubeTensor, Layout),
    /// `B`, and how it and `L` lie.
    pub b: (&'a CubeTensor, Layout),
    /// What `B` lies in.
    pub packed: Packed,
    /// Rows and columns of the result, and the length of the sums.
    pub sizes: [usize; 3],
    /// Before the first product.
    pub alpha: f32,
    /// `H [m, r]`, `L`, `r` and `scale`.
    pub low_rank: Option<(&'a CubeTensor, &'a CubeTensor, usize, f32)>,
    /// What is dropped out, and how.
    pub dropout: (Masked, Dropout),
    /// First row of `A`, and of the result.
    pub from: [usize; 2],
}

/// Rows or columns of an invocation: four, or one where that covers a short side.
fn per_invocation(side: usize) -> u32 {
    if side <= 32 { 1 } else { 4 }
}

/// A weight `[out, in]` in either form.
#[derive(Clone)]
pub struct Weight {
    /// Its values or words.
    pub tensor: CubeTensor,
    /// What it lies in.
    pub packed: Packed,
    /// Rows and columns.
    pub sizes: [usize; 2],
}

impl Weight {
    /// A dense one.
    pub fn dense(tensor: CubeTensor) -> Self {
        let tensor = into_contiguous(tensor);
        Self { sizes: dims(&tensor), tensor, packed: Packed::No }
    }

    /// A packed one.
    pub fn packed(words: CubeTensor, form: PackedForm) -> Self {
        let packed = match form.kind {
            PackedKind::Q8_0 => Packed::Q8_0,
            PackedKind::Q4_0 => Packed::Q4_0,
            PackedKind::Q4_1 => Packed::Q4_1,
        };
        Self { tensor: into_contiguous(words), packed, sizes: [form.size_out, form.size_in] }
    }

    /// `x·Wᵀ` of `n` rows.
    pub fn applied<'a>(&'a self, x: &'a CubeTensor, n: usize) -> Product<'a> {
        let [size_out, size_in] = self.sizes;
        let product = Product::new((x, Layout::Row), (&self.tensor, Layout::Row), [n, size_out, size_in]);
        Product { packed: self.packed, ..product }
    }

    /// `dY·W` of `n` rows.
    pub fn applied_back<'a>(&'a self, grad: &'a CubeTensor, n: usize) -> Product<'a> {
        let [size_out, size_in] = self.sizes;
        let product =
            Product::new((grad, Layout::Row), (&self.tensor, Layout::Column), [n, size_in, size_out]);
        Product { packed: self.packed, ..product }
    }
}

impl<'a> Product<'a> {
    /// `A·B` alone.
    pub fn new(a: (&'a CubeTensor, Layout), b: (&'a CubeTensor, Layout), sizes: [usize; 3]) -> Self {
        let dropout = (Masked::Nothing, Dropout::NONE);
        Self { a, b, packed: Packed::No, sizes, alpha: 1.0, low_rank: None, dropout, from: [0, 0] }
    }

    /// With a mask on `on`, where there is something to drop.
    pub fn masked(mut self, on: Masked, dropout: Dropout) -> Self {
        if !dropout.is_none() {
            self.dropout = (on, dropout);
        }
        self
    }

    /// Computes it into `out`.
    pub fn into(self, out: &CubeTensor) {
        let [m, n, k] = self.sizes;
        let (masked, dropout) = self.dropout;
        let kernel = Matmul {
            rows: per_invocation(m),
            cols: per_invocation(n),
            a_by: self.a.1,
            b_by: self.b.1,
            packed: self.packed,
            low_rank: self.low_rank.is_some(),
            dropout: masked,
        };
        let (r, scale) = self.low_rank.map_or((0, 0.0), |(_, _, r, scale)| (r, scale));
        let info = Info::default()
            .count(m)
            .count(n)
            .count(k)
            .count(r)
            .count(self.from[0])
            .count(self.from[1])
            .float(self.alpha)
            .float(scale)
            .seed(dropout.seed)
            .float(dropout.p)
            .count(0);
        let groups = [n.div_ceil(16 * kernel.cols as usize), m.div_ceil(16 * kernel.rows as usize), 1];
        match self.low_rank {
            None => launch(Kernel::Matmul(kernel), groups, &[self.a.0, self.b.0, out], info),
            Some((h, l, ..)) => {
                launch(Kernel::Matmul(kernel), groups, &[self.a.0, self.b.0, h, l, out], info)
            }
        }
    }
}

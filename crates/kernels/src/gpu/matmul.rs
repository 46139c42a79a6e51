//! Launches of `matmul.wgsl`, the product that the other operations are made of.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::{Kernel, Layout, Masked, Matmul, Stored};

use super::launch::{Info, Work, bytes, dims, launch_counted, stored};
use crate::{Dropout, PackedForm, PackedKind};

/// A product `out [m, n] = A·B + scale · drop(H·L)`, or `scale · A·B`; all tensors contiguous.
pub struct Product<'a> {
    /// `A` and its layout.
    pub a: (&'a CubeTensor, Layout),
    /// `B` and the layout of `B` and `L`.
    pub b: (&'a CubeTensor, Layout),
    /// Storage format of `B`.
    pub stored: Stored,
    /// Rows and columns of the result, and length of the sums.
    pub sizes: [usize; 3],
    /// Factor of the adapter's product, or of the only product.
    pub scale: f32,
    /// `H [m, r]`, `L` and `r`.
    pub low_rank: Option<(&'a CubeTensor, &'a CubeTensor, usize)>,
    /// Operand of the dropout, and its mask.
    pub dropout: (Masked, Dropout),
    /// First row of `A`, and first row of the result.
    pub from: [usize; 2],
}

/// Number of groups that keeps a large GPU busy.
const MANY_GROUPS: usize = 1024;

/// Returns the rows and columns of an invocation: four, or one if that covers a short side. Eight rows read workgroup memory least; they are used if
/// enough groups remain.
fn per_invocation(m: usize, n: usize) -> (u32, u32) {
    let short = |side: usize| if side <= 32 { 1 } else { 4 };
    let (rows, cols) = (short(m), short(n));
    let is_large = m.div_ceil(128) * n.div_ceil(64) >= MANY_GROUPS;
    (if cols == 4 && is_large { 8 } else { rows }, cols)
}

/// A weight `[out, in]`, dense or packed.
#[derive(Clone)]
pub struct Weight {
    /// Values or words of the weight.
    pub tensor: CubeTensor,
    /// Storage format of the weight.
    pub stored: Stored,
    /// Rows and columns.
    pub sizes: [usize; 2],
}

impl Weight {
    /// Wraps a dense weight.
    pub fn dense(tensor: CubeTensor) -> Self {
        let tensor = into_contiguous(tensor);
        Self { sizes: dims(&tensor), stored: stored(&tensor), tensor }
    }

    /// Wraps a packed weight.
    pub fn packed(words: CubeTensor, form: PackedForm) -> Self {
        let stored = match form.kind {
            PackedKind::Q8_0 => Stored::Q8_0,
            PackedKind::Q4_0 => Stored::Q4_0,
            PackedKind::Q4_1 => Stored::Q4_1,
        };
        Self { tensor: into_contiguous(words), stored, sizes: [form.size_out, form.size_in] }
    }

    /// Returns the product `x·Wᵀ` of `n` rows.
    pub fn applied<'a>(&'a self, x: &'a CubeTensor, n: usize) -> Product<'a> {
        let [size_out, size_in] = self.sizes;
        let product = Product::new((x, Layout::Row), (&self.tensor, Layout::Row), [n, size_out, size_in]);
        Product { stored: self.stored, ..product }
    }

    /// Returns the product `dY·W` of `n` rows.
    pub fn applied_back<'a>(&'a self, grad: &'a CubeTensor, n: usize) -> Product<'a> {
        let [size_out, size_in] = self.sizes;
        let product =
            Product::new((grad, Layout::Row), (&self.tensor, Layout::Column), [n, size_in, size_out]);
        Product { stored: self.stored, ..product }
    }
}

impl<'a> Product<'a> {
    /// Creates the product `A·B` alone.
    pub fn new(a: (&'a CubeTensor, Layout), b: (&'a CubeTensor, Layout), sizes: [usize; 3]) -> Self {
        let dropout = (Masked::Nothing, Dropout::NONE);
        Self { a, b, stored: stored(b.0), sizes, scale: 1.0, low_rank: None, dropout, from: [0, 0] }
    }

    /// Adds a dropout mask on `on`, if there is something to drop.
    pub fn masked(mut self, on: Masked, dropout: Dropout) -> Self {
        if !dropout.is_none() {
            self.dropout = (on, dropout);
        }
        self
    }

    /// Computes the product into `out`.
    pub fn into(self, out: &CubeTensor) {
        let [m, n, k] = self.sizes;
        let (masked, dropout) = self.dropout;
        // Length of a contiguous run: k by rows, the other side by columns.
        let run = |by: Layout, side: usize| if by == Layout::Row { k } else { side };
        let in_fours = |by, side| run(by, side).is_multiple_of(4);
        let (rows, cols) = per_invocation(m, n);
        let kernel = Matmul {
            rows,
            cols,
            a: stored(self.a.0),
            b: self.stored,
            out: stored(out),
            a_by: self.a.1,
            b_by: self.b.1,
            wide: in_fours(self.a.1, m) && (self.stored.is_packed() || in_fours(self.b.1, n)),
            low_rank: self.low_rank.is_some(),
            dropout: masked,
        };
        let r = self.low_rank.map_or(0, |(.., r)| r);
        let info = Info::default()
            .count(m)
            .count(n)
            .count(k)
            .count(r)
            .count(self.from[0])
            .count(self.from[1])
            .float(self.scale)
            .float(dropout.p)
            .seed(dropout.seed);
        let groups = [n.div_ceil(16 * cols as usize), m.div_ceil(16 * rows as usize), 1];
        let element = |tensor: &CubeTensor| tensor.dtype.size();
        let b_bytes = if self.stored.is_packed() { bytes(self.b.0) } else { n * k * element(self.b.0) };
        let work = Work {
            flops: 2 * m * n * (k + r),
            // Every column of groups reads A, every row of them B.
            bytes: groups[0] * (m * k * element(self.a.0) + m * r * 4)
                + groups[1] * (b_bytes + n * r * 4)
                + m * n * element(out),
        };
        let mut tensors = vec![self.a.0, self.b.0];
        tensors.extend(self.low_rank.iter().flat_map(|(h, l, _)| [*h, *l]));
        tensors.push(out);
        launch_counted(Kernel::Matmul(kernel), groups, &tensors, info, work);
    }
}

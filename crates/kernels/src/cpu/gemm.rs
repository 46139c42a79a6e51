//! One matrix product, over strided slices.

/// Matrix view of a slice: element `(i, j)` is `data[i * row + j * col]`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row: usize,
    col: usize,
}

impl<'a> View<'a> {
    /// Creates a view of `rows × cols` elements, with rows `stride` elements apart.
    ///
    /// # Panics
    ///
    /// If the slice is too short.
    pub fn new(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(cols <= stride || rows <= 1, "rows overlap");
        let needed = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * stride + cols };
        assert!(data.len() >= needed, "{} elements hold no {rows}x{cols}", data.len());
        Self { data, rows, cols, row: stride, col: 1 }
    }

    /// Returns the transpose, a view of the same elements.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row: self.col, col: self.row, ..self }
    }
}

/// Number of threads of a product.
#[derive(Clone, Copy, PartialEq)]
pub enum Threads {
    /// The calling thread only.
    One,
    /// All threads that the size makes worthwhile.
    All,
}

/// Computes `out = keep·out + alpha·lhs·rhs`, where the rows of `out` are `stride` elements apart; `keep` is 0 or 1.
///
/// # Panics
///
/// If the shapes do not fit.
pub fn gemm(
    out: &mut [f32],
    stride: usize,
    keep: bool,
    alpha: f32,
    lhs: View<'_>,
    rhs: View<'_>,
    threads: Threads,
) {
    let (m, k, n) = (lhs.rows, lhs.cols, rhs.cols);
    assert_eq!(k, rhs.rows, "inner dimensions differ");
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= stride || m == 1, "rows overlap");
    assert!(out.len() >= (m - 1) * stride + n, "output too short");
    // About 7 million multiplications: below that, waking a thread costs more than it saves.
    let parallelism = match threads {
        Threads::All if m * n * k >= 192 * 192 * 192 => ::gemm::Parallelism::Rayon(0),
        _ => ::gemm::Parallelism::None,
    };
    // SAFETY: `View::new` and the checks above keep every element that the strides reach inside its slice, and `out` is
    // borrowed mutably, so it overlaps neither operand.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            keep,
            lhs.data.as_ptr(),
            lhs.col as isize,
            lhs.row as isize,
            rhs.data.as_ptr(),
            rhs.col as isize,
            rhs.row as isize,
            1.0f32,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_product_adds_up() {
        // [[1,2],[3,4]] · [[5,6],[7,8]]ᵀ, in rows of three.
        let lhs = [1., 2., 9., 3., 4., 9.];
        let rhs = [5., 6., 9., 7., 8., 9.];
        let mut out = [1., 1., 1., 1.];
        gemm(&mut out, 2, true, 2.0, View::new(&lhs, 2, 2, 3), View::new(&rhs, 2, 2, 3).t(), Threads::One);
        assert_eq!(out, [35., 47., 79., 107.]);
    }
}

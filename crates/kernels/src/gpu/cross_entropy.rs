//! Cross entropy of a language model's head, a chunk of tokens at a time in one buffer of logits, which become their gradient in place.

use burn::backend::{Cube, ops::FloatTensorOps as _};
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::{
    Kernel,
    Layout::{Column, Row},
    limits::logit_rows,
};

use super::{
    launch::{Info, dims, launch, single},
    matmul::Product,
};

fn in_chunks(
    hidden: CubeTensor,
    head: CubeTensor,
    targets: CubeTensor,
    gradient: bool,
) -> (CubeTensor, Option<CubeTensor>) {
    let [hidden, head, targets] = [hidden, head, targets].map(into_contiguous);
    let ([n, size], [vocab, _]) = (dims(&hidden), dims::<2>(&head));
    let chunk = logit_rows(vocab).min(n);
    let logits = single(&hidden, &[chunk, vocab]);
    let losses = single(&hidden, &[n]);
    let grad_hidden = gradient.then(|| single(&hidden, &[n, size]));
    for start in (0..n).step_by(chunk) {
        let len = chunk.min(n - start);
        let product = Product::new((&hidden, Row), (&head, Row), [len, vocab, size]);
        Product { from: [start, 0], ..product }.into(&logits);
        let info = Info::default().count(len).count(vocab).count(start).count(0);
        let kernel = Kernel::SoftmaxCrossEntropy { gradient };
        launch(kernel, [len, 1, 1], &[&logits, &targets, &losses], info);
        if let Some(grad_hidden) = &grad_hidden {
            let product = Product::new((&logits, Row), (&head, Column), [len, size, vocab]);
            Product { from: [0, start], ..product }.into(grad_hidden);
        }
    }
    (Cube::float_sum(losses), grad_hidden)
}

/// WGSL path of [`crate::backend::KernelBackend::cross_entropy`].
pub fn loss(hidden: CubeTensor, head: CubeTensor, targets: CubeTensor) -> CubeTensor {
    in_chunks(hidden, head, targets, false).0
}

/// WGSL path of [`crate::backend::KernelBackend::cross_entropy_with_grad`].
pub fn loss_and_grad(hidden: CubeTensor, head: CubeTensor, targets: CubeTensor) -> (CubeTensor, CubeTensor) {
    let (loss, grad) = in_chunks(hidden, head, targets, true);
    (loss, grad.expect("asked for"))
}

//! Cross entropy of a language model's head, a chunk of tokens at a time: `[n, vocab]` logits never exist.
//!
//! The logits of a token with target `t` are `z = h·Wᵀ`: `loss = logsumexp(z) - z[t]`, hence `dZ = softmax(z) - onehot(t)`, `dH = dZ·W` and
//! `dW = dZᵀ·h`.

use burn::backend::{
    Backend, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{FloatDType, Slice};
use lorelei_shaders::limits::logit_rows;

use super::{cast, dims, kind, narrow, reshape, single, transposed};

/// Loss, `dHidden` and `dHead` of one chunk; a gradient is computed only on request.
struct Chunk<B: Backend> {
    loss: FloatTensor<B>,
    grad_hidden: Option<FloatTensor<B>>,
    grad_head: Option<FloatTensor<B>>,
}

fn chunk<B: Backend>(
    hidden: FloatTensor<B>,
    head: FloatTensor<B>,
    targets: IntTensor<B>,
    want_hidden: bool,
    want_head: bool,
) -> Chunk<B> {
    let rows = dims::<B>(&hidden)[0];
    let device = hidden.device();
    let targets = B::int_reshape(targets, [rows, 1].into());
    let kind = kind::<B>(&head);
    let logits = single::<B>(super::linear::forward::<B>(hidden.clone(), head.clone()));
    let max = B::float_max_dim(logits.clone(), 1);
    let shifted = B::float_sub(logits, max);
    let picked = B::float_gather(1, shifted.clone(), targets.clone());
    let exp = B::float_exp(shifted);
    let sum = B::float_sum_dim(exp.clone(), 1);
    let losses = B::float_sub(B::float_log(sum.clone()), picked);
    let loss = reshape::<B>(B::float_sum(losses), &[1]);
    if !want_hidden && !want_head {
        return Chunk { loss, grad_hidden: None, grad_head: None };
    }
    let softmax = B::float_div(exp, sum);
    let minus_one = B::float_full([rows, 1].into(), (-1f32).into(), &device, FloatDType::F32);
    let grad_logits = B::float_scatter(1, softmax, targets, minus_one, burn::tensor::IndexingUpdateOp::Add);
    let grad_logits = cast::<B>(grad_logits, kind);
    Chunk {
        loss,
        grad_head: want_head.then(|| B::float_matmul(transposed::<B>(grad_logits.clone()), hidden)),
        grad_hidden: want_hidden.then(|| single::<B>(B::float_matmul(grad_logits, head))),
    }
}

fn in_chunks<B: Backend>(
    hidden: FloatTensor<B>,
    head: FloatTensor<B>,
    targets: IntTensor<B>,
    want_hidden: bool,
    want_head: bool,
) -> Chunk<B> {
    let rows = dims::<B>(&hidden)[0];
    let step = logit_rows(dims::<B>(&head)[0]);
    let mut total: Option<Chunk<B>> = None;
    let mut grads_hidden = Vec::new();
    for start in (0..rows).step_by(step) {
        let len = step.min(rows - start);
        let slice: Slice = (start..start + len).into();
        let part = chunk::<B>(
            narrow::<B>(hidden.clone(), 0, start, len),
            head.clone(),
            B::int_slice(targets.clone(), &[slice]),
            want_hidden,
            want_head,
        );
        grads_hidden.extend(part.grad_hidden);
        total = Some(match total {
            None => Chunk { loss: part.loss, grad_hidden: None, grad_head: part.grad_head },
            Some(sum) => Chunk {
                loss: B::float_add(sum.loss, part.loss),
                grad_hidden: None,
                grad_head: sum.grad_head.zip(part.grad_head).map(|(sum, part)| B::float_add(sum, part)),
            },
        });
    }
    let total = total.expect("the operation's front door refuses an empty batch");
    Chunk {
        grad_hidden: want_hidden.then(|| match grads_hidden.len() {
            1 => grads_hidden.remove(0),
            _ => B::float_cat(grads_hidden, 0),
        }),
        ..total
    }
}

/// Returns the summed loss, `[1]`.
pub fn loss<B: Backend>(
    hidden: FloatTensor<B>,
    head: FloatTensor<B>,
    targets: IntTensor<B>,
) -> FloatTensor<B> {
    in_chunks::<B>(hidden, head, targets, false, false).loss
}

/// Returns the summed loss `[1]` and `dHidden [n, h]`.
pub fn loss_and_grad<B: Backend>(
    hidden: FloatTensor<B>,
    head: FloatTensor<B>,
    targets: IntTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let all = in_chunks::<B>(hidden, head, targets, true, false);
    (all.loss, all.grad_hidden.expect("asked for"))
}

/// Returns the summed loss `[1]`, `dHidden [n, h]` and `dHead [vocab, h]`.
pub fn loss_and_grads<B: Backend>(
    hidden: FloatTensor<B>,
    head: FloatTensor<B>,
    targets: IntTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let all = in_chunks::<B>(hidden, head, targets, true, true);
    (all.loss, all.grad_hidden.expect("asked for"), all.grad_head.expect("asked for"))
}

//! Backward passes: which half of an operation runs, and which tensors it saves.
//!
//! An operation saves an input only if a requested gradient needs it. A frozen weight is saved by handle, because its memory is in use anyway. An
//! activation that only the gradient of a frozen weight would need is not saved.

use burn::backend::{
    Autodiff,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::{FloatTensor, IntTensor},
};

use crate::{Dropout, PackedForm, backend::KernelBackend};

/// A float tensor of the autodiff backend around `B`.
type Tracked<B, C> = FloatTensor<Autodiff<B, C>>;

/// Values that an adapted layer keeps for the gradients of its adapter: x, B, H, scale and dropout.
type Adapted<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, f32, Dropout);

/// Computes the gradients of an adapter's `A` and `B`, and registers those that learn. Returns `dH`, which the gradient of `x` needs, too.
fn register_adapter<B: KernelBackend>(
    nodes: [Option<NodeId>; 2],
    grad: FloatTensor<B>,
    (x, b, hidden, scale, dropout): Adapted<B>,
    grads: &mut Gradients,
) -> FloatTensor<B> {
    let grad_hidden = B::lora_hidden_backward(grad.clone(), b);
    let (grad_a, grad_b) =
        B::lora_linear_backward_adapter(grad, x, hidden, grad_hidden.clone(), scale, dropout);
    for (node, grad) in nodes.into_iter().zip([grad_a, grad_b]) {
        if let Some(id) = node {
            grads.register::<B>(id, grad);
        }
    }
    grad_hidden
}

impl<B: KernelBackend, C: CheckpointStrategy> KernelBackend for Autodiff<B, C> {
    fn linear(x: Tracked<B, C>, w: Tracked<B, C>) -> Tracked<B, C> {
        #[derive(Debug)]
        struct Linear;
        impl<B: KernelBackend> Backward<B, 2> for Linear {
            // x, if W trains; W, if x is part of the graph.
            type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);
            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_x, node_w] = ops.parents;
                let (x, w) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                if let (Some(node), Some(x)) = (node_w, x) {
                    grads.register::<B>(node.id, B::linear_backward_weight(grad.clone(), x));
                }
                if let (Some(node), Some(w)) = (node_x, w) {
                    grads.register::<B>(node.id, B::linear_backward_input(grad, w));
                }
            }
        }
        let (learns, flows) = (w.is_tracked(), x.is_tracked());
        let nodes = [x.node(), w.node()];
        let (x, w) = (x.into_primitive(), w.into_primitive());
        match Linear.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (learns.then(|| x.clone()), flows.then(|| w.clone()));
                prep.finish(state, <B as KernelBackend>::linear(x, w))
            }
            OpsKind::UnTracked(prep) => prep.finish(<B as KernelBackend>::linear(x, w)),
        }
    }

    fn lora_linear(
        x: Tracked<B, C>,
        w: Tracked<B, C>,
        a: Tracked<B, C>,
        b: Tracked<B, C>,
        scale: f32,
        dropout: Dropout,
    ) -> Tracked<B, C> {
        #[derive(Debug)]
        struct LoraLinear;
        impl<B: KernelBackend> Backward<B, 3> for LoraLinear {
            // x, W if x is part of the graph, A, B, H.
            type State = (
                FloatTensor<B>,
                Option<FloatTensor<B>>,
                FloatTensor<B>,
                FloatTensor<B>,
                FloatTensor<B>,
                f32,
                Dropout,
            );
            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_x, node_a, node_b] = ops.parents;
                let (x, w, a, b, hidden, scale, dropout) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let nodes = [node_a, node_b].map(|node| node.map(|node| node.id));
                let adapter = (x, b, hidden, scale, dropout);
                let grad_hidden = register_adapter::<B>(nodes, grad.clone(), adapter, grads);
                if let (Some(node), Some(w)) = (node_x, w) {
                    let grad_x = B::lora_linear_backward_input(grad, w, grad_hidden, a, scale, dropout);
                    grads.register::<B>(node.id, grad_x);
                }
            }
        }
        let flows = x.is_tracked();
        let nodes = [x.node(), a.node(), b.node()];
        let (x, w) = (x.into_primitive(), w.into_primitive());
        let (a, b) = (a.into_primitive(), b.into_primitive());
        match LoraLinear.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let hidden = B::lora_hidden(x.clone(), a.clone(), dropout);
                let kept_w = flows.then(|| w.clone());
                let state = (x.clone(), kept_w, a, b.clone(), hidden.clone(), scale, dropout);
                prep.finish(state, B::lora_linear_from_hidden(x, w, hidden, b, scale))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::lora_linear(x, w, a, b, scale, dropout)),
        }
    }

    fn packed_linear(x: Tracked<B, C>, words: IntTensor<Self>, form: PackedForm) -> Tracked<B, C> {
        #[derive(Debug)]
        struct PackedLinear;
        impl<B: KernelBackend> Backward<B, 1> for PackedLinear {
            type State = (IntTensor<B>, PackedForm);
            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (words, form) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                if let [Some(node)] = ops.parents {
                    grads.register::<B>(node.id, B::packed_linear_backward_input(grad, words, form));
                }
            }
        }
        let nodes = [x.node()];
        let x = x.into_primitive();
        match PackedLinear.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((words.clone(), form), B::packed_linear(x, words, form)),
            OpsKind::UnTracked(prep) => prep.finish(B::packed_linear(x, words, form)),
        }
    }

    fn packed_lora_linear(
        x: Tracked<B, C>,
        words: IntTensor<Self>,
        form: PackedForm,
        a: Tracked<B, C>,
        b: Tracked<B, C>,
        scale: f32,
        dropout: Dropout,
    ) -> Tracked<B, C> {
        #[derive(Debug)]
        struct PackedLoraLinear;
        impl<B: KernelBackend> Backward<B, 3> for PackedLoraLinear {
            // x, the weight, A, B, H.
            type State = (
                FloatTensor<B>,
                IntTensor<B>,
                PackedForm,
                FloatTensor<B>,
                FloatTensor<B>,
                FloatTensor<B>,
                f32,
                Dropout,
            );
            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_x, node_a, node_b] = ops.parents;
                let (x, words, form, a, b, hidden, scale, dropout) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let nodes = [node_a, node_b].map(|node| node.map(|node| node.id));
                let adapter = (x, b, hidden, scale, dropout);
                let grad_hidden = register_adapter::<B>(nodes, grad.clone(), adapter, grads);
                if let Some(node) = node_x {
                    let grad_x = B::packed_lora_linear_backward_input(
                        grad,
                        words,
                        form,
                        grad_hidden,
                        a,
                        scale,
                        dropout,
                    );
                    grads.register::<B>(node.id, grad_x);
                }
            }
        }
        let nodes = [x.node(), a.node(), b.node()];
        let [x, a, b] = [x, a, b].map(|tensor| tensor.into_primitive());
        match PackedLoraLinear.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let hidden = B::lora_hidden(x.clone(), a.clone(), dropout);
                let state = (x.clone(), words.clone(), form, a, b.clone(), hidden.clone(), scale, dropout);
                prep.finish(state, B::packed_lora_linear_from_hidden(x, words, form, hidden, b, scale))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::packed_lora_linear(x, words, form, a, b, scale, dropout))
            }
        }
    }

    fn rms_norm(x: Tracked<B, C>, weight: Tracked<B, C>, eps: f32) -> Tracked<B, C> {
        #[derive(Debug)]
        struct RmsNorm;
        impl<B: KernelBackend> Backward<B, 2> for RmsNorm {
            type State = (FloatTensor<B>, FloatTensor<B>, f32);
            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_x, node_weight] = ops.parents;
                let (x, weight, eps) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                if let Some(node) = node_weight {
                    let grad = B::rms_norm_backward_weight(grad.clone(), x.clone(), eps);
                    grads.register::<B>(node.id, grad);
                }
                if let Some(node) = node_x {
                    grads.register::<B>(node.id, B::rms_norm_backward_input(grad, x, weight, eps));
                }
            }
        }
        let nodes = [x.node(), weight.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        match RmsNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (x.clone(), weight.clone(), eps);
                prep.finish(state, B::rms_norm(x, weight, eps))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rms_norm(x, weight, eps)),
        }
    }

    fn rope(x: Tracked<B, C>, cos: Tracked<B, C>, sin: Tracked<B, C>, inverse: bool) -> Tracked<B, C> {
        #[derive(Debug)]
        struct Rope;
        impl<B: KernelBackend> Backward<B, 1> for Rope {
            type State = (FloatTensor<B>, FloatTensor<B>, bool);
            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_x] = ops.parents;
                let (cos, sin, inverse) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                if let Some(node) = node_x {
                    // A rotation is orthogonal: its transpose is the inverse rotation.
                    grads.register::<B>(node.id, B::rope(grad, cos, sin, !inverse));
                }
            }
        }
        let nodes = [x.node()];
        let (x, cos, sin) = (x.into_primitive(), cos.into_primitive(), sin.into_primitive());
        match Rope.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (cos.clone(), sin.clone(), inverse);
                prep.finish(state, B::rope(x, cos, sin, inverse))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rope(x, cos, sin, inverse)),
        }
    }

    fn attention(
        q: Tracked<B, C>,
        k: Tracked<B, C>,
        v: Tracked<B, C>,
        segment_ids: IntTensor<Self>,
        scale: f32,
    ) -> Tracked<B, C> {
        #[derive(Debug)]
        struct Attention;
        impl<B: KernelBackend> Backward<B, 3> for Attention {
            type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, IntTensor<B>, f32);
            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (q, k, v, segment_ids, scale) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let (grad_q, grad_k, grad_v) = B::attention_backward(grad, q, k, v, segment_ids, scale);
                for (node, grad) in ops.parents.into_iter().zip([grad_q, grad_k, grad_v]) {
                    if let Some(node) = node {
                        grads.register::<B>(node.id, grad);
                    }
                }
            }
        }
        let nodes = [q.node(), k.node(), v.node()];
        let (q, k, v) = (q.into_primitive(), k.into_primitive(), v.into_primitive());
        match Attention.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (q.clone(), k.clone(), v.clone(), segment_ids.clone(), scale);
                prep.finish(state, <B as KernelBackend>::attention(q, k, v, segment_ids, scale))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(<B as KernelBackend>::attention(q, k, v, segment_ids, scale))
            }
        }
    }

    fn swiglu(gate: Tracked<B, C>, up: Tracked<B, C>) -> Tracked<B, C> {
        #[derive(Debug)]
        struct Swiglu;
        impl<B: KernelBackend> Backward<B, 2> for Swiglu {
            type State = (FloatTensor<B>, FloatTensor<B>);
            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (gate, up) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let (grad_gate, grad_up) = B::swiglu_backward(grad, gate, up);
                for (node, grad) in ops.parents.into_iter().zip([grad_gate, grad_up]) {
                    if let Some(node) = node {
                        grads.register::<B>(node.id, grad);
                    }
                }
            }
        }
        let nodes = [gate.node(), up.node()];
        let (gate, up) = (gate.into_primitive(), up.into_primitive());
        match Swiglu.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((gate.clone(), up.clone()), B::swiglu(gate, up)),
            OpsKind::UnTracked(prep) => prep.finish(B::swiglu(gate, up)),
        }
    }

    fn cross_entropy(hidden: Tracked<B, C>, head: Tracked<B, C>, targets: IntTensor<Self>) -> Tracked<B, C> {
        #[derive(Debug)]
        struct CrossEntropy;
        impl<B: KernelBackend> Backward<B, 2> for CrossEntropy {
            // The gradients for a loss whose own gradient is one: the chunk's logits are freed by now.
            type State = (FloatTensor<B>, Option<FloatTensor<B>>);
            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_hidden, node_head] = ops.parents;
                let (grad_hidden, grad_head) = ops.state;
                let grad = B::float_reshape(grads.consume::<B>(&ops.node), [1, 1].into());
                if let (Some(node), Some(grad_head)) = (node_head, grad_head) {
                    grads.register::<B>(node.id, B::float_mul(grad_head, grad.clone()));
                }
                if let Some(node) = node_hidden {
                    grads.register::<B>(node.id, B::float_mul(grad_hidden, grad));
                }
            }
        }
        let learns = head.is_tracked();
        let nodes = [hidden.node(), head.node()];
        let (hidden, head) = (hidden.into_primitive(), head.into_primitive());
        match CrossEntropy.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) if learns => {
                let (loss, grad_hidden, grad_head) = B::cross_entropy_with_grads(hidden, head, targets);
                prep.finish((grad_hidden, Some(grad_head)), loss)
            }
            OpsKind::Tracked(prep) => {
                let (loss, grad_hidden) = B::cross_entropy_with_grad(hidden, head, targets);
                prep.finish((grad_hidden, None), loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::cross_entropy(hidden, head, targets)),
        }
    }
}

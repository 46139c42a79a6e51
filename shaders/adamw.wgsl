// One step of AdamW (Loshchilov and Hutter, 2019) as torch.optim.AdamW takes it, over flat vectors and in their place, with what goes before it:
// the gradient is unscaled and clipped by its global norm as torch.nn.utils.clip_grad_norm_ does, and where that norm is not finite nothing is
// changed.
//
// With the gradient's norm N, as it comes: g ← g·unscale·min(1, max_norm / (N·unscale + 1e-6)) (max_norm 0: not clipped);
// θ ← θ·keep, m ← β₁m + (1-β₁)g, v ← β₂v + (1-β₂)g², θ ← θ - rate · m / (sqrt(v)·root + ε), where keep = 1 - lr·λ,
// rate = lr / (1 - β₁ᵗ) and root = 1 / sqrt(1 - β₂ᵗ) come from the host.
//
// Bindings: theta, m, v, grad, norm [1], info. An invocation an element, 256 in a group; groups are numbered over x and y.

struct Info {
    count: u32,
    keep: f32, rate: f32, root: f32,
    beta1: f32, rest1: f32, beta2: f32, rest2: f32,
    epsilon: f32, unscale: f32, max_norm: f32, unused: u32,
}

@group(0) @binding(0) var<storage, read_write> theta: array<f32>;
@group(0) @binding(1) var<storage, read_write> m: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad: array<f32>;
@group(0) @binding(4) var<storage, read_write> norm: array<f32>;
@group(0) @binding(5) var<uniform> info: Info;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + lane;
    if (i >= info.count) { return; }
    // By its bits: a compiler may take it that floats are finite.
    if ((bitcast<u32>(norm[0]) & 0x7f800000u) == 0x7f800000u) { return; }
    var factor = info.unscale;
    if (info.max_norm > 0.0) { factor *= min(1.0, info.max_norm / (norm[0] * info.unscale + 1e-6)); }
    let g = grad[i] * factor;
    let first = info.beta1 * m[i] + info.rest1 * g;
    let second = info.beta2 * v[i] + info.rest2 * g * g;
    m[i] = first;
    v[i] = second;
    theta[i] = theta[i] * info.keep - info.rate * first / (sqrt(second) * info.root + info.epsilon);
}

// One step of AdamW (Loshchilov and Hutter, 2019) as torch.optim.AdamW takes it, over flat vectors.
//
// θ ← θ·keep, m ← β₁m + (1-β₁)g, v ← β₂v + (1-β₂)g², θ ← θ - rate · m / (sqrt(v)·root + ε), where keep = 1 - lr·λ,
// rate = lr / (1 - β₁ᵗ) and root = 1 / sqrt(1 - β₂ᵗ) come from the host.
//
// Bindings: theta, m, v, grad, new_theta, new_m, new_v, info. An invocation an element, 256 in a group; groups are numbered over x and y.

struct Info {
    count: u32,
    keep: f32, rate: f32, root: f32,
    beta1: f32, rest1: f32, beta2: f32, rest2: f32,
    epsilon: f32, unused: u32,
}

@group(0) @binding(0) var<storage, read_write> theta: array<f32>;
@group(0) @binding(1) var<storage, read_write> m: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad: array<f32>;
@group(0) @binding(4) var<storage, read_write> new_theta: array<f32>;
@group(0) @binding(5) var<storage, read_write> new_m: array<f32>;
@group(0) @binding(6) var<storage, read_write> new_v: array<f32>;
@group(0) @binding(7) var<uniform> info: Info;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + lane;
    if (i >= info.count) { return; }
    let g = grad[i];
    let first = info.beta1 * m[i] + info.rest1 * g;
    let second = info.beta2 * v[i] + info.rest2 * g * g;
    new_m[i] = first;
    new_v[i] = second;
    new_theta[i] = theta[i] * info.keep - info.rate * first / (sqrt(second) * info.root + info.epsilon);
}

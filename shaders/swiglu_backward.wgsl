{% if half %}enable f16;{% endif %}
// The gradients of silu(gate)·up.
//
// With σ = sigmoid(gate): dGate = g·up·σ·(1 + gate·(1 - σ)), dUp = g·gate·σ.
//
// Bindings: grad, gate, up, grad_gate, grad_up, info. An invocation an element, 256 in a group; groups are numbered over x and y.

struct Info { count: u32, unused: u32 }

@group(0) @binding(0) var<storage, read_write> grad: array<{{ x }}>;
@group(0) @binding(1) var<storage, read_write> gate: array<{{ x }}>;
@group(0) @binding(2) var<storage, read_write> up: array<{{ x }}>;
@group(0) @binding(3) var<storage, read_write> grad_gate: array<{{ x }}>;
@group(0) @binding(4) var<storage, read_write> grad_up: array<{{ x }}>;
@group(0) @binding(5) var<uniform> info: Info;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + lane;
    if (i >= info.count) { return; }
    let g = f32(gate[i]);
    let flowing = f32(grad[i]);
    let sigmoid = 1.0 / (1.0 + exp(-g));
    grad_gate[i] = {{ x }}(flowing * f32(up[i]) * sigmoid * (1.0 + g * (1.0 - sigmoid)));
    grad_up[i] = {{ x }}(flowing * g * sigmoid);
}

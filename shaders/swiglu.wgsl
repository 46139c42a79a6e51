{% if half %}enable f16;{% endif %}
// silu(gate)·up (Shazeer, 2020), element by element.
//
// Bindings: gate, up, out, info. An invocation an element, 256 in a group; groups are numbered over x and y.

struct Info { count: u32, unused: u32 }

@group(0) @binding(0) var<storage, read_write> gate: array<{{ x }}>;
@group(0) @binding(1) var<storage, read_write> up: array<{{ x }}>;
@group(0) @binding(2) var<storage, read_write> out: array<{{ x }}>;
@group(0) @binding(3) var<uniform> info: Info;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + lane;
    if (i >= info.count) { return; }
    let g = f32(gate[i]);
    out[i] = {{ x }}(g / (1.0 + exp(-g)) * f32(up[i]));
}

{% if half %}enable f16;{% endif %}
// Rotary position embedding (Su et al., 2021) in the rotate-half layout of Hugging Face checkpoints.
//
// The pair (i, i + d/2) of every head of x [tokens, heads, d] is turned by the angle of its token, whose cosine and sine are
// cos, sin [tokens, d/2]; `sign` -1 turns back, which is the gradient.
//
// Bindings: x, cos, sin, out, info. An invocation a pair, 256 in a group; groups are numbered over x and y.

struct Info { pairs: u32, heads: u32, half_dim: u32, sign: f32 }

@group(0) @binding(0) var<storage, read_write> x: array<{{ x }}>;
@group(0) @binding(1) var<storage, read_write> cosines: array<f32>;
@group(0) @binding(2) var<storage, read_write> sines: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<{{ x }}>;
@group(0) @binding(4) var<uniform> info: Info;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let pair = (group.x + group.y * groups.x) * 256u + lane;
    if (pair >= info.pairs) { return; }
    let i = pair % info.half_dim;
    let head = pair / info.half_dim;
    let angle = head / info.heads * info.half_dim + i;
    let first = head * info.half_dim * 2u + i;
    let second = first + info.half_dim;
    let c = cosines[angle];
    let s = sines[angle] * info.sign;
    let u = f32(x[first]);
    let v = f32(x[second]);
    out[first] = {{ x }}(u * c - v * s);
    out[second] = {{ x }}(v * c + u * s);
}

{% if half %}enable f16;{% endif %}
// The gradients of attention's keys and values.
//
// With P, dP and D as in attention_backward_query.wgsl, which has left the softmax's logarithm, D and the segment of every query in
// `rows`: dV = Pᵀ·dO, dK = s·(P·(dP - D))ᵀ·Q, summed over the query heads of a key head.
//
// Bindings: grad, q, k, v, rows, grad_k, grad_v, info. Launched as (ceil(seq / 16), kv_heads, batch) groups of 16 x 16 invocations: y is the
// key in the tile, x the query in its tile while scores are made, and the channel modulo 16 while they are mixed.

const D = {{ head_dim }}u;
const SLICE = D / 16u;
const PITCH = D + 1u;

struct Info { seq: u32, heads: u32, kv_heads: u32, scale: f32 }

@group(0) @binding(0) var<storage, read_write> grad: array<{{ x }}>;
@group(0) @binding(1) var<storage, read_write> q: array<{{ x }}>;
@group(0) @binding(2) var<storage, read_write> k: array<{{ x }}>;
@group(0) @binding(3) var<storage, read_write> v: array<{{ x }}>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> grad_k: array<{{ x }}>;
@group(0) @binding(6) var<storage, read_write> grad_v: array<{{ x }}>;
@group(0) @binding(7) var<uniform> info: Info;

var<workgroup> tile: array<f32, 16u * PITCH>;
// P, and s·P·(dP - D).
var<workgroup> pairs: array<vec2<f32>, 16u * 17u>;

{% macro load(source) %}
            for (var i = lane; i < 16u * D; i += 256u) {
                let row = i / D;
                let channel = i % D;
                var value = 0.0;
                if (query0 + row < info.seq) {
                    value = f32({{ source }}[((group.z * info.seq + query0 + row) * info.heads + head) * D + channel]);
                }
                tile[row * PITCH + channel] = value;
            }
            workgroupBarrier();
{% endmacro %}

@compute @workgroup_size(16, 16, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let key = group.x * 16u + local.y;
    let key_or_last = min(key, info.seq - 1u);
    let start = ((group.z * info.seq + key_or_last) * info.kv_heads + group.y) * D;
    let shared_by = info.heads / info.kv_heads;
    let segment = rows[(group.z * info.heads) * info.seq + key_or_last].z;
    var mixed_k: array<f32, SLICE>;
    var mixed_v: array<f32, SLICE>;
    for (var member = 0u; member < shared_by; member++) {
        let head = group.y * shared_by + member;
        for (var query0 = group.x * 16u; query0 < info.seq; query0 += 16u) {
{{ load("q") }}
            let query = query0 + local.x;
            let row = rows[(group.z * info.heads + head) * info.seq + min(query, info.seq - 1u)];
            let meet = key <= query && query < info.seq && row.z == segment;
            var p = 0.0;
            if (meet) {
                var dot = 0.0;
                for (var c = 0u; c < D; c++) { dot += tile[local.x * PITCH + c] * f32(k[start + c]); }
                p = exp(dot * info.scale - bitcast<f32>(row.x));
            }
            workgroupBarrier();
{{ load("grad") }}
            var slope = 0.0;
            if (meet) {
                for (var c = 0u; c < D; c++) { slope += tile[local.x * PITCH + c] * f32(v[start + c]); }
                slope = p * (slope - bitcast<f32>(row.y)) * info.scale;
            }
            pairs[local.y * 17u + local.x] = vec2<f32>(p, slope);
            workgroupBarrier();
            for (var j = 0u; j < 16u; j++) {
                let weight = pairs[local.y * 17u + j].x;
                for (var s = 0u; s < SLICE; s++) { mixed_v[s] += weight * tile[j * PITCH + s * 16u + local.x]; }
            }
            workgroupBarrier();
{{ load("q") }}
            for (var j = 0u; j < 16u; j++) {
                let weight = pairs[local.y * 17u + j].y;
                for (var s = 0u; s < SLICE; s++) { mixed_k[s] += weight * tile[j * PITCH + s * 16u + local.x]; }
            }
            workgroupBarrier();
        }
    }
    if (key < info.seq) {
        for (var s = 0u; s < SLICE; s++) {
            grad_k[start + s * 16u + local.x] = {{ x }}(mixed_k[s]);
            grad_v[start + s * 16u + local.x] = {{ x }}(mixed_v[s]);
        }
    }
}

{% if half %}enable f16;{% endif %}
// Scaled dot-product attention, causal inside segments, with grouped key heads: memory is linear in the length.
//
//     out = softmax(scale · Q·Kᵀ) · V
//
// Q and out are [batch, seq, heads, d], K and V [batch, seq, kv_heads, d], segments [batch, seq]. A query sees the keys at its own position
// or before it that bear its own segment. The softmax is taken online (Milakov and Gimelshein, 2018): a running maximum, the sum
// under it, and the mixture so far, which are made smaller when the maximum rises.
//
// Bindings: q, k, v, segments, out, info. Launched as (ceil(seq / 16), heads, batch) groups of 16 x 16 invocations: y is the query in the
// tile, x the key in its tile while scores are made, and the channel modulo 16 while values are mixed.

const D = {{ head_dim }}u;
const SLICE = D / 16u;
const PITCH = D + 1u;
const FORBIDDEN = -3.0e38;

struct Info { seq: u32, heads: u32, kv_heads: u32, scale: f32 }

@group(0) @binding(0) var<storage, read_write> q: array<{{ x }}>;
@group(0) @binding(1) var<storage, read_write> k: array<{{ x }}>;
@group(0) @binding(2) var<storage, read_write> v: array<{{ x }}>;
@group(0) @binding(3) var<storage, read_write> segments: array<i32>;
@group(0) @binding(4) var<storage, read_write> out: array<{{ x }}>;
@group(0) @binding(5) var<uniform> info: Info;

var<workgroup> tile: array<f32, 16u * PITCH>;
var<workgroup> scores: array<f32, 16u * 17u>;

{% macro load(source, first, heads, head) %}
        for (var i = lane; i < 16u * D; i += 256u) {
            let row = i / D;
            let channel = i % D;
            var value = 0.0;
            if ({{ first }} + row < info.seq) {
                value = f32({{ source }}[((group.z * info.seq + {{ first }} + row) * {{ heads }} + {{ head }}) * D + channel]);
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
    let query = group.x * 16u + local.y;
    // Invocations beyond the end work on the last query and write nothing.
    let token = group.z * info.seq + min(query, info.seq - 1u);
    let kv_head = group.y / (info.heads / info.kv_heads);
    let start = (token * info.heads + group.y) * D;
    let segment = segments[token];
    var top = FORBIDDEN;
    var sum = 0.0;
    var mixed: array<f32, SLICE>;
    let end = min(group.x * 16u + 16u, info.seq);
    for (var key0 = 0u; key0 < end; key0 += 16u) {
{{ load("k", "key0", "info.kv_heads", "kv_head") }}
        let key = key0 + local.x;
        var score = FORBIDDEN;
        if (key <= query && key < info.seq && segments[group.z * info.seq + min(key, info.seq - 1u)] == segment) {
            var dot = 0.0;
            for (var c = 0u; c < D; c++) { dot += f32(q[start + c]) * tile[local.x * PITCH + c]; }
            score = dot * info.scale;
        }
        scores[local.y * 17u + local.x] = score;
        workgroupBarrier();
        var best = top;
        for (var j = 0u; j < 16u; j++) { best = max(best, scores[local.y * 17u + j]); }
        let shrunk = exp(top - best);
        top = best;
        sum *= shrunk;
        for (var s = 0u; s < SLICE; s++) { mixed[s] *= shrunk; }
{{ load("v", "key0", "info.kv_heads", "kv_head") }}
        for (var j = 0u; j < 16u; j++) {
            let score_j = scores[local.y * 17u + j];
            let p = select(exp(score_j - top), 0.0, score_j == FORBIDDEN);
            sum += p;
            for (var s = 0u; s < SLICE; s++) { mixed[s] += p * tile[j * PITCH + s * 16u + local.x]; }
        }
        workgroupBarrier();
    }
    if (query < info.seq) {
        for (var s = 0u; s < SLICE; s++) { out[start + s * 16u + local.x] = {{ x }}(mixed[s] / sum); }
    }
}

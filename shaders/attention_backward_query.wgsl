{% if half %}enable f16;{% endif %}
// The gradient of attention's queries, and what the keys' gradient needs of every query.
//
// With P = softmax(s·Q·Kᵀ), dP = dO·Vᵀ and D = rowsum(P·dP): dQ = s·(P·(dP - D))·K. A first walk over the keys finds the logarithm of the
// softmax's sum and D, a second one the gradient; P is not kept.
//
// Shapes as in attention.wgsl; rows [batch, heads, seq] takes (bits of the logarithm, bits of D, segment, 0).
//
// Bindings: grad, q, k, v, segments, grad_q, rows, info. Launched as attention.wgsl is.

const D = {{ head_dim }}u;
const SLICE = D / 16u;
const PITCH = D + 1u;
const FORBIDDEN = -3.0e38;

struct Info { seq: u32, heads: u32, kv_heads: u32, scale: f32 }

@group(0) @binding(0) var<storage, read_write> grad: array<{{ x }}>;
@group(0) @binding(1) var<storage, read_write> q: array<{{ x }}>;
@group(0) @binding(2) var<storage, read_write> k: array<{{ x }}>;
@group(0) @binding(3) var<storage, read_write> v: array<{{ x }}>;
@group(0) @binding(4) var<storage, read_write> segments: array<i32>;
@group(0) @binding(5) var<storage, read_write> grad_q: array<{{ x }}>;
@group(0) @binding(6) var<storage, read_write> rows: array<vec4<u32>>;
@group(0) @binding(7) var<uniform> info: Info;

var<workgroup> tile: array<f32, 16u * PITCH>;
// A score, and its dP; later s·P·(dP - D).
var<workgroup> pairs: array<vec2<f32>, 16u * 17u>;

{% macro load(source) %}
        for (var i = lane; i < 16u * D; i += 256u) {
            let row = i / D;
            let channel = i % D;
            var value = 0.0;
            if (key0 + row < info.seq) {
                value = f32({{ source }}[((group.z * info.seq + key0 + row) * info.kv_heads + kv_head) * D + channel]);
            }
            tile[row * PITCH + channel] = value;
        }
        workgroupBarrier();
{% endmacro %}

// dP of this invocation's query and key, then their score; FORBIDDEN where they may not meet. K stays in the tile.
{% macro score_and_slope() %}
{{ load("v") }}
        let key = key0 + local.x;
        let meet = key <= query && key < info.seq && segments[group.z * info.seq + min(key, info.seq - 1u)] == segment;
        var slope = 0.0;
        if (meet) {
            for (var c = 0u; c < D; c++) { slope += f32(grad[start + c]) * tile[local.x * PITCH + c]; }
        }
        workgroupBarrier();
{{ load("k") }}
        var score = FORBIDDEN;
        if (meet) {
            var dot = 0.0;
            for (var c = 0u; c < D; c++) { dot += f32(q[start + c]) * tile[local.x * PITCH + c]; }
            score = dot * info.scale;
        }
{% endmacro %}

@compute @workgroup_size(16, 16, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let query = group.x * 16u + local.y;
    let token = group.z * info.seq + min(query, info.seq - 1u);
    let kv_head = group.y / (info.heads / info.kv_heads);
    let start = (token * info.heads + group.y) * D;
    let segment = segments[token];
    let end = min(group.x * 16u + 16u, info.seq);

    var top = FORBIDDEN;
    var sum = 0.0;
    var along = 0.0;
    for (var key0 = 0u; key0 < end; key0 += 16u) {
{{ score_and_slope() }}
        pairs[local.y * 17u + local.x] = vec2<f32>(score, slope);
        workgroupBarrier();
        var best = top;
        for (var j = 0u; j < 16u; j++) { best = max(best, pairs[local.y * 17u + j].x); }
        let shrunk = exp(top - best);
        top = best;
        sum *= shrunk;
        along *= shrunk;
        for (var j = 0u; j < 16u; j++) {
            let pair = pairs[local.y * 17u + j];
            let p = select(exp(pair.x - top), 0.0, pair.x == FORBIDDEN);
            sum += p;
            along += p * pair.y;
        }
        workgroupBarrier();
    }
    let log_sum = top + log(sum);
    along /= sum;

    var mixed: array<f32, SLICE>;
    for (var key0 = 0u; key0 < end; key0 += 16u) {
{{ score_and_slope() }}
        let p = select(exp(score - log_sum), 0.0, score == FORBIDDEN);
        pairs[local.y * 17u + local.x] = vec2<f32>(p * (slope - along) * info.scale, 0.0);
        workgroupBarrier();
        for (var j = 0u; j < 16u; j++) {
            let weight = pairs[local.y * 17u + j].x;
            for (var s = 0u; s < SLICE; s++) { mixed[s] += weight * tile[j * PITCH + s * 16u + local.x]; }
        }
        workgroupBarrier();
    }
    if (query < info.seq) {
        for (var s = 0u; s < SLICE; s++) { grad_q[start + s * 16u + local.x] = {{ x }}(mixed[s]); }
        if (local.x == 0u) {
            rows[(group.z * info.heads + group.y) * info.seq + query] =
                vec4<u32>(bitcast<u32>(log_sum), bitcast<u32>(along), bitcast<u32>(segment), 0u);
        }
    }
}

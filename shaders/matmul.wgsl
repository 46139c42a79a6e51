// A matrix product in tiles, with what a low-rank adapter adds to it.
//
//     out [m, n] = alpha · A·B + scale · drop(H·L)
//
// A is [m, k] (a_by = "row") or [k, m] ("column"); B is [n, k] ("row": a weight as checkpoints have it) or [k, n] ("column").
// With `low_rank`, H is [m, r] and L, laid out as B is, [n, r] or [r, n]: the adapter's product goes through the same tiles into
// accumulators of its own, so that neither W + s·B·A nor a second pass over `out` exists.
// `dropout` names what the counter-based mask is laid on: "a" or "b" (an operand, as stored), "low" (the adapter's product) or "".
// `packed` names the blocks that B lies in ("q8_0", "q4_0", "q4_1", as GGUF has them), which are unpacked as the tile is filled; or "".
// Rows of A and of `out` may begin at `a_from` and `out_from`: chunks of a longer matrix are not copied.
//
// Bindings: A, B, (H, L,) out, info. Launched as (ceil(n / tile_n), ceil(m / tile_m), 1) groups of 16 x 16 invocations; each of them
// holds rows x cols of the tile in registers, and a tile is 16 times as many on each side. Accumulates in f32.

const ROWS = {{ rows }}u;
const COLS = {{ cols }}u;
const TILE_M = ROWS * 16u;
const TILE_N = COLS * 16u;
const DEPTH = 16u;
// One more than the tile: neighbours in k fall into different banks.
const PITCH_A = TILE_M + 1u;
const PITCH_B = TILE_N + 1u;

struct Info {
    m: u32, n: u32, k: u32, r: u32,
    a_from: u32, out_from: u32,
    alpha: f32, scale: f32,
    seed_low: u32, seed_high: u32,
    p: f32, unused: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<{% if packed %}u32{% else %}f32{% endif %}>;
{% if low_rank %}
@group(0) @binding(2) var<storage, read_write> h: array<f32>;
@group(0) @binding(3) var<storage, read_write> l: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> info: Info;
{% else %}
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> info: Info;
{% endif %}

var<workgroup> tile_a: array<f32, DEPTH * PITCH_A>;
var<workgroup> tile_b: array<f32, DEPTH * PITCH_B>;

{% if dropout %}
// 0 or 1 / (1 - p): pcg3d (Jarzynski and Olano, 2020) of position and seed, its top 24 bits as a uniform number.
fn kept(position: u32) -> f32 {
    var v = vec3<u32>(position, info.seed_low, info.seed_high) * 1664525u + 1013904223u;
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v ^= v >> vec3<u32>(16u);
    v.x += v.y * v.z;
    return select(1.0 / (1.0 - info.p), 0.0, f32(v.x >> 8u) * 0x1p-24 < info.p);
}
{% endif %}

{% if packed %}
fn byte(at: u32) -> u32 {
    return (b[at >> 2u] >> ((at & 3u) * 8u)) & 255u;
}

fn half_float(at: u32) -> f32 {
    return unpack2x16float(byte(at) | (byte(at + 1u) << 8u)).x;
}

// Value `place` of B, which lies in GGUF's blocks of 32.
fn unpacked(place: u32) -> f32 {
    let i = place % 32u;
{% if packed == "q8_0" %}
    let at = place / 32u * 34u;
    return half_float(at) * f32(bitcast<i32>(byte(at + 2u + i) << 24u) >> 24u);
{% elif packed == "q4_0" %}
    let at = place / 32u * 18u;
    let q = (byte(at + 2u + i % 16u) >> (i / 16u * 4u)) & 15u;
    return half_float(at) * (f32(q) - 8.0);
{% else %}
    let at = place / 32u * 20u;
    let q = (byte(at + 4u + i % 16u) >> (i / 16u * 4u)) & 15u;
    return half_float(at) * f32(q) + half_float(at + 2u);
{% endif %}
}
{% endif %}

{% macro accumulate(left, left_by, left_pitch, left_from, right, right_by, depth, sums, drop_left, drop_right, unpack) %}
    for (var k0 = 0u; k0 < {{ depth }}; k0 += DEPTH) {
        for (var i = 0u; i < ROWS; i++) {
            let at = lane + i * 256u;
{% if left_by == "row" %}
            let row = at / DEPTH;
            let k = at % DEPTH;
            let place = (row0 + row + {{ left_from }}) * {{ depth }} + k0 + k;
{% else %}
            let row = at % TILE_M;
            let k = at / TILE_M;
            let place = (k0 + k) * {{ left_pitch }} + row0 + row;
{% endif %}
            var value = 0.0;
            if (row0 + row < info.m && k0 + k < {{ depth }}) {
                value = {{ left }}[place]{% if drop_left %} * kept(place){% endif %};
            }
            tile_a[k * PITCH_A + row] = value;
        }
        for (var i = 0u; i < COLS; i++) {
            let at = lane + i * 256u;
{% if right_by == "row" %}
            let col = at / DEPTH;
            let k = at % DEPTH;
            let place = (col0 + col) * {{ depth }} + k0 + k;
{% else %}
            let col = at % TILE_N;
            let k = at / TILE_N;
            let place = (k0 + k) * info.n + col0 + col;
{% endif %}
            var value = 0.0;
            if (col0 + col < info.n && k0 + k < {{ depth }}) {
                value = {% if unpack %}unpacked(place){% else %}{{ right }}[place]{% endif %}{% if drop_right %} * kept(place){% endif %};
            }
            tile_b[k * PITCH_B + col] = value;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            var xs: array<f32, ROWS>;
            var ws: array<f32, COLS>;
            for (var i = 0u; i < ROWS; i++) { xs[i] = tile_a[k * PITCH_A + local.y * ROWS + i]; }
            for (var j = 0u; j < COLS; j++) { ws[j] = tile_b[k * PITCH_B + local.x + j * 16u]; }
            for (var i = 0u; i < ROWS; i++) {
                for (var j = 0u; j < COLS; j++) {
                    {{ sums }}[i * COLS + j] += xs[i] * ws[j];
                }
            }
        }
        workgroupBarrier();
    }
{% endmacro %}

@compute @workgroup_size(16, 16, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row0 = group.y * TILE_M;
    let col0 = group.x * TILE_N;
    var sums: array<f32, ROWS * COLS>;
{{ accumulate("a", a_by, "info.m", "info.a_from", "b", b_by, "info.k", "sums", dropout == "a", dropout == "b", packed) }}
{% if low_rank %}
    var low: array<f32, ROWS * COLS>;
{{ accumulate("h", "row", "info.m", "0u", "l", b_by, "info.r", "low", false, false, false) }}
{% endif %}
    for (var i = 0u; i < ROWS; i++) {
        let row = row0 + local.y * ROWS + i;
        for (var j = 0u; j < COLS; j++) {
            let col = col0 + local.x + j * 16u;
            if (row < info.m && col < info.n) {
                let place = (row + info.out_from) * info.n + col;
                var sum = info.alpha * sums[i * COLS + j];
{% if low_rank %}
                sum += info.scale * low[i * COLS + j]{% if dropout == "low" %} * kept(place){% endif %};
{% endif %}
                out[place] = sum;
            }
        }
    }
}

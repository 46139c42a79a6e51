{% if half %}enable f16;{% endif %}
// A matrix product in tiles, on top of what a low-rank adapter adds.
//
//     out [m, n] = A·B                        or, with `low_rank`,
//     out [m, n] = A·B + scale · drop(H·L)
//
// and `scale` times A·B where there is no adapter. A is [m, k] (a_by = "row") or [k, m] ("column"); B is [n, k] ("row": a weight as checkpoints
// have it) or [k, n] ("column"). With `low_rank` A is by rows, H is [m, r], and L, laid out as B is, [n, r] or [r, n]: the adapter's product goes
// through the same tiles into the same accumulators, so that neither W + s·B·A nor a second pass over `out` exists.
// `dropout` names what the counter-based mask is laid on: "a" or "b" (an operand, as stored), "low" (the adapter's product) or "".
// `packed` names the blocks that B lies in ("q8_0", "q4_0", "q4_1", as GGUF has them), which are unpacked as the tile is filled; or "".
// With `wide`, A and B are read four elements at a time: what is contiguous in memory (k by rows, m or n by columns) is a multiple of four.
// Rows of A and of `out` may begin at `a_from` and `out_from`: chunks of a longer matrix are not copied.
//
// Bindings: A, B, (H, L,) out, info; H and L are f32, the others what `a`, `b` and `out` say. Launched as (ceil(n / tile_n), ceil(m / tile_m), 1)
// groups of 16 x 16 invocations, each of which holds rows x cols of the tile in registers; a tile is 16 times as many on each side. Tiles lie in
// workgroup memory in fours, along k for an operand by rows and along the other side for one by columns; products are taken four k at a time, with
// as many reads of fours in both cases. Accumulates in f32.

const TILE_M = {{ rows * 16 }}u;
const TILE_N = {{ cols * 16 }}u;
const DEPTH = 16u;
// Fours of a row of a tile by rows, and one more: neighbours fall into different banks.
const PITCH = 5u;

struct Info {
    m: u32, n: u32, k: u32, r: u32,
    a_from: u32, out_from: u32,
    scale: f32, p: f32,
    seed_low: u32, seed_high: u32,
}

{% set axes = ["x", "y", "z", "w"] %}
{% set a_array = "vec4<" ~ a ~ ">" if wide else a %}
{% set b_array = "u32" if packed else "vec4<" ~ b ~ ">" if wide else b %}
@group(0) @binding(0) var<storage, read_write> a: array<{{ a_array }}>;
@group(0) @binding(1) var<storage, read_write> b: array<{{ b_array }}>;
{% if low_rank %}
@group(0) @binding(2) var<storage, read_write> h: array<f32>;
@group(0) @binding(3) var<storage, read_write> l: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<{{ out }}>;
@group(0) @binding(5) var<uniform> info: Info;
{% else %}
@group(0) @binding(2) var<storage, read_write> out: array<{{ out }}>;
@group(0) @binding(3) var<uniform> info: Info;
{% endif %}

var<workgroup> tile_a: array<vec4<f32>, {{ rows * 16 * 5 if a_by == "row" else rows * 64 }}>;
var<workgroup> tile_b: array<vec4<f32>, {{ cols * 16 * 5 if b_by == "row" else cols * 64 }}>;

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
{% if dropout == "a" or dropout == "b" %}
fn kept4(position: u32) -> vec4<f32> {
    return vec4<f32>(kept(position), kept(position + 1u), kept(position + 2u), kept(position + 3u));
}
{% endif %}

{# Elements `place` to `place + 3` of an array, the first `count` of them, then zeros. #}
{% macro read4(array, type) %}
fn read_{{ array }}(place: u32, count: u32) -> vec4<f32> {
{% if type is startingwith "vec4" %}
    return vec4<f32>({{ array }}[place / 4u]);
{% else %}
    var four = vec4<f32>(f32({{ array }}[place]), 0.0, 0.0, 0.0);
    if (count > 1u) { four.y = f32({{ array }}[place + 1u]); }
    if (count > 2u) { four.z = f32({{ array }}[place + 2u]); }
    if (count > 3u) { four.w = f32({{ array }}[place + 3u]); }
    return four;
{% endif %}
}
{% endmacro %}
{{ read4("a", a_array) }}
{% if low_rank %}
{{ read4("h", "f32") }}
{{ read4("l", "f32") }}
{% endif %}
{% if packed %}
// Four bytes from an even place on.
fn word(at: u32) -> u32 {
    let low = b[at / 4u];
    if (at % 4u == 0u) { return low; }
    return (low >> 16u) | (b[at / 4u + 1u] << 16u);
}

fn half_float(at: u32) -> f32 {
    return unpack2x16float(b[at / 4u] >> (at % 4u * 8u)).x;
}

// Four neighbours in a block of 32.
fn read_b(place: u32, count: u32) -> vec4<f32> {
    let i = place % 32u;
{% if packed == "q8_0" %}
    let at = place / 32u * 34u;
    let q = (vec4<i32>(bitcast<i32>(word(at + 2u + i))) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
    return half_float(at) * vec4<f32>(q);
{% else %}
    let at = place / 32u * {{ "18u" if packed == "q4_0" else "20u" }};
    let nibbles = word(at + {{ "2u" if packed == "q4_0" else "4u" }} + i % 16u) >> (i / 16u * 4u);
    let q = vec4<f32>((vec4<u32>(nibbles) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u));
{% if packed == "q4_0" %}
    return half_float(at) * (q - 8.0);
{% else %}
    return half_float(at) * q + half_float(at + 2u);
{% endif %}
{% endif %}
}
{% else %}
{{ read4("b", b_array) }}
{% endif %}

{# Fills a tile with what begins at `first` of a side of length `limit`, and at k0. #}
{% macro fill(tile, side, array, by, first, limit, depth, offset, dropped) %}
        for (var i = lane; i < {{ side }} * DEPTH / 4u; i += 256u) {
            var four = vec4<f32>(0.0);
{% if by == "row" %}
            let row = {{ first }} + i / 4u;
            let k = k0 + i % 4u * 4u;
            if (row < {{ limit }} && k < {{ depth }}) {
                let place = (row + {{ offset }}) * {{ depth }} + k;
                four = read_{{ array }}(place, {{ depth }} - k){% if dropped %} * kept4(place){% endif %};
            }
            {{ tile }}[i / 4u * PITCH + i % 4u] = four;
{% else %}
            let row = {{ first }} + i % ({{ side }} / 4u) * 4u;
            let k = k0 + i / ({{ side }} / 4u);
            if (row < {{ limit }} && k < {{ depth }}) {
                let place = k * {{ limit }} + row;
                four = read_{{ array }}(place, {{ limit }} - row){% if dropped %} * kept4(place){% endif %};
            }
            {{ tile }}[i] = four;
{% endif %}
        }
{% endmacro %}

{# This invocation's rows of A's tile, four k each: x0, x1, .. #}
{% macro left() %}
{% if a_by == "row" %}
{% for i in range(rows) %}
            let x{{ i }} = tile_a[(local.y * {{ rows }}u + {{ i }}u) * PITCH + quad];
{% endfor %}
{% else %}
{% for part in range((rows + 3) // 4) %}
{% for c in range(4) %}
            let s{{ part }}{{ c }} = tile_a[(quad * 4u + {{ c }}u) * (TILE_M / 4u) + {{ "local.y / 4u" if rows == 1 else "local.y * " ~ rows // 4 ~ "u + " ~ part ~ "u" }}];
{% endfor %}
{% endfor %}
{% for i in range(rows) %}
{% set of = "[local.y % 4u]" if rows == 1 else "." ~ axes[i % 4] %}
            let x{{ i }} = vec4<f32>(s{{ i // 4 }}0{{ of }}, s{{ i // 4 }}1{{ of }}, s{{ i // 4 }}2{{ of }}, s{{ i // 4 }}3{{ of }});
{% endfor %}
{% endif %}
{% endmacro %}

{# This invocation's columns of B's tile at the four k: w0 .. w3, each of as many columns. #}
{% macro right() %}
{% if b_by == "row" %}
{% for j in range(cols) %}
            let t{{ j }} = tile_b[(local.x + {{ j * 16 }}u) * PITCH + quad];
{% endfor %}
{% for c in axes %}
            let w{{ loop.index0 }} = {{ "t0." ~ c if cols == 1 else "vec4<f32>(t0." ~ c ~ ", t1." ~ c ~ ", t2." ~ c ~ ", t3." ~ c ~ ")" }};
{% endfor %}
{% else %}
{% for c in range(4) %}
            let w{{ c }} = tile_b[(quad * 4u + {{ c }}u) * (TILE_N / 4u) + {{ "local.x / 4u][local.x % 4u]" if cols == 1 else "local.x]" }};
{% endfor %}
{% endif %}
{% endmacro %}

{% macro accumulate(left_array, left_offset, right_array, depth, drop_left, drop_right) %}
    for (var k0 = 0u; k0 < {{ depth }}; k0 += DEPTH) {
{{ fill("tile_a", "TILE_M", left_array, a_by, "row0", "info.m", depth, left_offset, drop_left) }}
{{ fill("tile_b", "TILE_N", right_array, b_by, "col0", "info.n", depth, "0u", drop_right) }}
        workgroupBarrier();
        for (var quad = 0u; quad < DEPTH / 4u; quad++) {
{{ left() }}
{{ right() }}
{% for i in range(rows) %}
            sum{{ i }} += x{{ i }}.x * w0;
            sum{{ i }} += x{{ i }}.y * w1;
            sum{{ i }} += x{{ i }}.z * w2;
            sum{{ i }} += x{{ i }}.w * w3;
{% endfor %}
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
{% for i in range(rows) %}
    var sum{{ i }} = {{ "0.0" if cols == 1 else "vec4<f32>(0.0)" }};
{% endfor %}
    let first_row = row0 + local.y * {{ rows }}u;
{# The columns of an invocation lie as its reads of B's tile want them. #}
{% set column = "col0 + local.x * 4u + " if b_by == "column" and cols == 4 else "col0 + local.x + 16u * " %}
{% if low_rank %}
{{ accumulate("h", "0u", "l", "info.r", false, false) }}
{% for i in range(rows) %}
    sum{{ i }} *= info.scale;
{% if dropout == "low" %}
{% for j in range(cols) %}
    sum{{ i }}{% if cols > 1 %}.{{ axes[j] }}{% endif %} *= kept((first_row + {{ i }}u + info.out_from) * info.n + {{ column }}{{ j }}u);
{% endfor %}
{% endif %}
{% endfor %}
{% endif %}
{{ accumulate("a", "info.a_from", "b", "info.k", dropout == "a", dropout == "b") }}
{% for i in range(rows) %}
    if (first_row + {{ i }}u < info.m) {
        let start = (first_row + {{ i }}u + info.out_from) * info.n;
{% for j in range(cols) %}
        if ({{ column }}{{ j }}u < info.n) {
            out[start + {{ column }}{{ j }}u] = {{ out }}(sum{{ i }}{% if cols > 1 %}.{{ axes[j] }}{% endif %}{% if not low_rank %} * info.scale{% endif %});
        }
{% endfor %}
    }
{% endfor %}
}

{% if half %}enable f16;{% endif %}
// Root-mean-square normalisation (Zhang and Sennrich, 2019) of rows x [rows, size] with weight [size].
//
// With s = 1 / sqrt(mean(x²) + eps) a row: y = x·s·w. Computes in f32; y lies in what weight does.
//
// Bindings: x, weight, out, info. A group of 256 invocations a row; groups are numbered over x and y.

struct Info { rows: u32, size: u32, eps: f32, unused: u32 }

@group(0) @binding(0) var<storage, read_write> x: array<{{ x }}>;
@group(0) @binding(1) var<storage, read_write> weight: array<{{ weight }}>;
@group(0) @binding(2) var<storage, read_write> out: array<{{ weight }}>;
@group(0) @binding(3) var<uniform> info: Info;

var<workgroup> parts: array<f32, 256>;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if (row >= info.rows) { return; }
    let start = row * info.size;
    var squares = 0.0;
    for (var i = lane; i < info.size; i += 256u) {
        let value = f32(x[start + i]);
        squares += value * value;
    }
    parts[lane] = squares;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if (lane < half) { parts[lane] += parts[lane + half]; }
        workgroupBarrier();
    }
    let scale = 1.0 / sqrt(parts[0] / f32(info.size) + info.eps);
    for (var i = lane; i < info.size; i += 256u) {
        out[start + i] = {{ weight }}(f32(x[start + i]) * scale * f32(weight[i]));
    }
}

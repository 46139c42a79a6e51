{% if half %}enable f16;{% endif %}
// The input's gradient of root-mean-square normalisation.
//
// With s = 1 / sqrt(mean(x²) + eps) a row: dX = s·(g·w - x·s²·mean(g·w·x)). Computes in f32; dX lies in what x does.
//
// Bindings: grad, x, weight, out, info. A group of 256 invocations a row; groups are numbered over x and y.

struct Info { rows: u32, size: u32, eps: f32, unused: u32 }

@group(0) @binding(0) var<storage, read_write> grad: array<{{ grad }}>;
@group(0) @binding(1) var<storage, read_write> x: array<{{ x }}>;
@group(0) @binding(2) var<storage, read_write> weight: array<{{ weight }}>;
@group(0) @binding(3) var<storage, read_write> out: array<{{ x }}>;
@group(0) @binding(4) var<uniform> info: Info;

// The sums of x² and of g·w·x.
var<workgroup> parts: array<vec2<f32>, 256>;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if (row >= info.rows) { return; }
    let start = row * info.size;
    var sums = vec2<f32>(0.0);
    for (var i = lane; i < info.size; i += 256u) {
        let value = f32(x[start + i]);
        sums += vec2<f32>(value, f32(grad[start + i]) * f32(weight[i])) * value;
    }
    parts[lane] = sums;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if (lane < half) { parts[lane] += parts[lane + half]; }
        workgroupBarrier();
    }
    let means = parts[0] / f32(info.size);
    let scale = 1.0 / sqrt(means.x + info.eps);
    let along = means.y * scale * scale;
    for (var i = lane; i < info.size; i += 256u) {
        let pulled = f32(grad[start + i]) * f32(weight[i]);
        out[start + i] = {{ x }}(scale * (pulled - f32(x[start + i]) * along));
    }
}

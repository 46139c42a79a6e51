// Cross entropy of rows of logits, and its gradient in their place.
//
// For the logits z [rows, vocab] of a row with target t: loss = logsumexp(z) - z[t]; with `gradient`, z becomes softmax(z) - onehot(t).
// Targets and losses of the row begin at `start`.
//
// Bindings: logits, targets, losses, info. A group of 256 invocations a row.

struct Info { rows: u32, vocab: u32, start: u32, unused: u32 }

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<uniform> info: Info;

// A part's largest logit, and the sum of exp(z - it).
var<workgroup> parts: array<vec2<f32>, 256>;

fn joined(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    let top = max(a.x, b.x);
    return vec2<f32>(top, a.y * exp(a.x - top) + b.y * exp(b.x - top));
}

@compute @workgroup_size(256, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    let start = row * info.vocab;
    // Lower than any logit; not infinite, for the difference of two infinities is no number.
    var part = vec2<f32>(-3.0e38, 0.0);
    for (var i = lane; i < info.vocab; i += 256u) {
        part = joined(part, vec2<f32>(logits[start + i], 1.0));
    }
    parts[lane] = part;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if (lane < half) { parts[lane] = joined(parts[lane], parts[lane + half]); }
        workgroupBarrier();
    }
    let top = parts[0].x;
    let sum = parts[0].y;
    let goal = u32(targets[info.start + row]);
    if (lane == 0u) { losses[info.start + row] = log(sum) + top - logits[start + goal]; }
{% if gradient %}
    storageBarrier();
    for (var i = lane; i < info.vocab; i += 256u) {
        logits[start + i] = exp(logits[start + i] - top) / sum - select(0.0, 1.0, i == goal);
    }
{% endif %}
}

// Some of the parts of a vector, written one after the other into it: all gradients of a model become one vector by a few launches.
//
// out[start + i] = the i-th element of the parts in a row. The ends are those of the parts in that row; the last is the number of elements.
//
// Bindings: part 0 … part {{ parts - 1 }}, out, info. An invocation an element, 256 in a group; groups are numbered over x and y.

struct Info {
    start: u32,
    {% for part in range(parts) %}end{{ part }}: u32, {% endfor %}
    {% if parts % 2 == 0 %}unused: u32,{% endif %}
}

{% for part in range(parts) %}
@group(0) @binding({{ part }}) var<storage, read_write> part{{ part }}: array<f32>;
{%- endfor %}
@group(0) @binding({{ parts }}) var<storage, read_write> out: array<f32>;
@group(0) @binding({{ parts + 1 }}) var<uniform> info: Info;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + lane;
    if (i >= info.end{{ parts - 1 }}) { return; }
    var value: f32;
    {% for part in range(parts) -%}
    {% if part > 0 %} else {% endif %}
    {%- if part < parts - 1 %}if (i < info.end{{ part }}) {% endif -%}
    { value = part{{ part }}[i{% if part > 0 %} - info.end{{ part - 1 }}{% endif %}]; }
    {%- endfor %}
    out[info.start + i] = value;
}

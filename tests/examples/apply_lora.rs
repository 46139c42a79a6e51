//! The rival in `cargo xtask bench`: a Llama of SmolLM2-135M's shape from burn's own modules, trained with burn's own `Module::apply_lora`, clipping
//! and AdamW. Usage: apply_lora cpu|wgpu qv|all SEQ STEPS RANK. It prints a line of JSON.
//!
//! Its weights are random, as a step takes the same time with any weights.

use std::time::Instant;

use burn::{
    module::{Lora, Module, ParamGroup},
    nn::{
        Embedding, EmbeddingConfig, Linear, LinearConfig, RmsNorm, RmsNormConfig, RotaryEncoding,
        RotaryEncodingConfig, loss::CrossEntropyLossConfig,
    },
    tensor::{
        Device, DeviceKind, Int, Tensor, TensorData, activation::silu, module::attention,
        ops::AttentionModuleOptions,
    },
};
use burn_optim::{AdamWConfig, GradientsParams, grad_clipping::GradientClippingConfig};

const LAYERS: usize = 30;
const HIDDEN: usize = 576;
const FFN: usize = 1536;
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const HEAD: usize = 64;
const VOCAB: usize = 49_152;

#[derive(Module, Debug)]
struct Block {
    input_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    post_attention_layernorm: RmsNorm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

#[derive(Module, Debug)]
struct Model {
    embed_tokens: Embedding,
    layers: Vec<Block>,
    norm: RmsNorm,
    rope: RotaryEncoding,
}

impl Block {
    fn new(device: &Device) -> Self {
        let linear = |size_in, size_out| LinearConfig::new(size_in, size_out).with_bias(false).init(device);
        let norm = || RmsNormConfig::new(HIDDEN).init(device);
        Self {
            input_layernorm: norm(),
            q_proj: linear(HIDDEN, HEADS * HEAD),
            k_proj: linear(HIDDEN, KV_HEADS * HEAD),
            v_proj: linear(HIDDEN, KV_HEADS * HEAD),
            o_proj: linear(HEADS * HEAD, HIDDEN),
            post_attention_layernorm: norm(),
            gate_proj: linear(HIDDEN, FFN),
            up_proj: linear(HIDDEN, FFN),
            down_proj: linear(FFN, HIDDEN),
        }
    }

    fn forward(&self, x: Tensor<3>, rope: &RotaryEncoding) -> Tensor<3> {
        let [batch, seq, _] = x.dims();
        let normed = self.input_layernorm.forward(x.clone());
        let heads = |y: Tensor<3>, n: usize| y.reshape([batch, seq, n, HEAD]).swap_dims(1, 2);
        let shared = |y: Tensor<4>| -> Tensor<4> {
            let y: Tensor<5> = y.unsqueeze_dim(2);
            y.expand([batch, KV_HEADS, HEADS / KV_HEADS, seq, HEAD]).reshape([batch, HEADS, seq, HEAD])
        };
        let q = rope.forward(heads(self.q_proj.forward(normed.clone()), HEADS));
        let k = shared(rope.forward(heads(self.k_proj.forward(normed.clone()), KV_HEADS)));
        let v = shared(heads(self.v_proj.forward(normed), KV_HEADS));
        let options = AttentionModuleOptions { is_causal: true, ..Default::default() };
        let attended =
            attention(q, k, v, None, None, options).swap_dims(1, 2).reshape([batch, seq, HEADS * HEAD]);
        let x = x + self.o_proj.forward(attended);
        let normed = self.post_attention_layernorm.forward(x.clone());
        let inner = silu(self.gate_proj.forward(normed.clone())) * self.up_proj.forward(normed);
        x + self.down_proj.forward(inner)
    }
}

impl Model {
    fn new(device: &Device) -> Self {
        Self {
            embed_tokens: EmbeddingConfig::new(VOCAB, HIDDEN).init(device),
            layers: (0..LAYERS).map(|_| Block::new(device)).collect(),
            norm: RmsNormConfig::new(HIDDEN).init(device),
            rope: RotaryEncodingConfig::new(2048, HEAD).init(device),
        }
    }

    fn loss(&self, ids: Tensor<2, Int>) -> Tensor<1> {
        let [batch, seq] = ids.dims();
        let mut x = self.embed_tokens.forward(ids.clone());
        for layer in &self.layers {
            x = layer.forward(x, &self.rope);
        }
        let x = self.norm.forward(x).narrow(1, 0, seq - 1).reshape([batch * (seq - 1), HIDDEN]);
        let logits = x.matmul(self.embed_tokens.weight.val().transpose());
        let targets = ids.narrow(1, 1, seq - 1).reshape([batch * (seq - 1)]);
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [device, targets, seq, steps, rank] = &arguments[..] else {
        eprintln!("usage: apply_lora cpu|wgpu qv|all SEQ STEPS RANK");
        std::process::exit(2);
    };
    let (seq, steps): (usize, usize) = (seq.parse().expect("SEQ"), steps.parse().expect("STEPS"));
    let rank: usize = rank.parse().expect("RANK");
    let device = match device.as_str() {
        "wgpu" => Device::wgpu(DeviceKind::DefaultDevice),
        _ => Device::flex(),
    };
    let names: &[&str] = match targets.as_str() {
        "qv" => &["q_proj", "v_proj"],
        _ => &["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    };
    let paths =
        (0..LAYERS).flat_map(|layer| names.iter().map(move |name| format!("layers.{layer}.{name}.weight")));
    let lora = Lora::new(rank, 32.0).set_param_group(ParamGroup::from_paths(paths.collect()));
    let mut model = Model::new(&device.clone().autodiff()).apply_lora(lora);
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(0.0)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
        .init();
    let mut seconds = Vec::new();
    for step in 0..=steps {
        let ids: Vec<i32> = (0..seq).map(|i| ((i * 7919 + step * 104_729) % VOCAB) as i32).collect();
        let began = Instant::now();
        let ids = Tensor::from_data(TensorData::new(ids, [1, seq]), &device);
        let loss = model.loss(ids);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-4, model, gradients);
        let loss: f32 = loss.into_scalar();
        assert!(loss.is_finite());
        // Reading a value makes sure that clipping and the update have been computed, too.
        let updated = model.layers[0].q_proj.weight.val().narrow(0, 0, 1).narrow(1, 0, 1);
        let updated: f32 = updated.into_scalar();
        assert!(updated.is_finite());
        // The first step compiles shaders and warms caches.
        if step > 0 {
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    let reserved = device.memory_pool_usage().map_or(0, |usage| usage.bytes_reserved);
    println!(
        "{}",
        serde_json::json!({
            "tokens_per_second": seq as f64 / median,
            "memory_bytes": peak * 1024,
            "device_memory_bytes": reserved,
            "steps": steps,
        })
    );
}

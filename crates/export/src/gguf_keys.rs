//! The keys of a GGUF model that follow from its `config.json`: backwards, what `lorelei-formats` reads from them.
//!
//! The keys are those of llama.cpp's `convert_hf_to_gguf.py`. llama.cpp has parts of a model in its code (its scales, its windows, its layers without
//! rotation); a configuration that says otherwise is refused, because llama.cpp would compute something else without a word.

use lorelei_formats::{
    ModelConfig,
    config::{Activation, NormKind, Rope, RopeScaling},
    gguf::GgufValue,
};
use lorelei_recipe::{Message, message};

use crate::{ExportError, llama_cpp::architecture};

/// Returns the name of the form in errors.
pub(crate) fn form() -> Message {
    message!("a GGUF model")
}

/// Returns the way out that serves every model.
pub(crate) fn elsewhere() -> Message {
    message!(
        "export it merged into its base (`merged`), and convert that with llama.cpp's convert_hf_to_gguf.py"
    )
}

/// Key and value.
pub(crate) type Keys = Vec<(String, GgufValue)>;

fn no<T>(problem: Message) -> Result<T, ExportError> {
    Err(ExportError::inexpressible(form(), problem, elsewhere()))
}

/// Returns the architecture's name and keys, and notices for the user.
///
/// # Errors
/// If llama.cpp has no such architecture, or computes something else of such a model.
pub(crate) fn keys(config: &ModelConfig) -> Result<(&'static str, Keys, Vec<Message>), ExportError> {
    const WRITTEN: [&str; 10] = [
        "llama",
        "mistral",
        "smollm3",
        "granite",
        "qwen2",
        "qwen3",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
    ];
    let architecture = architecture(config.model_type)
        .filter(|_| WRITTEN.contains(&config.model_type))
        .ok_or_else(|| {
            let model_type = config.model_type;
            let problem = message!("models of type {model_type} are not written as GGUF", model_type);
            ExportError::inexpressible(form(), problem, elsewhere())
        })?;
    refuse(config)?;
    let mut notices = Vec::new();
    let count = |number: usize| GgufValue::U32(u32::try_from(number).unwrap_or(u32::MAX));
    let float = |number: f64| GgufValue::F32(number as f32);
    let eps = match config.norm {
        NormKind::Layer => "attention.layer_norm_epsilon",
        NormKind::Rms | NormKind::RmsPlusOne => "attention.layer_norm_rms_epsilon",
    };
    let mut keys = vec![
        ("vocab_size", count(config.vocab_size)),
        ("block_count", count(config.num_hidden_layers)),
        ("context_length", count(config.max_position_embeddings)),
        ("embedding_length", count(config.hidden_size)),
        ("feed_forward_length", count(config.intermediate_size)),
        ("attention.head_count", count(config.num_attention_heads)),
        ("attention.head_count_kv", count(config.num_key_value_heads)),
        ("attention.key_length", count(config.head_dim)),
        ("attention.value_length", count(config.head_dim)),
        (eps, float(config.norm_eps)),
    ];
    if let Some(rope) = config.ropes.first() {
        keys.push(("rope.dimension_count", count(rope.dim)));
        keys.push(("rope.freq_base", float(rope.theta)));
        scaling_keys(rope, &mut keys, &mut notices)?;
    }
    let scalars = config.scalars;
    if config.model_type == "granite" {
        keys.extend([
            ("attention.scale", float(scalars.attention_scale)),
            ("embedding_scale", float(scalars.embedding_scale)),
            ("residual_scale", float(scalars.residual_scale)),
            ("logit_scale", float(1.0 / scalars.logits_scale)),
        ]);
    }
    if let Some(cap) = scalars.attention_softcap {
        keys.push(("attn_logit_softcapping", float(cap)));
    }
    if let Some(cap) = scalars.logits_softcap {
        keys.push(("final_logit_softcapping", float(cap)));
    }
    window_keys(config, &mut keys, &mut notices)?;
    let keys = keys.into_iter().map(|(key, value)| (format!("{}.{key}", architecture.name), value));
    Ok((architecture.name, keys.collect(), notices))
}

/// Refuses what llama.cpp has no key for and computes in its own way.
fn refuse(config: &ModelConfig) -> Result<(), ExportError> {
    let kind = config.model_type;
    let gemma = config.norm == NormKind::RmsPlusOne;
    let activation = if gemma || kind == "gpt2" { Activation::GeluTanh } else { Activation::Silu };
    if config.activation != activation {
        return no(message!(
            "llama.cpp's {kind} has the activation {activation}, and this one {own}",
            kind,
            ?activation,
            own = ?config.activation
        ));
    }
    let (scalars, biases) = (config.scalars, config.biases);
    // The largest Gemmas scale by the width of the residual stream divided by the number of heads.
    let largest = matches!((kind, config.num_hidden_layers), ("gemma2", 46) | ("gemma3_text", 62));
    let width =
        if largest { config.hidden_size / config.num_attention_heads.max(1) } else { config.head_dim };
    let embedding = if gemma { (config.hidden_size as f64).sqrt() } else { 1.0 };
    let own = [
        (message!("scale of the scores"), scalars.attention_scale, 1.0 / (width as f64).sqrt()),
        (message!("scale of the embeddings"), scalars.embedding_scale, embedding),
        (message!("scale of the residual branches"), scalars.residual_scale, 1.0),
        (message!("scale of the logits"), scalars.logits_scale, 1.0),
    ];
    if kind != "granite" {
        for (what, given, theirs) in own {
            if (given / theirs - 1.0).abs() > 1e-6 {
                let [given, theirs] = [given, theirs].map(|scale| format!("{scale:.6}"));
                return no(message!(
                    "the {what} is {given}, and {theirs} in llama.cpp's {kind}",
                    what,
                    given,
                    theirs,
                    kind
                ));
            }
        }
    }
    let caps = (scalars.attention_softcap.is_some(), scalars.logits_softcap.is_some());
    let caps_fit = match kind {
        "gemma2" => caps == (true, true),
        "gemma3_text" => !caps.0,
        _ => caps == (false, false),
    };
    if !caps_fit {
        return no(message!("llama.cpp's {kind} has other caps of scores and logits", kind));
    }
    let biases_fit = match kind {
        "llama" | "mistral" | "granite" | "gpt2" => true,
        "qwen2" => !biases.attention_output && !biases.mlp,
        _ => !biases.attention_input && !biases.attention_output && !biases.mlp,
    };
    if !biases_fit {
        return no(message!("llama.cpp's {kind} has no such biases", kind));
    }
    let rotates = |layer: usize| kind != "gpt2" && (kind != "smollm3" || !(layer + 1).is_multiple_of(4));
    let odd = config.layers.iter().enumerate().find(|(layer, mixer)| {
        mixer.as_attention().is_some_and(|attention| attention.rope.is_some() != rotates(*layer))
    });
    if let Some((layer, _)) = odd {
        return no(message!("llama.cpp's {kind} has no such positions in layer {layer}", kind, layer));
    }
    match config.ropes.first() {
        Some(rope) if rope.dim != config.head_dim || rope.interleaved => {
            no(message!("a part of each head is rotated, and all of it in llama.cpp's {kind}", kind))
        }
        _ => Ok(()),
    }
}

fn scaling_keys(
    rope: &Rope,
    keys: &mut Vec<(&'static str, GgufValue)>,
    notices: &mut Vec<Message>,
) -> Result<(), ExportError> {
    let text = |text: &str| GgufValue::String(text.to_owned());
    let float = |number: f64| GgufValue::F32(number as f32);
    let context = |number: usize| GgufValue::U32(u32::try_from(number).unwrap_or(u32::MAX));
    match &rope.scaling {
        RopeScaling::Default => {}
        // Llama 3's is a tensor. The converter leaves out the context of the first training, without which the tensor's parameters are a guess.
        RopeScaling::Llama3 { original_max_position_embeddings, .. } => {
            keys.push(("rope.scaling.original_context_length", context(*original_max_position_embeddings)));
        }
        RopeScaling::Linear { factor } => {
            keys.extend([("rope.scaling.type", text("linear")), ("rope.scaling.factor", float(*factor))]);
        }
        RopeScaling::Dynamic { max_position_embeddings, .. } => notices.push(message!(
            "llama.cpp has no dynamic rotary scaling: the model is right up to {length} tokens, and not beyond",
            length = *max_position_embeddings
        )),
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            original_max_position_embeddings,
            attention_factor,
            truncate,
        } => {
            let theirs = 0.1 * factor.ln() + 1.0;
            if !truncate || (attention_factor / theirs - 1.0).abs() > 1e-6 {
                return no(message!("its YaRN has an attention_factor or a ramp of its own"));
            }
            keys.extend([
                ("rope.scaling.type", text("yarn")),
                ("rope.scaling.factor", float(*factor)),
                ("rope.scaling.original_context_length", context(*original_max_position_embeddings)),
                ("rope.scaling.yarn_beta_fast", float(*beta_fast)),
                ("rope.scaling.yarn_beta_slow", float(*beta_slow)),
            ]);
        }
        RopeScaling::LongRope { .. } => return no(message!("its rotary scaling is LongRoPE")),
    }
    Ok(())
}

/// Adds the windows of Gemma 2 and 3. Other architectures read the whole context in llama.cpp.
fn window_keys(
    config: &ModelConfig,
    keys: &mut Vec<(&'static str, GgufValue)>,
    notices: &mut Vec<Message>,
) -> Result<(), ExportError> {
    let windows: Vec<Option<usize>> = config
        .layers
        .iter()
        .map(|mixer| mixer.as_attention().and_then(|attention| attention.window))
        .collect();
    let Some(window) = windows.iter().flatten().next().copied() else {
        return match config.model_type {
            "gemma2" => no(message!("llama.cpp's gemma2 has a window in every second layer")),
            _ => Ok(()),
        };
    };
    if !matches!(config.model_type, "gemma2" | "gemma3_text") {
        notices.push(message!(
            "llama.cpp reads the whole context: the window of {window} tokens is lost, and longer texts are read otherwise than in training",
            window
        ));
        return Ok(());
    }
    // Every layer of a number that the distance divides has none.
    let fits = |distance: usize| {
        let expected = |layer: usize| (!(layer + 1).is_multiple_of(distance)).then_some(window);
        windows.iter().enumerate().all(|(layer, window)| *window == expected(layer))
    };
    let usual = if config.model_type == "gemma2" { 2 } else { 6 };
    let Some(distance) = [usual].into_iter().chain(2..=windows.len() + 1).find(|distance| fits(*distance))
    else {
        return no(message!("its windows are not in layers at one distance"));
    };
    let count = |number: usize| GgufValue::U32(u32::try_from(number).unwrap_or(u32::MAX));
    keys.push(("attention.sliding_window", count(window)));
    if distance != usual {
        keys.push(("attention.sliding_window_pattern", count(distance)));
    }
    if let Some(local) = config.ropes.get(1) {
        if local.scaling != RopeScaling::Default {
            return no(message!("the layers with a window have a rotary scaling"));
        }
        keys.push(("rope.freq_base_swa", GgufValue::F32(local.theta as f32)));
    }
    Ok(())
}

/// Returns the divisors of Llama 3's rotary frequencies, `[head_dim / 2]`: the converter's `rope_freqs.weight`.
pub(crate) fn rope_divisors(config: &ModelConfig) -> Option<Vec<f32>> {
    let rope = config.ropes.first()?;
    let RopeScaling::Llama3 { .. } = rope.scaling else { return None };
    let plain = Rope { scaling: RopeScaling::Default, ..rope.clone() };
    let (plain, scaled) = (plain.frequencies(0).0, rope.frequencies(0).0);
    Some(plain.iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect())
}

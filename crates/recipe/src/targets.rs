//! The choice of the modules that get an adapter: PEFT's `check_target_module_exists`, and its defaults by architecture.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use fancy_regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{LoraConfig, RecipeError, message};

/// `target_modules`: a list of names, or one string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// Names. A module is selected if its path is one of them, or ends with `.NAME`.
    List(Vec<String>),
    /// `"all-linear"`, or a regex that matches the whole path of a module.
    Pattern(String),
}

impl TargetModules {
    /// Whether the value is `"all-linear"`: every linear layer but the output layer.
    pub fn is_all_linear(&self) -> bool {
        matches!(self, Self::Pattern(pattern) if pattern.eq_ignore_ascii_case("all-linear"))
    }

    pub(crate) fn names(&self, module_path: &str) -> bool {
        match self {
            Self::List(names) => names.iter().any(|name| is_or_ends_with(module_path, name)),
            Self::Pattern(pattern) => whole_match(pattern, module_path),
        }
    }
}

impl LoraConfig {
    /// Whether the linear module at `module_path` gets an adapter, as PEFT decides it.
    ///
    /// `module_path` is the Hugging Face name, such as `model.layers.0.self_attn.q_proj`. `layers_to_transform` takes
    /// the layer's number from that path, and from `layer_index` only if the path does not contain it; negative numbers
    /// match nothing before [`LoraConfig::with_layers_counted`] has turned them into others. Absent
    /// `target_modules` select nothing; [`LoraConfig::with_default_targets`] fills them in.
    pub fn selects(&self, module_path: &str, is_output_layer: bool, layer_index: Option<usize>) -> bool {
        if self.exclude_modules.as_ref().is_some_and(|exclude| exclude.names(module_path)) {
            return false;
        }
        match &self.target_modules {
            None => false,
            Some(target) if target.is_all_linear() => {
                !is_output_layer && self.takes_layer(module_path, layer_index)
            }
            Some(target @ TargetModules::Pattern(_)) => target.names(module_path),
            Some(target @ TargetModules::List(names)) => {
                // A full path selects its module: PEFT does not check its layer.
                names.iter().any(|name| name == module_path)
                    || target.names(module_path) && self.takes_layer(module_path, layer_index)
            }
        }
    }

    /// Returns this configuration with `target_modules` filled in for `model_type` if they are absent.
    ///
    /// # Errors
    /// If they are absent and PEFT has no default for this architecture either.
    pub fn with_default_targets(&self, model_type: &str) -> Result<LoraConfig, RecipeError> {
        let mut config = self.clone();
        if config.target_modules.is_none() {
            let names = default_target_modules(model_type).ok_or_else(|| {
                RecipeError::new(
                    "lora.target_modules",
                    message!(
                        "PEFT has no default target_modules for the architecture {model_type}",
                        ?model_type
                    ),
                )
                .with_help(message!("name them, as in [\"q_proj\", \"v_proj\"], or say \"all-linear\""))
            })?;
            config.target_modules =
                Some(TargetModules::List(names.iter().map(|name| name.to_string()).collect()));
        }
        Ok(config)
    }

    fn takes_layer(&self, module_path: &str, layer_index: Option<usize>) -> bool {
        let Some(layers) = self.layers_to_transform.as_deref().filter(|layers| !layers.is_empty()) else {
            return true;
        };
        let index = match self.layers_pattern.as_deref() {
            None | Some([]) => first_numbered_segment(module_path).or(layer_index),
            Some(patterns) => patterns.iter().find_map(|pattern| index_after(pattern, module_path)),
        };
        index.and_then(|index| i64::try_from(index).ok()).is_some_and(|index| layers.contains(&index))
    }
}

/// Returns PEFT's default `target_modules` for an architecture, or `None` if PEFT has none and they must be named.
pub fn default_target_modules(model_type: &str) -> Option<&'static [&'static str]> {
    Some(match model_type {
        "llama" | "llama4" | "mistral" | "mixtral" | "qwen2" | "qwen3" | "gemma" | "gemma2"
        | "gemma3_text" | "stablelm" | "opt" | "gptj" | "gpt_neo" | "bart" => &["q_proj", "v_proj"],
        "phi" => &["q_proj", "v_proj", "fc1", "fc2"],
        "bert" | "roberta" | "xlm-roberta" | "electra" => &["query", "value"],
        "gpt2" | "gpt_bigcode" => &["c_attn"],
        "chatglm" | "bloom" | "gpt_neox" | "falcon" => &["query_key_value"],
        _ => return None,
    })
}

/// Returns the first key that matches the end of the path: PEFT's `get_pattern_key`, `(.*\.)?(key)$` from the start.
pub(crate) fn first_matching_key<'a>(
    mut keys: impl Iterator<Item = &'a String>,
    path: &str,
) -> Option<&'a String> {
    keys.find(|key| match is_word(key) {
        // A name needs no regex.
        true => is_or_ends_with(path, key),
        false => end_pattern(key).is_ok_and(|pattern| matches(&pattern, path)),
    })
}

/// Returns the regex of a key of `rank_pattern` or `alpha_pattern`.
pub(crate) fn end_pattern(key: &str) -> Result<Rc<Regex>, fancy_regex::Error> {
    compiled(format!(r"\A(?:.*\.)?(?:{key})\z"))
}

/// Returns the regex of a string given as `target_modules`.
pub(crate) fn whole_pattern(pattern: &str) -> Result<Rc<Regex>, fancy_regex::Error> {
    compiled(format!(r"\A(?:{pattern})\z"))
}

/// Returns the regex of a name in `layers_pattern`. The first number after the name counts, not the last (an expert's).
pub(crate) fn layer_pattern(pattern: &str) -> Result<Rc<Regex>, fancy_regex::Error> {
    compiled(format!(r"\A(?:|.*?\.)(?:{pattern})\.(?P<idx>[0-9]+)\."))
}

/// Compiles a regex, once for all the modules that are held against it.
fn compiled(pattern: String) -> Result<Rc<Regex>, fancy_regex::Error> {
    /// Most regexes that are kept: a configuration has a handful.
    const KEPT: usize = 64;
    thread_local! {
        static COMPILED: RefCell<HashMap<String, Rc<Regex>>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|kept| {
        if let Some(regex) = kept.get(&pattern) {
            return Ok(regex.clone());
        }
        let regex = Rc::new(Regex::new(&pattern)?);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(pattern, regex.clone());
        Ok(regex)
    })
}

fn whole_match(pattern: &str, path: &str) -> bool {
    whole_pattern(pattern).is_ok_and(|pattern| matches(&pattern, path))
}

/// Whether a pattern matches. A pattern that backtracks a million times on a path is given up, and matches nothing.
pub(crate) fn matches(pattern: &Regex, path: &str) -> bool {
    pattern.is_match(path).unwrap_or(false)
}

fn index_after(pattern: &str, path: &str) -> Option<usize> {
    layer_pattern(pattern).ok()?.captures(path).ok()??.name("idx")?.as_str().parse().ok()
}

fn is_word(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_or_ends_with(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Finds the number that PEFT's `.*?\.[^.]*\.(\d+)\.` finds: the first one with two names before it and one after it.
fn first_numbered_segment(path: &str) -> Option<usize> {
    let segments: Vec<&str> = path.split('.').collect();
    let inner = segments.get(2..segments.len().checked_sub(1)?)?;
    let number =
        inner.iter().find(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_counts_and_only_between_names() {
        assert_eq!(first_numbered_segment("model.layers.1.experts.0.w1"), Some(1));
        assert_eq!(first_numbered_segment("transformer.h.11.attn.c_attn"), Some(11));
        for none in ["", "lm_head", "layers.0.q_proj", "model.layers.0", "a.b.c.d"] {
            assert_eq!(first_numbered_segment(none), None, "{none}");
        }
    }

    #[test]
    fn a_name_matches_as_its_regex_does() {
        for key in ["q_proj", "proj", "0", "layers", "Q_proj"] {
            for path in ["q_proj", "a.q_proj", "xq_proj", "a.q_proj.b", "layers.0", "a.layers", "", "é.proj"]
            {
                let by_regex = matches(&end_pattern(key).unwrap(), path);
                let keys = [key.to_owned()];
                assert_eq!(first_matching_key(keys.iter(), path).is_some(), by_regex, "{key} {path}");
            }
        }
    }

    #[test]
    fn a_regex_is_compiled_once_and_the_kinds_are_kept_apart() {
        let pattern = r"layers|h";
        assert!(Rc::ptr_eq(&whole_pattern(pattern).unwrap(), &whole_pattern(pattern).unwrap()));
        assert!(!Rc::ptr_eq(&whole_pattern(pattern).unwrap(), &end_pattern(pattern).unwrap()));
        assert_eq!(index_after(pattern, "model.layers.3.mlp"), Some(3));
        // More than are kept, twice: each still matches its own path alone.
        for round in 0..2 {
            for number in 0..100 {
                let own = format!("m[{number}]x*{number}");
                let pattern = format!("m\\[{number}\\]x\\*{number}");
                assert!(whole_match(&pattern, &own), "{round} {number}");
                assert!(!whole_match(&pattern, "m[100]x*100"), "{round} {number}");
            }
        }
        assert!(whole_pattern("(").is_err() && whole_pattern("(").is_err());
    }

    #[test]
    fn a_name_is_a_whole_last_name() {
        assert!(is_or_ends_with("a.q_proj", "q_proj") && is_or_ends_with("q_proj", "q_proj"));
        assert!(!is_or_ends_with("a.xq_proj", "q_proj") && !is_or_ends_with("q_proj", "a.q_proj"));
    }
}

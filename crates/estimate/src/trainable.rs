//! The parameters that a recipe trains, by PEFT's rules.

use lorelei_formats::{
    config::{LoraTarget, Module, ModuleShape, Role},
    peft::{self, AdapterPart},
};
use lorelei_recipe::{
    Bias, FinetuningType, LoraConfig, Message, Recipe, RecipeError, TargetModules, Unmatched, message,
};

use crate::{ModelShape, model_shape::own_elements};

/// Training of a module: an adapter, all of it, or its bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModuleTraining {
    /// Rank of the module's adapter, if it has one.
    pub adapter: Option<usize>,
    /// Whether all of its own parameters train: as one of `modules_to_save`, as a classifier's head, or in full fine-tuning.
    pub whole: bool,
    /// Whether its own bias trains, but none of its other own parameters.
    pub bias: bool,
}

/// Parts of a model that a recipe trains.
#[derive(Debug, Clone, PartialEq)]
pub struct Trainable {
    /// Training of each module, in the order of the modules.
    pub modules: Vec<ModuleTraining>,
    /// Tokens whose rows of the embedding train.
    pub tokens: Vec<usize>,
    /// Whether embedding and head stay tied while one of them trains (`ensure_weight_tying`): what trains of the embedding serves as the head too.
    pub keeps_tied: bool,
    /// The adapters' configuration with `target_modules` filled in; `None` in full fine-tuning.
    lora: Option<LoraConfig>,
}

/// A parameter that trains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterShape {
    /// Name of the parameter, as `Model::visit_parameters` gives it.
    pub name: String,
    /// Shape of the parameter in a file.
    pub shape: Vec<usize>,
    /// Whether it is added to the model, rather than one of the model's own.
    pub is_added: bool,
}

impl ParameterShape {
    /// Number of elements of the parameter.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|size| *size as u64).product()
    }
}

/// Number of parameters that train, and of all, as PEFT counts: added parameters are part of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterCounts {
    /// Number of parameters that train.
    pub trainable: u64,
    /// Number of all parameters.
    pub all: u64,
}

/// Counts the parameters that a recipe's run on `model` trains.
///
/// # Errors
/// The same as those of [`Trainable::of_recipe`].
pub fn parameters(recipe: &Recipe, model: &ModelShape) -> Result<ParameterCounts, RecipeError> {
    let modules = model.modules(model.task(recipe));
    Ok(Trainable::of_recipe(recipe, model, &modules)?.counts(&modules))
}

impl ModuleTraining {
    /// Whether a gradient reaches any part of the module.
    pub fn any(self) -> bool {
        self.adapter.is_some() || self.whole || self.bias
    }
}

impl Trainable {
    /// Selects the parts of `modules` that a recipe's run trains. `modules` are those of `model` for the recipe's task.
    ///
    /// # Errors
    /// The same as those of [`Trainable::with_lora`].
    pub fn of_recipe(recipe: &Recipe, model: &ModelShape, modules: &[Module]) -> Result<Self, RecipeError> {
        match recipe.training.finetuning_type {
            FinetuningType::Lora => Self::with_lora(&recipe.lora, &model.model_type, modules, &model.missing),
            FinetuningType::Full => Ok(Self::full(modules, |module| model.packed_bytes(module).is_some())),
        }
    }

    /// Selects every weight that is not packed, for full fine-tuning.
    pub fn full(modules: &[Module], is_packed: impl Fn(&Module) -> bool) -> Self {
        let training = |module: &Module| {
            // A tied head shares the embedding's weight, and a packed weight cannot train.
            let whole = !module.tied && !is_packed(module);
            ModuleTraining { adapter: None, whole, bias: !whole && module.shape.bias().is_some() }
        };
        Self {
            modules: modules.iter().map(training).collect(),
            tokens: Vec::new(),
            keeps_tied: false,
            lora: None,
        }
    }

    /// Selects the parts of a model of `model_type` that adapters of `lora` train. `missing` are the modules of its head that the checkpoint lacks.
    ///
    /// # Errors
    /// If `target_modules` are absent and the architecture has no default, or if a setting names something that the model does not have or something
    /// that cannot train.
    pub fn with_lora(
        lora: &LoraConfig,
        model_type: &str,
        modules: &[Module],
        missing: &[String],
    ) -> Result<Self, RecipeError> {
        let layers = layer_count(modules);
        let lora = lora.with_default_targets(model_type)?.with_layers_counted(layers)?;
        check_saved_names(&lora, modules)?;
        let tied = TiedPair::new(&lora, modules);
        let mut trainings = Vec::with_capacity(modules.len());
        for module in modules {
            let whole = trains_with_head(module, missing.contains(&module.path))
                || tied.chosen(module, |module| is_saved(&lora, &module.path));
            let is_target = tied.chosen(module, |module| is_target(&lora, module));
            let adapter = if whole || !is_target { None } else { Some(adapter_rank(&lora, module)?) };
            let bias = match lora.bias {
                Bias::None => false,
                Bias::All => true,
                Bias::LoraOnly => adapter.is_some(),
            };
            let bias = bias && !whole && module.shape.bias().is_some();
            trainings.push(ModuleTraining { adapter, whole, bias });
        }
        let tokens = trainable_tokens(&lora, modules, &trainings)?;
        Ok(Self { modules: trainings, tokens, keeps_tied: tied.is_kept(), lora: Some(lora) })
    }

    /// Returns the last parts of the names of the modules that get an adapter, each once, as PEFT writes them into `target_modules`: embedding and
    /// head first.
    pub fn target_modules(&self, modules: &[Module]) -> Vec<String> {
        let adapted = || modules.iter().zip(&self.modules).filter(|(_, training)| training.adapter.is_some());
        let ends = adapted().filter(|(module, _)| module.role.is_embedding_or_head());
        let blocks = adapted().filter(|(module, _)| !module.role.is_embedding_or_head());
        let mut names = Vec::new();
        for (module, _) in ends.chain(blocks) {
            if !names.iter().any(|name| name == module.last_name()) {
                names.push(module.last_name().to_owned());
            }
        }
        names
    }

    /// Returns every parameter that trains, in the order in which `Model::visit_parameters` gives them.
    pub fn parameters(&self, modules: &[Module]) -> Vec<ParameterShape> {
        let each = || modules.iter().zip(&self.modules);
        let own = |(module, training)| own_parameters(module, training);
        let Some(lora) = &self.lora else { return each().flat_map(own).collect() };
        let adapters = |(module, training): (&Module, &ModuleTraining)| match training.adapter {
            Some(rank) => adapter_parameters(lora, module, rank),
            None => Vec::new(),
        };
        let saved_head = |(module, training): &(&Module, &ModuleTraining)| {
            training.whole && matches!(module.role, Role::Pooler | Role::Classifier)
        };
        let mut parameters: Vec<ParameterShape> =
            each().filter(|(module, _)| !module.role.is_embedding_or_head()).flat_map(adapters).collect();
        parameters.extend(each().filter(|(module, _)| module.role.is_embedding_or_head()).flat_map(adapters));
        parameters.extend(each().filter(|each| !saved_head(each)).flat_map(own));
        parameters.extend(self.token_parameters(modules));
        parameters.extend(each().filter(saved_head).flat_map(own));
        parameters
    }

    /// Counts parameters as PEFT does: it keeps a frozen copy of modules that train whole, but not of biases.
    pub fn counts(&self, modules: &[Module]) -> ParameterCounts {
        let trainable = self.parameters(modules).iter().map(ParameterShape::elements).sum();
        let base: u64 = modules.iter().map(own_elements).sum();
        if self.lora.is_none() {
            return ParameterCounts { trainable, all: base };
        }
        let biases = modules.iter().zip(&self.modules).filter(|(_, training)| training.bias);
        let biases: u64 = biases.map(|(module, _)| module.shape.bias().unwrap_or(0) as u64).sum();
        ParameterCounts { trainable, all: base + trainable - biases }
    }

    /// Returns the names and patterns of the adapters' configuration that match no module.
    pub fn unmatched(&self, modules: &[Module]) -> Vec<Unmatched> {
        let Some(lora) = &self.lora else { return Vec::new() };
        let each = || modules.iter().zip(&self.modules);
        let paths: Vec<&str> = each().map(|(module, _)| &module.path[..]).collect();
        let adapted = each().filter(|(_, training)| training.adapter.is_some());
        let adapted: Vec<&str> = adapted.map(|(module, _)| &module.path[..]).collect();
        lora.unmatched(&paths, &adapted, layer_count(modules))
    }

    /// Returns the error of adapters that no module gets, with the setting that is the cause, if another setting takes away every module that
    /// `target_modules` selects.
    pub fn deselected(lora: &LoraConfig, modules: &[Module]) -> Option<RecipeError> {
        let selects = |lora: &LoraConfig| {
            modules.iter().any(|module| is_target(lora, module) && !is_saved(lora, &module.path))
        };
        let selects_without = |take: fn(&mut LoraConfig)| {
            let mut without = lora.clone();
            take(&mut without);
            selects(&without)
        };
        let (setting, problem, help) = if selects(lora) {
            return None;
        } else if selects_without(|lora| lora.modules_to_save = None) {
            (
                "lora.modules_to_save",
                message!("it trains every module whole that target_modules selects, so none gets an adapter"),
                message!("name a module in one of the two"),
            )
        } else if selects_without(|lora| lora.exclude_modules = None) {
            (
                "lora.exclude_modules",
                message!("it excludes every module that target_modules selects"),
                message!("exclude fewer"),
            )
        } else if selects_without(|lora| lora.layers_pattern = None) {
            (
                "lora.layers_pattern",
                message!("no path of a module has one of its names before a number of layers_to_transform"),
                message!("leave it out: the first number in a path counts then"),
            )
        } else if selects_without(|lora| (lora.layers_to_transform, lora.layers_pattern) = (None, None)) {
            (
                "lora.layers_to_transform",
                message!("the layers that it names have no module that target_modules selects"),
                message!("name others: they count from 0, or from the last as -1"),
            )
        } else {
            return None;
        };
        Some(RecipeError::new(setting, problem).with_help(help))
    }

    /// Returns the adapters' configuration with `target_modules` filled in; `None` in full fine-tuning.
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_ref()
    }

    fn token_parameters(&self, modules: &[Module]) -> Option<ParameterShape> {
        let embedding = modules.iter().find(|module| module.role == Role::Embedding)?;
        let ModuleShape::Embedding { columns, .. } = embedding.shape else { return None };
        (!self.tokens.is_empty()).then(|| ParameterShape {
            name: peft::trainable_tokens(&embedding.path),
            shape: vec![self.tokens.len(), columns],
            is_added: true,
        })
    }
}

/// Whether a part of a classifying head trains whole with it. These parts are the layer that outputs the classes, modules that PEFT regards as a part
/// of it, and modules that the checkpoint lacks. The latter begin at random, and nobody else could recreate them unless they are saved with the
/// adapter.
pub fn trains_with_head(module: &Module, is_missing: bool) -> bool {
    match module.role {
        Role::Classifier => true,
        Role::Pooler => peft::is_classifier_head(&module.path) || is_missing,
        Role::Embedding
        | Role::PositionEmbedding
        | Role::TokenTypeEmbedding
        | Role::EmbeddingNorm
        | Role::Attention(_)
        | Role::Mlp(_)
        | Role::Norm(..)
        | Role::FinalNorm
        | Role::LmHead => false,
    }
}

/// Whether `modules_to_save` names a module or one that contains it.
fn is_saved(lora: &LoraConfig, path: &str) -> bool {
    let names = lora.modules_to_save.as_deref().unwrap_or_default();
    names.iter().any(|name| names_module(name, path))
}

/// Whether a name of `modules_to_save` is the end of a module's path or of the path of one that contains it, which is PEFT's rule.
fn names_module(name: &str, path: &str) -> bool {
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| &path[..end]).any(|path| path.ends_with(name))
}

/// Refuses names of `modules_to_save` that the model does not have. PEFT names a classifier's heads in every classifying adapter, whichever of
/// them the model has.
fn check_saved_names(lora: &LoraConfig, modules: &[Module]) -> Result<(), RecipeError> {
    let is_known = |name: &str| {
        peft::is_classifier_head(name) || modules.iter().any(|module| names_module(name, &module.path))
    };
    let names = lora.modules_to_save.as_deref().unwrap_or_default();
    let Some(name) = names.iter().find(|name| !is_known(name)) else { return Ok(()) };
    let examples = modules.iter().filter(|module| module.lora_target() != LoraTarget::Never);
    let mut examples: Vec<&str> = examples.map(|module| &module.path[..]).collect();
    if let [first, .., last] = examples[..] {
        examples = vec![first, last];
    }
    let problem = message!("it names {name}, which the model does not have", name);
    let help = match examples[..] {
        [first, last] => message!("name modules such as {first} and {last}", first, last),
        _ => message!("name modules such as {first}", first = examples.join(" and ")),
    };
    Err(RecipeError::new("lora.modules_to_save", problem).with_help(help))
}

fn layer_count(modules: &[Module]) -> usize {
    modules.iter().filter_map(|module| module.layer).max().map_or(0, |last| last + 1)
}

/// Embedding and head that `ensure_weight_tying` keeps tied. PEFT keeps them so if the model ties them and the embedding has the usual name; for others
/// it warns and lets them part.
struct TiedPair<'m>(Option<[&'m Module; 2]>);

impl<'m> TiedPair<'m> {
    fn new(lora: &LoraConfig, modules: &'m [Module]) -> Self {
        let find = |role: Role| modules.iter().find(|module| module.role == role);
        let ends = find(Role::Embedding).zip(find(Role::LmHead));
        let tied = ends.filter(|(embedding, head)| head.tied && embedding.last_name() == "embed_tokens");
        Self(tied.filter(|_| lora.ensure_weight_tying).map(|(embedding, head)| [embedding, head]))
    }

    fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a module is chosen. Of a tied pair the embedding is, if either of them is.
    fn chosen(&self, module: &Module, chosen: impl Fn(&Module) -> bool) -> bool {
        match (self.0, module.role) {
            (Some(pair), Role::Embedding) => pair.into_iter().any(chosen),
            (Some(_), Role::LmHead) => false,
            _ => chosen(module),
        }
    }
}

/// Whether `lora` gives a module an adapter.
fn is_target(lora: &LoraConfig, module: &Module) -> bool {
    let all_linear = lora.target_modules.as_ref().is_some_and(TargetModules::is_all_linear);
    (!all_linear || module.lora_target() == LoraTarget::AllLinear)
        && lora.selects(&module.path, module.role == Role::LmHead, module.layer)
}

/// Returns the rank of the adapter on a module that is a target.
fn adapter_rank(lora: &LoraConfig, module: &Module) -> Result<usize, RecipeError> {
    let (path, target) = (&module.path, module.lora_target());
    let refuse = |why: Message| {
        Err(RecipeError::new("lora.target_modules", message!("it selects {path}: {why}", path, why)))
    };
    let is_plain = !lora.use_dora && !lora.lora_bias && !lora.init_lora_weights.changes_the_base();
    match (target, module.role) {
        (LoraTarget::Never, _) => {
            refuse(message!("adapters are for linear layers and the embedding of tokens; leave it out"))
        }
        (LoraTarget::Named, Role::Embedding) if !is_plain => refuse(message!(
            "use_dora, lora_bias, pissa and olora are for linear layers; leave the embedding out"
        )),
        (LoraTarget::Named, Role::LmHead) if lora.init_lora_weights.changes_the_base() => {
            refuse(message!("pissa and olora are for the blocks' linear layers; leave the head out"))
        }
        (LoraTarget::Named | LoraTarget::AllLinear, _) => {
            let rank = lora.rank(path);
            match module.shape {
                ModuleShape::Linear { size_out, size_in, .. }
                    if lora.init_lora_weights.changes_the_base() && rank > size_out.min(size_in) =>
                {
                    let most = size_out.min(size_in);
                    let problem = message!(
                        "r = {rank} is above the {most} singular values of {path}",
                        rank,
                        most,
                        path
                    );
                    let help = message!(
                        "lower it, or give {path} a rank of {most} or less in rank_pattern",
                        path,
                        most
                    );
                    Err(RecipeError::new("lora.r", problem).with_help(help))
                }
                _ => Ok(rank),
            }
        }
    }
}

/// Returns the tokens of `trainable_token_indices`.
fn trainable_tokens(
    lora: &LoraConfig,
    modules: &[Module],
    trainings: &[ModuleTraining],
) -> Result<Vec<usize>, RecipeError> {
    let refuse = |problem: Message| Err(RecipeError::new("lora.trainable_token_indices", problem));
    let named = lora.trainable_token_indices.as_ref().map(|indices| indices.by_module()).unwrap_or_default();
    let embedding = modules.iter().zip(trainings).find(|(module, _)| module.role == Role::Embedding);
    let Some((embedding, training)) = embedding else { return Ok(Vec::new()) };
    let path = &embedding.path;
    let ids = match &named[..] {
        [] => return Ok(Vec::new()),
        [(module, ids)] if module.is_none_or(|module| path.ends_with(module)) => *ids,
        _ => return refuse(message!("it names another module than the embedding; name {path} alone", path)),
    };
    if training.any() {
        return refuse(message!(
            "it names the embedding, which trains whole or has an adapter; leave one out"
        ));
    }
    let ModuleShape::Embedding { rows: vocab, .. } = embedding.shape else { return Ok(Vec::new()) };
    for (at, id) in ids.iter().enumerate() {
        if *id >= vocab {
            return refuse(message!("it names token {id}, and the model has {vocab}", id = *id, vocab));
        }
        if ids[..at].contains(id) {
            return refuse(message!("it names token {id} twice", id = *id));
        }
    }
    Ok(ids.to_vec())
}

/// Returns the parameters of a LoRA adapter of `rank` on a module.
fn adapter_parameters(lora: &LoraConfig, module: &Module, rank: usize) -> Vec<ParameterShape> {
    let parts = match module.shape {
        ModuleShape::Embedding { rows, columns } => vec![
            (AdapterPart::LoraEmbeddingA, vec![rank, rows]),
            (AdapterPart::LoraEmbeddingB, vec![columns, rank]),
        ],
        ModuleShape::Linear { size_out, size_in, .. } => {
            let bias = lora.lora_bias.then(|| (AdapterPart::LoraBBias, vec![size_out]));
            let magnitude = lora.use_dora.then(|| (AdapterPart::MagnitudeVector, vec![size_out]));
            let matrices =
                [(AdapterPart::LoraA, vec![rank, size_in]), (AdapterPart::LoraB, vec![size_out, rank])];
            matrices.into_iter().chain(bias).chain(magnitude).collect()
        }
        ModuleShape::Norm { .. } => Vec::new(),
    };
    let named = |(part, shape): (AdapterPart, _)| ParameterShape {
        name: part.parameter(&module.path),
        shape,
        is_added: true,
    };
    parts.into_iter().map(named).collect()
}

/// Returns the module's own parameters that train.
fn own_parameters(module: &Module, training: &ModuleTraining) -> Vec<ParameterShape> {
    let path = &module.path;
    let own = |name: String, shape| ParameterShape { name, shape, is_added: false };
    let bias = |name: String| module.shape.bias().map(|size| own(name, vec![size]));
    match *training {
        ModuleTraining { whole: true, .. } => {
            let weight = own(format!("{path}.weight"), module.shape.weight());
            [weight].into_iter().chain(bias(format!("{path}.bias"))).collect()
        }
        ModuleTraining { bias: true, adapter: Some(_), .. } => {
            bias(peft::base_layer_bias(path)).into_iter().collect()
        }
        ModuleTraining { bias: true, adapter: None, .. } => {
            bias(format!("{path}.bias")).into_iter().collect()
        }
        ModuleTraining { bias: false, .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_meant_by_how_their_paths_end() {
        let config =
            LoraConfig { modules_to_save: Some(vec!["head".into(), "mlp".into()]), ..LoraConfig::default() };
        for (path, saved) in [
            ("lm_head", true),
            ("model.layers.0.mlp", true),
            ("model.layers.0.mlp.gate_proj", true),
            ("model.layers.0.self_attn.q_proj", false),
            ("header", false),
        ] {
            assert_eq!(is_saved(&config, path), saved, "{path}");
        }
    }
}

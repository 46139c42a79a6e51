//! Every keyword of the classes and functions that a script is read for is taken, mapped or listed; none ends the import, and none is lost.

use lorelei_recipe::{Imported, Recipe};

/// Fields of Transformers 5.23's `TrainingArguments`, with those of version 4 that it removed.
const TRAINING: &str = "output_dir per_device_train_batch_size num_train_epochs max_steps learning_rate lr_scheduler_type lr_scheduler_kwargs \
    warmup_steps optim optim_args weight_decay adam_beta1 adam_beta2 adam_epsilon optim_target_modules gradient_accumulation_steps \
    average_tokens_across_devices max_grad_norm label_smoothing_factor bf16 fp16 bf16_full_eval fp16_full_eval tf32 activation_checkpointing \
    activation_checkpointing_kwargs gradient_checkpointing gradient_checkpointing_kwargs torch_compile torch_compile_backend torch_compile_mode \
    use_liger_kernel liger_kernel_config use_cache neftune_noise_alpha torch_empty_cache_steps auto_find_batch_size logging_strategy logging_steps \
    logging_first_step log_on_each_node logging_nan_inf_filter include_num_input_tokens_seen log_level log_level_replica disable_tqdm report_to \
    run_name project trackio_space_id trackio_bucket_id trackio_static_space_id eval_strategy eval_steps eval_delay per_device_eval_batch_size \
    prediction_loss_only eval_on_start eval_do_concat_batches eval_use_gather_object eval_accumulation_steps include_for_metrics \
    batch_eval_metrics save_only_model save_strategy save_steps save_on_each_node save_total_limit enable_jit_checkpoint push_to_hub hub_token \
    hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision load_best_model_at_end metric_for_best_model greater_is_better \
    ignore_data_skip restore_callback_states_from_checkpoint full_determinism seed data_seed use_cpu accelerator_config parallelism_config \
    dataloader_drop_last dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor \
    dataloader_multiprocessing_context dataloader_in_order remove_unused_columns label_names train_sampling_strategy length_column_name \
    ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp fsdp_config deepspeed debug \
    skip_memory_metrics do_train do_eval do_predict resume_from_checkpoint local_rank evaluation_strategy overwrite_output_dir warmup_ratio \
    group_by_length adafactor no_cuda per_gpu_train_batch_size per_gpu_eval_batch_size logging_dir save_safetensors half_precision_backend \
    include_tokens_per_second use_mps_device torchdynamo push_to_hub_token sortish_sampler predict_with_generate generation_max_length \
    generation_num_beams generation_config";

/// Fields of TRL 1.16's `SFTConfig` beside those, with some that it had before 1.0.
const SFT: &str = "model_init_kwargs trust_remote_code router_aux_loss_coef chat_template_path dataset_text_field dataset_kwargs dataset_num_proc \
    eos_token max_length truncation_mode shuffle_dataset packing packing_strategy padding_free pad_to_multiple_of eval_packing \
    completion_only_loss assistant_only_loss loss_type activation_offloading pad_token max_seq_length dataset_batch_size num_of_sequences \
    chars_per_token use_liger";

/// Fields of PEFT 0.21's `LoraConfig`.
const LORA: &str = "task_type peft_type auto_mapping peft_version base_model_name_or_path revision inference_mode r target_modules exclude_modules \
    lora_alpha lora_dropout fan_in_fan_out bias use_rslora modules_to_save init_lora_weights layers_to_transform layers_pattern rank_pattern \
    alpha_pattern megatron_config megatron_core trainable_token_indices loftq_config eva_config corda_config lora_ga_config use_dora \
    velora_config alora_invocation_tokens use_qalora qalora_group_size monteclora_config layer_replication runtime_config lora_bias \
    target_parameters use_bdlora arrow_config kasa_config ensure_weight_tying";

/// Arguments of TRL 1.16's `SFTTrainer`, with those that it had before 0.13.
const TRAINER: &str = "model args data_collator train_dataset eval_dataset processing_class compute_loss_func compute_metrics callbacks optimizers \
    optimizer_cls_and_kwargs preprocess_logits_for_metrics quantization_config peft_config formatting_func tokenizer model_init max_seq_length \
    packing dataset_text_field infinite num_of_sequences chars_per_token dataset_num_proc dataset_batch_size neftune_noise_alpha \
    model_init_kwargs dataset_kwargs eval_packing";

/// Arguments of Unsloth 2026.10's `FastLanguageModel.from_pretrained`.
const UNSLOTH_LOAD: &str = "model_name max_seq_length dtype load_in_4bit load_in_8bit load_in_16bit full_finetuning token device_map \
    device_map_planner_kwargs rope_scaling fix_tokenizer trust_remote_code use_gradient_checkpointing resize_model_vocab revision \
    use_exact_model_name offload_embedding float32_mixed_precision fast_inference gpu_memory_utilization float8_kv_cache random_state \
    max_lora_rank disable_log_stats qat_scheme load_in_fp8 unsloth_tiled_mlp text_only on_model_resolved";

/// Arguments of its `get_peft_model`, and of `FastModel`'s.
const UNSLOTH_ADAPTER: &str = "r target_modules lora_alpha lora_dropout bias layers_to_transform layers_pattern finetune_last_n_layers \
    use_gradient_checkpointing random_state max_seq_length use_rslora modules_to_save init_lora_weights loftq_config temporary_location \
    qat_scheme target_parameters ensure_weight_tying offload_layers checkpoint_skip_layers finetune_vision_layers finetune_language_layers \
    finetune_attention_modules finetune_mlp_modules finetune_audio_layers";

/// Imports a script, and returns the recipe and whether anything is said of line 4.
fn import(text: &str) -> (Recipe, bool) {
    let imported = Imported::from_text(text, "f.py").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let said = imported.left_out.iter().chain(&imported.warnings).any(|warning| warning.line == 4);
    (imported.recipe, said)
}

/// Checks the keywords of a call. `script` has `KEYWORD` on line 4, where a keyword and its comma go.
fn check(keywords: &str, script: &str) {
    let base = import(&script.replace("KEYWORD", "")).0;
    for keyword in keywords.split_whitespace() {
        let with = |value: &str| import(&script.replace("KEYWORD", &format!("{keyword}={value},")));
        let (recipe, said) = with("compute(3)");
        assert!(said || recipe != base, "{keyword}=compute(3) is lost in\n{script}");
        for value in ["'probe/none'", "{'probe': 7}", "['probe', 'two']", "0.375"] {
            let (recipe, said) = with(value);
            assert!(said || recipe != base, "{keyword}={value} is lost in\n{script}");
        }
        // A value may be the default, but not each of these.
        let some = ["True", "False", "7", "3"].iter().any(|value| {
            let (recipe, said) = with(value);
            said || recipe != base
        });
        assert!(some, "{keyword} is lost in\n{script}");
        with("None");
    }
}

#[test]
fn no_keyword_is_lost() {
    check(TRAINING, "\n\nargs = TrainingArguments(\n    KEYWORD\n)\nLoraConfig(r=4)\n");
    check(
        TRAINING,
        "\n\nargs = SFTConfig(\n    KEYWORD\n)\nLoraConfig(r=4)\nSFTTrainer(model='m', args=args, peft_config=LoraConfig(r=4))\n",
    );
    check(
        SFT,
        "\n\nargs = SFTConfig(\n    KEYWORD\n)\nSFTTrainer(model='m', args=args, peft_config=LoraConfig(r=4))\n",
    );
    check(LORA, "\n\nconfig = LoraConfig(\n    KEYWORD\n)\nargs = TrainingArguments('o')\n");
    check(
        TRAINER,
        "config = LoraConfig(r=4)\nload = AutoModelForCausalLM.from_pretrained('n')\ntrainer = SFTTrainer(\n    KEYWORD\n)\n",
    );
    check(
        UNSLOTH_LOAD,
        "from unsloth import FastLanguageModel\n\nmodel, tokenizer = FastLanguageModel.from_pretrained(\n    KEYWORD\n)\nSFTTrainer(model=FastLanguageModel.get_peft_model(model))\n",
    );
    for class in ["FastLanguageModel", "FastModel"] {
        let script = format!(
            "from unsloth import {class}\n\nmodel = {class}.get_peft_model(base,\n    KEYWORD\n)\nSFTTrainer(model=model)\n"
        );
        check(UNSLOTH_ADAPTER, &script);
    }
}

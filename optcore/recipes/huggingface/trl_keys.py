"""Keys of TRL's scripts that are not about the optimization."""

from __future__ import annotations

from optcore.recipes.defaults import words

# Models, data, adapters, losses, rewards, generation: the fields of TRL 1.10's ScriptArguments,
# DatasetMixtureConfig, ModelConfig and the configurations of its trainers except PPO's, and those
# that the scripts of alignment-handbook, open-r1 and SimPO add.
OTHERS = words("""
    activation_offloading additional_non_special_tokens additional_special_tokens alpha
    assistant_only_loss attn_implementation auto_insert_empty_system_msg base_model_revision
    benchmarks beta bnb_4bit_quant_storage bnb_4bit_quant_type cache_implementation callbacks
    center_rewards_coefficient chat_template chat_template_kwargs chat_template_path
    code_eval_scoring_mode code_eval_test_batch_size code_language code_provider
    completion_only_loss cosine_max_len cosine_max_value_correct cosine_max_value_wrong
    cosine_min_value_correct cosine_min_value_wrong cpo_alpha dataset_config dataset_configs
    dataset_eval_splits dataset_kwargs dataset_mixer dataset_mixture dataset_name
    dataset_num_proc dataset_prompt_column dataset_splits dataset_streaming dataset_test_split
    dataset_text_field dataset_train_split datasets delta desirable_weight disable_dropout
    discopop_tau ds3_gather_for_generation e2b_router_url entropy_coef entropy_coef_delta
    entropy_coef_max entropy_coef_min entropy_target eos_token epsilon epsilon_high eval_packing
    f_alpha_divergence_coef f_divergence_type gamma_beta_ratio generate_during_eval
    generation_batch_size generation_kwargs hub_model_revision ignore_bias_buffers
    importance_sampling_level ioi_provider is_encoder_decoder label_pad_token_id label_smoothing
    ld_alpha lmbda log_completions log_completions_hub_repo log_multimodal log_unique_prompts
    lora_alpha lora_dropout lora_r lora_target_modules lora_target_parameters lora_task_type
    loss_type loss_weights mask_truncated_completions max_completion_len max_completion_length
    max_density_ratio max_length max_new_tokens max_position_embeddings max_prompt_length
    max_seq_length max_target_length max_tool_calling_iterations min_density_ratio min_p
    model_code_revision model_name_or_path model_revision morph_router_url
    multi_objective_aggregation normalize_advantages num_completions_to_print num_generations
    num_generations_eval num_iterations off_policy_mask_threshold overwrite_hub_revision packing
    packing_strategy pad_to_multiple_of pad_token padding_free padding_value
    parallel_code_exec_per_proc precompute_ref_batch_size precompute_ref_log_probs
    preprocessing_num_workers prompt_loss_weight prompt_sample_size push_to_hub_revision
    ref_model_mixup_alpha ref_model_sync_steps repetition_max_penalty repetition_n_grams
    repetition_penalty reward_clip_range reward_funcs reward_weights rope_scaling_factor
    rope_scaling_method router_aux_loss_coef sapo_temperature_neg sapo_temperature_pos
    scale_rewards seq_kd sft_weight shuffle_dataset simpo_gamma soft_punish_cache step_separator
    steps_per_generation streaming sync_ref_model system_prompt teacher_model_init_kwargs
    teacher_model_name_or_path temperature text_column tokenizer_name_or_path
    top_entropy_quantile top_k top_p train_on_last_step_only trainer_type
    transformers_continuous_batching_config truncation_mode truncation_side trust_remote_code
    undesirable_weight use_adaptive_entropy use_bias_correction_kl use_bnb_nested_quant use_dora
    use_flash_attention_2 use_plw use_plw_sample_template use_rslora
    use_transformers_continuous_batching use_transformers_paged use_vllm use_weighting
    vespo_k_neg vespo_k_pos vespo_lambda_neg vespo_lambda_pos vllm_device vllm_enable_sleep_mode
    vllm_gpu_memory_utilization vllm_group_port vllm_importance_sampling_cap
    vllm_importance_sampling_clip_max vllm_importance_sampling_clip_min
    vllm_importance_sampling_correction vllm_importance_sampling_mode vllm_max_model_length
    vllm_mode vllm_model_impl vllm_server_base_url vllm_server_host vllm_server_port
    vllm_server_timeout vllm_structured_outputs_regex vllm_tensor_parallel_size wandb_entity
    wandb_log_unique_prompts wandb_project wandb_run_group
""")

"""
Convert a configuration of LLaMA-Factory 0.9: TrainingArguments and LLaMA-Factory's own arguments.

Trained parameters are float32; with pure_bf16, they are bfloat16
(src/llamafactory/model/adapter.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import others, words
from optcore.recipes.huggingface import trainer
from optcore.recipes.huggingface.arguments import convert_precision, convert_run, is_on
from optcore.recipes.source import Source

OPTIMIZERS = words("use_galore use_apollo use_badam use_adam_mini use_muon")
OTHERS = words("""
    adapter_folder adapter_name_or_path add_special_tokens add_tokens additional_target asft_alpha
    audio_sampling_rate batching_strategy block_diag_attn buffer_size cache_dir compute_accuracy
    compute_dtype create_new_adapter crop_to_patches cutoff_len data_shared_file_system dataset
    dataset_dir default_system device_map disable_gradient_checkpointing disable_shuffling do_sample
    double_quantization dpo_label_smoothing eaft_alpha early_stopping_steps enable_liger_kernel
    enable_thinking enable_torch_profiler eval_dataset eval_num_beams eval_on_each_dataset
    export_device export_dir export_legacy_format export_size finetuning_type flash_attn fp8
    fp8_backend fp8_enable_fsdp_float8_all_gather freeze_extra_modules freeze_language_model
    freeze_multi_modal_projector freeze_trainable_layers freeze_trainable_modules
    freeze_vision_tower hf_hub_token ignore_pad_token_for_loss image_do_pan_and_scan
    image_max_pixels image_min_pixels include_effective_tokens_per_second infer_backend infer_dtype
    init_special_tokens interleave_probs kt_config kt_cpu_activation kt_weight_path
    kto_chosen_weight kto_rejected_weight ld_alpha length_penalty lora_alpha lora_dropout lora_rank
    lora_target low_cpu_mem_usage mask_history max_length max_new_tokens max_samples media_dir
    mix_strategy mixture_of_depths model_max_length model_name_or_path model_revision module_dropout
    moe_aux_loss_coef ms_hub_token neat_packing new_special_tokens_config num_beams offload_folder
    oft_block_size oft_rank oft_target om_hub_token overwrite_cache packing pissa_convert pissa_init
    pissa_iter plot_loss pref_bco_weight pref_beta pref_ftx pref_loss preprocessing_batch_size
    preprocessing_num_workers preserve_thinking print_param_status quantization_bit
    quantization_device_map quantization_method quantization_type ray_num_workers ref_model
    ref_model_adapters ref_model_quantization_bit repetition_penalty resize_vocab reward_model
    reward_model_adapters reward_model_type rope_scaling shift_attn simpo_gamma
    skip_special_tokens split_special_tokens streaming swanlab_api_key swanlab_mode
    swanlab_project swanlab_run_name swanlab_workspace temperature template tokenized_path
    tool_format top_k top_p train_from_scratch train_on_prompt trust_remote_code upcast_layernorm
    upcast_lmhead_output use_asft_loss use_audio_in_video use_dft_loss use_dora use_eaft_loss
    use_fast_tokenizer use_kt use_kv_cache use_llama_pro use_packed_sequences use_reentrant_gc
    use_rslora use_swanlab use_unsloth use_unsloth_gc use_v1_kernels val_size video_fps
    video_max_pixels video_maxlen video_min_pixels vllm_config vllm_enforce_eager vllm_gpu_util
    vllm_max_lora_rank vllm_maxlen
""")
MEGATRON = words("use_mca use_hyper_parallel use_megatron_bridge")


def convert(file: Block) -> None:
    """Convert *file*, a whole LLaMA-Factory configuration."""
    if "micro_batch_size" in file:
        _refuse_v1(file)
        return
    stage = file.get("stage", "sft")
    if stage == "ppo":
        file.refused("stage", "has a loop of its own for ppo")
    file.other("stage", "the loss, not the optimization")
    convert_run(file, trainer.NAMES)
    _schedule(file)
    _precision(file)
    for name in (*OPTIMIZERS, *MEGATRON):
        if is_on(file, name):
            file.refused(name, "has an optimizer of its own")
        file.other(name, "it is off")
    if file.given("loraplus_lr_ratio"):
        file.refused("loraplus_lr_ratio", "gives the matrices B of LoRA an lr of their own")
    others(file, ("loraplus_lr_ratio", "loraplus_lr_embedding"), "it is off")
    trainer.refuse_what_replaces(file)
    others(file, (*trainer.OTHERS, *OTHERS))


def _refuse_v1(file: Block) -> None:
    """Refuse a file for the trainer in LLaMA-Factory's folder v1, whose arguments differ."""
    file.refused("micro_batch_size", "is for the trainer v1, whose precision is that of its FSDP")
    others(file, file.left(), "read by the trainer v1")


def _schedule(file: Block) -> None:
    kwargs = file.get("lr_scheduler_kwargs") or {}
    if file.get("lr_scheduler_type") == "warmup_stable_decay" and not kwargs:
        file.refused("lr_scheduler_type", "takes two thirds of the steps after the warmup to fall")
    trainer.convert_warmed_schedule(file, trainer.NAMES)


def _precision(file: Block) -> None:
    if is_on(file, "pure_bf16"):
        file.converted("pure_bf16", "training.precision", "bf16_true")
        for name in ("bf16", "fp16"):
            file.ignored(name, "pure_bf16 is on")
        return
    file.other("pure_bf16", "it is off")
    convert_precision(file)


def fits(config: Mapping[str, Any]) -> bool:
    """Return whether *config* has the keys of LLaMA-Factory's training configurations."""
    return "model_name_or_path" in config and "stage" in config


SOURCE = Source(
    name="llamafactory",
    title="a LLaMA-Factory configuration",
    sign="the keys model_name_or_path and stage",
    fits=fits,
    convert=convert,
)

"""Convert transformers' TrainingArguments, in JSON or YAML (5.24, training_args.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import others, words
from optcore.recipes.huggingface.arguments import (
    Length,
    convert_precision,
    convert_run,
    convert_schedule,
    share_of,
    steps_of,
)
from optcore.recipes.huggingface.optimizers import Names
from optcore.recipes.source import Source

NAMES = Names(
    by="Trainer",
    optimizer="optim",
    scheduler="lr_scheduler_type",
    epochs="num_train_epochs",
    batch="per_device_train_batch_size",
    default_scheduler="linear",
    default_epochs=3.0,
    default_lr=5e-5,
)
OWN = ("per_device_train_batch_size", "num_train_epochs", "lr_scheduler_type", "optim")
"""Keys of TrainingArguments that other frameworks do not have."""
# Arguments in releases 4 and 5 that do not change how gradients update parameters.
OTHERS = words("""
    _n_gpu accelerator_config activation_checkpointing activation_checkpointing_kwargs
    auto_find_batch_size average_tokens_across_devices batch_eval_metrics bf16_full_eval data_seed
    dataloader_drop_last dataloader_in_order dataloader_multiprocessing_context
    dataloader_num_workers dataloader_persistent_workers dataloader_pin_memory
    dataloader_prefetch_factor ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb
    ddp_find_unused_parameters ddp_static_graph ddp_timeout debug disable_tqdm dispatch_batches
    do_eval do_predict do_train enable_jit_checkpoint eval_accumulation_steps eval_delay
    eval_do_concat_batches eval_on_start eval_steps eval_strategy eval_use_gather_object
    evaluation_strategy fp16_backend fp16_full_eval fp16_opt_level fsdp fsdp_config
    fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap full_determinism gradient_checkpointing
    gradient_checkpointing_kwargs greater_is_better group_by_length half_precision_backend
    hub_always_push hub_model_id hub_private_repo hub_revision hub_strategy hub_token
    ignore_data_skip include_for_metrics include_inputs_for_metrics include_num_input_tokens_seen
    include_tokens_per_second jit_mode_eval label_names label_smoothing_factor length_column_name
    liger_kernel_config load_best_model_at_end local_rank log_level log_level_replica
    log_on_each_node logging_dir logging_first_step logging_nan_inf_filter logging_steps
    logging_strategy metric_for_best_model mp_parameters neftune_noise_alpha no_cuda output_dir
    overwrite_output_dir parallelism_config past_index per_device_eval_batch_size
    per_gpu_eval_batch_size prediction_loss_only project push_to_hub push_to_hub_model_id
    push_to_hub_organization push_to_hub_token ray_scope remove_unused_columns report_to
    restore_callback_states_from_checkpoint resume_from_checkpoint run_name
    save_on_each_node save_only_model save_safetensors save_steps save_strategy save_total_limit
    seed skip_memory_metrics split_batches tf32 torch_compile torch_compile_backend
    torch_compile_mode torch_empty_cache_steps torchdynamo tpu_metrics_debug tpu_num_cores
    trackio_bucket_id trackio_space_id trackio_static_space_id train_sampling_strategy use_cache
    use_cpu use_ipex use_legacy_prediction_loop use_liger_kernel use_mps_device warmup_steps_ratio
""")


def convert(file: Block) -> None:
    """Convert *file*, the arguments of a Trainer."""
    convert_run(file, NAMES)
    convert_warmed_schedule(file, NAMES)
    convert_precision(file)
    refuse_what_replaces(file)
    others(file, OTHERS)


def convert_warmed_schedule(file: Block, names: Names) -> None:
    """
    Convert the schedule and its warmup.

    A warmup_steps from 1 on is a number of steps; below 1, it is a share of the run. The key
    warmup_ratio of transformers 4 is always a share of the run.
    """
    length, key = _warmup(file)
    convert_schedule(file, names, length, (key,))
    for other in ("warmup_steps", "warmup_ratio"):
        if other != key:
            file.ignored(other, f"{key} is used" if length is not None else "there is no warmup")


def _warmup(file: Block) -> tuple[Length, str]:
    steps = float(file.number("warmup_steps", 0)) if file.given("warmup_steps") else 0.0
    if steps >= 1:
        return int(steps), "warmup_steps"
    if steps > 0:
        return share_of(steps, steps_of(file), math.ceil, "up"), "warmup_steps"
    ratio = float(file.number("warmup_ratio", 0)) if file.given("warmup_ratio") else 0.0
    return share_of(ratio, steps_of(file), math.ceil, "up"), "warmup_ratio"


def refuse_what_replaces(file: Block) -> None:
    """Refuse keys that replace the optimizer or the schedule."""
    if file.given("deepspeed"):
        file.refused("deepspeed", "may replace optimizer and schedule, and is in another file")
    file.other("deepspeed", "it is off")
    file.ignored("optim_target_modules", "Trainer reads it with GaLore and APOLLO alone")


def fits(config: Mapping[str, Any]) -> bool:
    """Return whether *config* has keys of TrainingArguments, and no key model_name_or_path."""
    return any(key in config for key in OWN) and "model_name_or_path" not in config


SOURCE = Source(
    name="transformers",
    title="the TrainingArguments of transformers",
    sign="one of per_device_train_batch_size, num_train_epochs, lr_scheduler_type, optim",
    fits=fits,
    convert=convert,
)

"""Options of timm 1.0's train.py: flags, lists, and options not about the optimization."""

from __future__ import annotations

from optcore.recipes.defaults import words

ALIASES = {
    "b": "batch_size",
    "vb": "validation_batch_size",
    "j": "workers",
    "dr": "decay_rate",
    # argparse also accepts the beginning of a name.
    "jsd": "jsd_loss",
    "bce": "bce_loss",
}
FLAGS = words("""
    amp bce_loss bce_sum channels_last dataset_download dataset_trust_remote_code fast_norm
    grad_checkpointing jsd_loss log_wandb model_ema model_ema_force_cpu model_ema_warmup
    naflex_loader naflex_patchify_channels_first no_aug no_ddp_bb no_prefetcher no_resume_opt
    pin_mem pretrained resplit save_images sched_on_updates split_bn sync_bn synchronize_step
    torchscript use_multi_epochs_loader warmup_prefix native_amp apex_amp
""")
LISTS = words("""
    cutmix_minmax decay_milestones input_size lr_noise mean model_kwargs opt_betas opt_kwargs ratio
    scale std train_batch_sizes train_img_sizes train_size_probs wandb_tags device_modules
    naflex_patch_size_probs naflex_patch_sizes naflex_train_seq_lens
""")
# Data, augmentation, the model, the loss, logging, checkpoints, several devices.
OTHERS = words("""
    aa aug_repeats aug_splits bce_loss bce_pos_weight bce_sum bce_target_thresh bn_eps bn_momentum
    bn_tf channels_last checkpoint_hist class_map color_jitter color_jitter_prob config crop_pct
    cutmix cutmix_minmax data data_dir dataset dataset_download dataset_trust_remote_code device
    device_modules dist_bn distill_loss_weight drop drop_block drop_connect drop_path epoch_repeats
    eval_metric experiment fast_norm fuser gaussian_blur_prob gp grad_checkpointing grayscale_prob
    head_init_bias head_init_scale hflip img_size in_chans initial_checkpoint input_img_mode
    input_key input_size interpolation jsd_loss kd_loss_type kd_model_name kd_distill_type
    kd_student_feature_dim kd_teacher_feature_dim kd_temperature kd_token_distill_type
    local_rank log_interval log_wandb mean mixup mixup_mode mixup_off_epoch mixup_prob
    mixup_switch_prob model model_kwargs naflex_loader naflex_loss_scale naflex_max_seq_len
    naflex_patch_size_probs naflex_patch_sizes naflex_patchify_channels_first naflex_train_seq_lens
    no_aug no_ddp_bb no_prefetcher no_resume_opt num_classes output pin_mem prefetcher pretrained
    pretrained_path ratio recount recovery_interval remode reprob resplit resume save_images scale
    smoothing split_bn std sync_bn synchronize_step target_key task_loss_weight torchcompile
    torchcompile_mode torchscript train_batch_sizes train_batches_per_epoch train_crop_mode
    train_img_sizes train_interpolation train_num_samples train_size_probs train_size_random_mix
    train_size_schedule train_size_schedule_spread train_split tta use_multi_epochs_loader
    val_interval val_num_samples val_split validation_batch_size variable_batch_loss_scale vflip
    wandb_project wandb_resume_id wandb_tags worker_seeding workers
""")

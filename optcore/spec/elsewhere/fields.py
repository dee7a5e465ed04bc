"""
Map arguments of other libraries to the fields of a job that have the same meaning.

An argument may stand for several fields: ``alpha`` is a share of the mean in torch's RMSprop, and
the end of the curve in Keras's cosine. The order of the entries in the tables below matters, since
an error message suggests one field only: the first entry that is a field of the refused spec.

If no entry is a field of that spec, the message suggests the first entry that is the path of a
field in another part of the job, such as ``optimizer.clip``.
"""

from __future__ import annotations

from collections.abc import Mapping

from optcore.spec.elsewhere.table import Answers, table

FIELDS: Mapping[str, Answers] = table(
    """
    lr: learning_rate base_lr lr0 initial_lr init_lr eta step_size base_learning_rate start_lr
        learningrate starting_lr init_value max_lr peak_value lr_init initial_learning_rate
    beta1: betas b1 adam_beta1 momentum beta opt_betas beta1_power
    beta2: b2 adam_beta2 decay_rate beta2_power
    beta2_decay: decay_rate beta2_decay_rate decay
    clip_threshold: d clipping_threshold
    eps1: eps epsilon_1 epsilon1
    eps2: epsilon_2 epsilon2
    eps: epsilon adam_epsilon eps_root opt_eps
    rho: alpha decay decay_rate smoothing_constant
    momentum: mu beta1 beta b1 mass momentum_factor
    dampening: damp
    nesterov: use_nesterov
    amsgrad: use_amsgrad
    weight_decay: wd coeff decay weight_decay_rate lamb_weight_decay lars_weight_decay
        regularization_coeff weight_decay_coefficient l2_coeff regularizer
    decoupled_weight_decay: decoupled_decay
    momentum_decay: schedule_decay psi
    lr_decay: learning_rate_decay
    initial_accumulator_value: initial_accum accumulator accum init_accumulator
        initial_accumulator
    lambd: lambda_
    l1_strength: l1_regularization_strength l1_regularization
    l2_strength: l2_regularization_strength l2_regularization
    l2_shrinkage: l2_shrinkage_regularization_strength
    eta_minus: etas eta_plus_minus
    step_min: step_sizes min_step_size
    step_max: max_step_size
    lars_coeff: trust_coefficient trust_coeff coefficient eeta
    always_adapt: always_adapt_lr
    scale_parameter: multiply_by_parameter_scale
    relative_step: relative_updates
    ns_steps: backend_steps ns_iters
    ns_a: ns_coefficients ns_coeffs
    ns_eps: muon_eps
    adjust_lr: adjust_lr_fn
    exclude: exclude_from_weight_decay exclude_layers exclude_embeddings
    adamw_beta1: adam_betas adamw_betas
    no_weight_decay_name: no_weight_decay_name_list
    weight_lr_power: lr_power
    r: polynomial_r
    grad_centralization: gc use_gc gradient_centralization
    multi_precision: master_weights use_master_weights
    state_bits: optim_bits min_8bit_size
    groups: params_groups param_groups parameter_groups parameters_groups no_decay layer_decay
    clip: grad_clip clipnorm global_clipnorm clipvalue clip_norm clip_grad clip_gradients
        max_grad_norm clip_value clip_norm_global gradient_clip_norm gradient_clipping
        gradient_clip_val
    maximize: maximise
    history_size: memory_size
    line_search_fn: linesearch

    base: base_lr base_learning_rate initial_learning_rate min_lr
    up: step_size_up stepsize step_size exp_up
    down: step_size_down
    scales: scale_fn
    scale_per: scale_mode
    gamma: decay_rate factor exp_gamma lr_decay_rate
    rate: gamma decay_rate decay_factor
    factor: gamma decay_rate lr_factor cycle_decay start_factor decay constant_factor
    factors: lr_lambda
    every: decay_epoch step_size decay_steps decay_t decay_epochs transition_steps period
        decay_step
    milestones: decay_milestones decay_t decay_steps decay_epochs boundaries multi_steps
        steps_list milestone
    boundaries: milestones decay_epochs steps boundaries_and_scales
    first: T_max1
    length: T_max T_0 t_initial total_steps total_iters decay_steps decay_epochs max_iter
        num_training_steps transition_steps first_decay_steps t_max total_step max_update
        lr_cycle_limit decay_epoch tmax cycle cycle_steps max_epochs epochs cycle_length
    t_mul: lr_cycle_mul T_mult cycle_mul
    m_mul: lr_cycle_decay cycle_decay
    end: eta_min min_lr end_lr end_learning_rate end_value lr_min lr_end final_lr stop_lr
        min_learning_rate final_value minimum_lr
    end_fraction: alpha end_factor min_lr_rate min_lr_ratio final_lr_ratio lr_min_ratio
    start_fraction: start_factor
    power: exponent
    decay: num_decay_steps cooldown_steps decay_length
    shape: anneal_strategy decay_type cooldown_type strategy warmup_type
    pct_start: phase_pct warmup_ratio pct
    div_factor: divide_factor
    final_div_factor: final_div
    cycle: update_decay_steps
    lr_power: learning_rate_power
    threshold_mode: thresh_mode
    threshold: min_delta delta
    patience: plateau_patience patience_t patience_epochs
    cooldown: cooldown_t cooldown_epochs
    min_lr: lr_min
    metric: monitor eval_metric metric_name
    std: lr_noise_std noise_std
    limit: lr_noise_pct noise_pct
    begin: noise_range_t lr_noise
    seed: noise_seed random_seed
    num_periods: num_cycles periods
    warmup_steps: num_warmup_steps warmup_iters warmup_t
    d_model: model_size hidden_size embedding_dim
    relative: multiplier
    at_boundary: inclusive
    staircase: is_stair
    variance_decay: decay_variance
    schedule: base_scheduler lr_scheduler after_scheduler scheduler lr_schedule sched
        lr_scheduler_type learning_rate_schedule
    schedules: schedulers
    by: last_epoch last_step
    warmup: warmup_steps warmup_epochs num_warmup_steps warmup_ratio warmup_t warmup_iters
        warmup_epoch warmup_step linear_warmup warmup_lr_init warmup_start_lr warmup_init_lr
        warmup_target warmup_start_factor warmup_factor warmup_proportion warmup_lr warmup_prefix
    after: warmup_prefix
    start: start_lr warmup_lr_init warmup_start_lr warmup_init_lr init_lr init_value
        initial_learning_rate warmup_lr warmup_bias_lr
    length: steps warmup_steps warmup_epochs num_warmup_steps warmup_iters warmup_t duration
    end: warmup_target peak_lr max_lr peak_value

    steps: max_steps total_steps num_steps max_iters iterations train_steps max_iter
        total_train_steps num_iterations
    epochs: num_train_epochs max_epochs num_epochs epoch_num train_epochs epoch total_epochs
    accumulate: gradient_accumulation_steps grad_accum_steps accumulate_grad_batches grad_accum
        accumulation_steps accumulate_steps
    precision: fp16 bf16 amp mixed_precision use_amp amp_level dtype amp_dtype half_precision
        torch_dtype tf32 keep_batchnorm_fp32 cast_model_type
    loss_scale: grad_scaler init_loss_scaling scale_loss use_dynamic_loss_scaling
        loss_scale_manager loss_scaling
    ema: model_ema use_ema ema_decay weight_averaging ema_momentum
    lookahead: use_lookahead
    evaluate_every: eval_steps eval_strategy evaluation_strategy val_check_interval eval_every
        validation_freq eval_interval
    checkpoint_every: save_steps save_interval save_freq save_every save_epoch_step
    keep_best: load_best_model_at_end save_best_only save_best
    early_stopping: early_stopping_patience early_stop
    decay: ema_momentum model_ema_decay ema_decay momentum beta
    overwrite_every: ema_overwrite_frequency
    alpha: slow_step_size la_alpha
    every: la_steps sync_period la_k model_ema_steps ema_steps update_every swa_freq
    begin: swa_start swa_epoch_start update_after_step
    power: warmup_power ema_power
    label_smoothing: smoothing label_smoothing_factor
    start: init_scale init_loss_scaling initial_scale loss_scale_value
    growth: growth_factor incr_ratio scale_factor
    backoff: backoff_factor decr_ratio
    window: growth_interval incr_every_n_steps scale_window dynamic_growth_steps
    scale: loss_scale_value
    max: max_norm clip_norm max_grad_norm clip_value group_norm clip_value_max max_value clip_max
    min: clip_value_min min_value clip_min
    batch_size: per_device_train_batch_size train_batch_size batch_size_per_card
        micro_batch_size mini_batch_size
    model: network net architecture
    dataset: data train_dataset data_loader
    optimizer: optim opt optimiser
    training: trainer train
    lr_scale: lr_mult learning_rate_multiplier lr_multiplier learning_rate
    match: params param_names parameters
    hidden: hidden_sizes hidden_layer_sizes
    frozen: freeze freeze_params freeze_layers trainable requires_grad
    frozen_statistics: freeze_bn freeze_norm norm_eval
    training.frozen: freeze freeze_params freeze_layers trainable requires_grad
    training.ema: use_ema ema_momentum ema_overwrite_frequency model_ema
    training.loss_scale: loss_scale grad_scaler loss_scale_factor
    optimizer.lr: learning_rate base_lr lr max_lr peak_lr initial_learning_rate init_lr
        peak_value init_value initial_lr start_lr max_learning_rate
    optimizer.weight_decay: weight_decay wd
    optimizer.clip: max_grad_norm clip_grad gradient_clip_val grad_clip clip_norm clipnorm
        global_clipnorm gradient_clipping
    optimizer.groups: layer_decay no_weight_decay param_groups
    optimizer.schedules: cycle_momentum base_momentum max_momentum
    engine: foreach fused capturable differentiable
    schedule.warmup: warmup_type warmup_steps warmup_ratio warmup_epochs num_warmup_steps
        warmup_iters
        warmup_t warmup_lr
    schedule: lr_scheduler scheduler lr_scheduler_type sched
    training.epochs: num_train_epochs epochs max_epochs num_epochs epoch_num
    training.steps: max_steps steps num_training_steps total_steps max_iters
    training.accumulate: gradient_accumulation_steps accumulate_grad_batches
    training.precision: fp16 bf16 amp mixed_precision amp_level
    training.seed: seed data_seed
    dataset.batch_size: per_device_train_batch_size batch_size train_batch_size
    training.evaluate_every: eval_steps eval_strategy
    training.checkpoint_every: save_steps
    """
)
"""Maps an argument from another library to our fields for it."""

BY_KIND: Mapping[str, Mapping[str, str]] = {
    "one_cycle": {"maxlr": "optimizer.lr", "baselr": "start", "minlr": "end"},
    "cyclic": {"maxlr": "optimizer.lr", "baselr": "base", "stepsize": "up"},
    "rmsprop": {"decay": "rho", "beta": "rho"},
    "asgd": {"lambda": "lambd"},
    "momentum": {"decay": "weight_decay"},
    "cosine_restarts": {"alpha": "end_fraction", "cycledecay": "m_mul"},
    "muon": {"beta": "momentum", "betas": "adamw_beta1"},
    "exponential": {"decay": "rate", "factor": "rate"},
    "Warmup": {"ratio": "length", "target": "end", "type": "shape", "factor": "start"},
    "Lookahead": {"k": "every", "steps": "every"},
    "DynamicLossScale": {"scale": "start"},
    "batch_norm": {"beta": "affine", "gamma": "affine", "scale": "affine", "decay": "momentum"},
    "leaky_relu": {"alpha": "negative_slope"},
    "dropout": {"rate": "p"},
}
"""Maps a kind (or the class of a spec without a kind) to argument -> our field in that spec."""

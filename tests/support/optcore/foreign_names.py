"""Public names of other libraries, as their versions of November 2026 have them."""

SCHEDULES = {
    "torch": """LambdaLR MultiplicativeLR StepLR MultiStepLR ConstantLR LinearLR ExponentialLR
        SequentialLR PolynomialLR CosineAnnealingLR ChainedScheduler ReduceLROnPlateau CyclicLR
        CosineAnnealingWarmRestarts OneCycleLR""",
    "paddle": """NoamDecay PiecewiseDecay NaturalExpDecay InverseTimeDecay PolynomialDecay
        LinearWarmup ExponentialDecay MultiStepDecay StepDecay LambdaDecay ReduceOnPlateau
        CosineAnnealingDecay MultiplicativeDecay OneCycleLR CyclicLR LinearLR
        CosineAnnealingWarmRestarts""",
    "paddleocr": """Linear Cosine Step Piecewise CyclicalCosine OneCycle Const DecayLearningRate
        MultiStepDecay TwoStepCosine LinearWarmupCosine""",
    "mindspore": """CosineDecayLR ExponentialDecayLR InverseDecayLR NaturalExpDecayLR
        PolynomialDecayLR WarmUpLR cosine_decay_lr exponential_decay_lr inverse_decay_lr
        natural_exp_decay_lr piecewise_constant_lr polynomial_decay_lr warmup_lr""",
    "keras": """CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay
        PiecewiseConstantDecay PolynomialDecay LearningRateSchedule ReduceLROnPlateau""",
    "tf1": """cosine_decay cosine_decay_restarts exponential_decay inverse_time_decay
        linear_cosine_decay natural_exp_decay noisy_linear_cosine_decay piecewise_constant
        piecewise_constant_decay polynomial_decay""",
    "optax": """constant_schedule cosine_decay_schedule cosine_onecycle_schedule exponential_decay
        join_schedules linear_onecycle_schedule linear_schedule piecewise_constant_schedule
        piecewise_interpolate_schedule polynomial_schedule sgdr_schedule warmup_constant_schedule
        warmup_cosine_decay_schedule warmup_exponential_decay_schedule reduce_on_plateau""",
    "timm": """CosineLRScheduler MultiStepLRScheduler PlateauLRScheduler PolyLRScheduler
        StepLRScheduler TanhLRScheduler cosine tanh step multistep plateau poly""",
    "transformers": """linear cosine cosine_with_restarts polynomial constant constant_with_warmup
        inverse_sqrt reduce_lr_on_plateau cosine_with_min_lr cosine_warmup_with_min_lr
        warmup_stable_decay greedy get_constant_schedule get_constant_schedule_with_warmup
        get_cosine_schedule_with_warmup get_cosine_with_hard_restarts_schedule_with_warmup
        get_cosine_with_min_lr_schedule_with_warmup
        get_cosine_with_min_lr_schedule_with_warmup_lr_rate get_greedy_schedule
        get_inverse_sqrt_schedule get_linear_schedule_with_warmup
        get_polynomial_decay_schedule_with_warmup get_reduce_on_plateau_schedule
        get_wsd_schedule""",
}
"""Classes, functions and names of schedules that have a kind or a field here."""

OPTIMIZERS = {
    "torch": """Adafactor Muon Adadelta Adagrad Adam Adamax AdamW ASGD LBFGS NAdam RAdam RMSprop
        Rprop SGD SparseAdam""",
    "paddle": """SGD Momentum Adagrad Adam AdamW Adamax Adadelta RMSProp Lamb NAdam RAdam Rprop
        ASGD LBFGS LarsMomentumOptimizer LookAhead""",
    "mindspore": """SGD Momentum Adam AdamWeightDecay AdaMax Adagrad Adadelta AdaFactor ASGD FTRL
        Lamb LARS LazyAdam ProximalAdagrad RMSProp Rprop""",
    "keras": """SGD RMSprop Adam AdamW Adadelta Adagrad Adamax Adafactor Nadam Ftrl Lion Lamb Muon
        ScheduleFreeAdamW""",
    "tf1": """GradientDescentOptimizer MomentumOptimizer AdagradOptimizer AdadeltaOptimizer
        AdamOptimizer RMSPropOptimizer FtrlOptimizer ProximalAdagradOptimizer
        ProximalGradientDescentOptimizer""",
    "optax": """sgd adam adamw adamax nadam radam rmsprop adagrad adadelta adafactor lion lamb lars
        amsgrad lbfgs rprop muon""",
    "timm": """sgd momentum nesterov adam adamw adamax nadam radam rmsprop rmsprop_tf adadelta
        adagrad adafactor lamb lambc lars larc lion muon lookahead""",
    "transformers": """adamw_torch adamw_torch_fused adamw_torch_xla adamw_torch_npu_fused adafactor
        sgd adagrad lion_32bit paged_adamw_32bit paged_lion_32bit rmsprop rmsprop_bnb
        rmsprop_bnb_32bit schedule_free_adamw""",
}
"""Classes, functions and names of optimizers that have a kind or a field here."""

ARGUMENTS = {
    "torch schedules": """step_size gamma milestones factor total_iters start_factor end_factor
        T_max eta_min T_0 T_mult base_lr max_lr step_size_up step_size_down mode scale_fn
        scale_mode power lr_lambda schedulers total_steps pct_start anneal_strategy div_factor
        final_div_factor three_phase patience threshold threshold_mode cooldown min_lr eps
        last_epoch cycle_momentum base_momentum max_momentum""",
    "torch optimizers": """lr betas eps weight_decay amsgrad maximize momentum dampening nesterov
        alpha centered rho lr_decay initial_accumulator_value lambd t0 etas step_sizes
        momentum_decay decoupled_weight_decay beta2_decay d max_iter max_eval tolerance_grad
        tolerance_change history_size line_search_fn ns_coefficients ns_steps adjust_lr_fn
        foreach fused capturable differentiable""",
    "paddle": """learning_rate gamma milestones boundaries values decay_steps end_lr power cycle
        warmup_steps start_lr d_model T_max eta_min step_size beta1 beta2 epsilon weight_decay
        grad_clip multi_precision momentum use_nesterov regularization_coeff lamb_weight_decay
        always_adapt lars_coeff lars_weight_decay initial_accumulator_value rho centered
        max_learning_rate scale_fn exp_gamma divide_factor end_learning_rate phase_pct""",
    "mindspore": """learning_rate momentum weight_decay loss_scale use_nesterov beta1 beta2 eps
        decay epsilon centered accum l1 l2 lr_power initial_accum min_lr max_lr decay_steps
        decay_rate is_stair end_learning_rate power update_decay_steps warmup_steps
        decay_epoch total_step warmup_epoch milestone order_params params
        grad_centralization clip_threshold scale_parameter relative_step warmup_init""",
    "keras": """learning_rate beta_1 beta_2 epsilon amsgrad weight_decay clipnorm clipvalue
        global_clipnorm use_ema ema_momentum ema_overwrite_frequency loss_scale_factor
        gradient_accumulation_steps initial_learning_rate decay_steps alpha warmup_target
        warmup_steps t_mul m_mul end_learning_rate power cycle decay_rate staircase boundaries
        values momentum nesterov rho centered learning_rate_power l1_regularization_strength
        l2_regularization_strength l2_shrinkage_regularization_strength beta""",
    "optax": """learning_rate b1 b2 eps eps_root momentum nesterov weight_decay decay
        decay_rate clipping_threshold multiply_by_parameter_scale min_step_size max_step_size
        init_value end_value decay_steps transition_steps alpha exponent peak_value
        boundaries_and_scales pct_start div_factor final_div_factor memory_size
        trust_coefficient linesearch staircase initial_accumulator_value""",
    "timm": """opt lr weight_decay momentum opt_betas opt_eps clip_grad layer_decay sched
        lr_noise lr_noise_pct lr_noise_std lr_cycle_mul lr_cycle_decay lr_cycle_limit warmup_lr
        min_lr epochs warmup_epochs decay_epochs decay_milestones cooldown_epochs
        patience_epochs decay_rate grad_accum_steps smoothing model_ema model_ema_decay amp seed
        t_initial lr_min cycle_mul cycle_decay warmup_t warmup_lr_init warmup_prefix noise_range_t
        noise_pct noise_std noise_seed decay_t batch_size""",
    "transformers": """learning_rate weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm
        num_train_epochs max_steps lr_scheduler_type warmup_ratio warmup_steps optim
        per_device_train_batch_size gradient_accumulation_steps fp16 bf16 seed eval_steps
        save_steps eval_strategy label_smoothing_factor load_best_model_at_end num_warmup_steps
        num_training_steps num_cycles num_decay_steps decay_type min_lr min_lr_rate lr_end
        warmup_type timescale power""",
}
"""Arguments that have a field here, or that choose something that a field here chooses."""

"""Schedules in other libraries: the names of classes and functions, and our kinds for them."""

from __future__ import annotations

from collections.abc import Mapping

from optcore.spec.elsewhere.table import Answers, table

SCHEDULES: Mapping[str, Answers] = table(
    """
    constant: ConstantLR Const constant_schedule get_constant_schedule constant_lr const none
    constant with a warmup: WarmUpLR get_constant_schedule_with_warmup constant_with_warmup
    piecewise: PiecewiseDecay Piecewise PiecewiseConstantDecay piecewise_constant
        piecewise_constant_lr piecewise_constant_schedule piecewise_interpolate_schedule
        PiecewiseConstant piecewise_decay piecewise_constant_decay
    step: StepLR StepDecay StepLRScheduler step_lr stepwise step_decay StepDecayLR
    multi_step: MultiStepLR MultiStepDecay MultiStepLRScheduler multistep multi_step_lr
        multi_step_decay MultiStepDecayLR
    multiplicative: MultiplicativeLR MultiplicativeDecay
    values: LambdaLR LambdaDecay lambda_lr
    values with a number for every step: LearningRateScheduler LearningRateSchedule
    cosine: CosineAnnealingLR CosineAnnealingDecay CosineDecay CosineDecayLR cosine_decay
        cosine_decay_lr cosine_decay_schedule CosineLRScheduler CosineAnnealing cosine_annealing
        cos cosine_lr cosine_annealing_lr half_cycle_cosine
    cosine with a warmup: get_cosine_schedule_with_warmup warmup_cosine_decay_schedule
        cosine_with_warmup warmup_cosine WarmupCosine CosineWarmup LinearWarmupCosine
        cosine_warmup LinearWarmupCosineAnnealingLR warmup_cosine_annealing WarmupCosineLR
        WarmupCosineDecayLR warmup_cosine_decay cosine_decay_with_warmup
    cosine with a warmup and an end: get_cosine_with_min_lr_schedule_with_warmup
        cosine_with_min_lr cosine_warmup_with_min_lr
        get_cosine_with_min_lr_schedule_with_warmup_lr_rate
    linear: LinearLR linear_schedule linear_onecycle linear_lr
    linear with a warmup: get_linear_schedule_with_warmup linear_with_warmup warmup_linear
        linear_warmup_linear_decay WarmupLinear linear_warmup_decay WarmupDecayLR
    polynomial: PolynomialLR PolynomialDecay PolynomialDecayLR polynomial_decay polynomial_decay_lr
        polynomial_schedule PolyLRScheduler poly poly_lr Poly DecayLearningRate PolyLR
        polynomial_lr polynomial_decay_schedule
    polynomial with a warmup: get_polynomial_decay_schedule_with_warmup polynomial_with_warmup
        warmup_polynomial
    tanh: TanhLRScheduler tanh_lr
    rex: REXScheduler REX RexScheduler
    wsd: get_wsd_schedule warmup_stable_decay WSD trapezoidal get_wsd_schedule_with_warmup
        WarmupStableDecay
    exponential: ExponentialLR ExponentialDecay ExponentialDecayLR exponential_decay
        exponential_decay_lr exp exponential_lr exponential_decay_schedule
    exponential with a warmup: warmup_exponential_decay_schedule
    natural_exponential: NaturalExpDecay NaturalExpDecayLR natural_exp_decay natural_exp_decay_lr
    inverse_time: InverseTimeDecay InverseDecayLR inverse_time_decay inverse_decay_lr
    noam: NoamDecay NoamLR noam_decay transformer
    inverse_sqrt: get_inverse_sqrt_schedule inverse_square_root InverseSquareRootSchedule
        InverseSqrtLR inv_sqrt rsqrt
    cosine_restarts: CosineAnnealingWarmRestarts CosineDecayRestarts cosine_decay_restarts
        cosine_with_restarts get_cosine_with_hard_restarts_schedule_with_warmup SGDR sgdr
        cosine_annealing_warm_restarts cosine_with_hard_restarts
    cyclical_cosine: CyclicalCosineDecay
    linear_cosine: linear_cosine_decay
    noisy_linear_cosine: noisy_linear_cosine_decay
    one_cycle: OneCycleLR OneCycle onecycle OneCycleDecay OneCycleLRScheduler one_cycle_lr
        cosine_onecycle_schedule linear_onecycle_schedule
    cyclic: CyclicLR CyclicDecay clr cyclic_lr CyclicalLearningRate
    plateau: ReduceLROnPlateau ReduceOnPlateau reduce_on_plateau PlateauLRScheduler
        reduce_lr_on_plateau get_reduce_on_plateau_schedule
    greedy: GreedyLR get_greedy_schedule
    chain: SequentialLR SWALR join_schedules sequential SequentialSchedule
    product: ChainedScheduler
    cycle: sgdr_schedule
    schedule.warmup: LinearWarmup linear_warmup_schedule warmup
        warmup_constant_schedule LinearWarmupLR
    """
)
"""Maps the name of a schedule in another library to our kinds for it."""

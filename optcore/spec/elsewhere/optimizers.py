"""Optimizers in other libraries: the names of classes and functions, and our kinds for them."""

from __future__ import annotations

from collections.abc import Mapping

from optcore.spec.elsewhere.table import Answers, table

OPTIMIZERS: Mapping[str, Answers] = table(
    """
    sgd: GradientDescentOptimizer GradientDescent gd vanilla_sgd sgd_optimizer
    momentum: MomentumOptimizer sgd_momentum SGDM heavy_ball momentum_sgd sgdp_momentum
    nesterov: NAG sgd_nesterov nesterov_momentum NesterovMomentum nesterovsgd
    adagrad: AdagradOptimizer ApplyAdagrad
    rmsprop: RMSPropOptimizer rms rmsprop_bnb rmsprop_bnb_32bit
    rmsprop_tf: RMSpropTF
    adadelta: AdadeltaOptimizer
    adam: AdamOptimizer FusedAdam DeepSpeedCPUAdam adam_optimizer AdamTorch
    adamw: adamw_torch adamw_hf adamw_torch_fused adamw_apex_fused adamw_torch_xla
        adamw_torch_npu_fused AdamWLegacy FusedAdamW AdamWOptimizer decoupled_adam
        paged_adamw_32bit adamw_torch_xla adamw_bnb_8bit adamw_8bit paged_adamw_8bit AdamW8bit
        PagedAdamW PagedAdamW8bit PagedAdamW32bit AdamW32bit
    adam with amsgrad: AMSGrad
    adam_weight_decay: AdamWeightDecay AdamWeightDecayOptimizer BertAdam AdamWeightDecayForBert
    adamax: AdamaxOptimizer
    nadam: NAdamLegacy
    radam: RAdamLegacy RectifiedAdam
    lazy_adam: LazyAdamOptimizer SparseAdam
    lamb: LambOptimizer FusedLAMB LambC NVLamb
    lars: LarsMomentum LarsMomentumOptimizer LarsOptimizer LARC nlars larc
    lion: lion_32bit paged_lion_32bit LionOptimizer lion_8bit paged_lion_8bit Lion8bit PagedLion
        PagedLion8bit
    adafactor: AdafactorOptimizer adafactor_optimizer
    muon: MuonWithAuxAdam SingleDeviceMuon muon_hybrid
    asgd: AveragedSGD PolyakSGD
    sag: StochasticAverageGradient
    ftrl: FtrlOptimizer FTRLProximal
    proximal_sgd: ProximalGradientDescentOptimizer ProximalGradientDescent
    proximal_adagrad: ProximalAdagradOptimizer ApplyProximalAdagrad
    rprop: RpropOptimizer resilient_backpropagation
    lbfgs: L-BFGS BFGS
    schedule_free_adamw: ScheduleFreeAdamW AdamWScheduleFree schedule_free_adamw
        ScheduleFreeOptimizer
    training.lookahead: Lookahead lookahead LookAhead
    training.ema: ExponentialMovingAverage AveragedModel ModelEMA ModelEmaV2 ModelEmaV3 EMA SWA
    optimizer.clip: clip_by_global_norm clip_grad_norm_ clip adaptive_grad_clip
    """
)
"""Maps the name of an optimizer in another library to our kinds for it."""

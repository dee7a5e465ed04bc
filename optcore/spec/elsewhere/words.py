"""Values from other libraries (dialects, precisions, losses, shapes, metrics), and our values."""

from __future__ import annotations

from collections.abc import Mapping

from optcore.spec.elsewhere.table import Answers, table

WORDS: Mapping[str, Answers] = table(
    """
    torch: pytorch transformers lightning mindspore_experimental huggingface
    paddle: paddlepaddle paddleclas paddledetection
    mindspore: mindcv mindocr mindformers
    keras: tensorflow tf tf2 tf.keras
    tf1: tensorflow1 tf.compat.v1 tensorflow
    article: paper original scratch authors
    plain: default none

    fp32: float32 float single 32 no
    fp64: float64 double 64
    bf16: bfloat16 bf16_mixed
    fp16: float16 half O1 16 fp16_mixed amp mixed
    bf16_true: pure_bf16
    fp16_true: O2 O3 pure_fp16
    mindspore_o1: O1 amp_o1
    mindspore_o2: O2 amp_o2
    mindspore_o3: O3 amp_o3
    float32: fp32 single float
    float64: fp64 double

    cross_entropy: CrossEntropyLoss softmax_cross_entropy SoftmaxCrossEntropyWithLogits
        sparse_categorical_crossentropy categorical_crossentropy CELoss
        softmax_cross_entropy_with_integer_labels ce
    mse: MSELoss mean_squared_error squared_error MeanSquaredError l2_loss
    l1: L1Loss mae mean_absolute_error MeanAbsoluteError
    huber: HuberLoss SmoothL1Loss smooth_l1
    bce: BCEWithLogitsLoss BCELoss binary_crossentropy BinaryCrossEntropy
        sigmoid_binary_cross_entropy
    nll: NLLLoss nll_loss negative_log_likelihood
    ctc: CTCLoss ctc_loss

    global_norm: clip_by_global_norm ClipGradByGlobalNorm clip_grad_norm_ global_clipnorm
        clip_grad_norm ClipByGlobalNorm
    norm: ClipGradByNorm clipnorm clip_by_norm clip_norm ClipByNorm
    value: ClipGradByValue clipvalue clip_by_value clip_grad_value_ ClipByValue
    global_norm: norm agc

    cosine: cos
    one_minus_sqrt: 1-sqrt 1_sqrt sqrt minus_sqrt
    one_minus_square: 1-square 1_square square
    cuda: gpu
    cpu: CPU
    val_loss: eval_loss validation_loss loss valid_loss
    val_accuracy: eval_accuracy val_acc acc accuracy top1 eval_top1 acc1 test_acc
    train_loss: training_loss
    min: minimize auto
    max: maximize
    rel: relative
    abs: absolute
    keras: overwrite
    shadow: ema exponential_moving_average
    swa: AveragedModel stochastic_weight_averaging equal mean
    dynamic: DynamicLossScaler DynamicLossScaleManager DynamicLossScaleUpdateCell GradScaler
        LossScaleOptimizer
    fixed: FixedLossScaleManager static constant
    no_decay_norm_bias: no_weight_decay_norm_bias no_bias_decay no_decay
    layer_decay: layerwise_decay llrd layer_wise_lr_decay
    zeros: constant zero
    reflect: mirror reflection
    replicate: edge border replication
    circular: wrap periodic
    mean: avg average
    bicubic: cubic
    add: sum plus
    multiply: mul product scale
    concat: cat concatenate
    fused: foreach
    eager: for_loop
    """
)
"""Maps a value from another library to our values for it."""

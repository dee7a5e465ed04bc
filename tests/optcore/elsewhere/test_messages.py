"""What the errors say to names that people bring along."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec.errors import SpecError, did_you_mean
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import refused, run

OPTIMIZER_KINDS = {
    "AdamW": "'adamw'",
    "torch.optim.AdamW": "'adamw'",
    "adamw_torch": "'adamw'",
    "RMSProp": "'rmsprop'",
    "AdamWeightDecay": "'adam_weight_decay'",
    "LarsMomentumOptimizer": "'lars'",
    "GradientDescentOptimizer": "'sgd'",
    "AMSGrad": "'adam' with amsgrad",
    "LookAhead": "training.lookahead",
    "adm": "'adam'",
}
SCHEDULE_KINDS = {
    "CosineAnnealingLR": "'cosine'",
    "paddle.optimizer.lr.CosineAnnealingDecay": "'cosine'",
    "get_cosine_schedule_with_warmup": "'cosine' with a warmup",
    "linear_with_warmup": "'linear' with a warmup",
    "reduce_on_plateau": "'plateau'",
    "ReduceLROnPlateau": "'plateau'",
    "poly": "'polynomial'",
    "CosineAnnealingWarmRestarts": "'cosine_restarts'",
    "SequentialLR": "'chain'",
    "LambdaLR": "'values'",
    "LinearWarmup": "schedule.warmup",
    "cosin": "'cosine'",
}
LAYER_KINDS = {
    "Conv2d": "'conv2d'",
    "nn.Conv2d": "'conv2d'",
    "torch.nn.ConvTranspose2d": "'conv_transpose2d'",
    "Conv2DTranspose": "'conv_transpose2d'",
    "BatchNorm2d": "'batch_norm'",
    "BatchNormalization": "'batch_norm' (whose momentum is 1 minus that of Keras and ONNX)",
    "BatchNormAct2d": "'batch_norm' and a relu after it",
    "FrozenBatchNorm2d": ("'batch_norm' (which is trained, and takes the statistics of the batch)"),
    "Conv2dSame": "'conv2d' (whose padding is the same at both ends)",
    "NewGELUActivation": "'gelu' with approximate tanh",
    "QuickGELU": "'gelu' (from which x * sigmoid(1.702 * x) differs by up to 0.02)",
    "LayerNorm2d": (
        "'layer_norm' (over all values of an image, not over the channels of each pixel)"
    ),
    "torch.nn.Dropout2d": "'dropout' (of single values, not of whole channels)",
    "TransformerDecoderLayer": "'transformer_decoder_layer'",
    "GPT2Block": (
        "'transformer_encoder_layer' with causal true (which has no attention to another sequence)"
    ),
    "PerceiverEmbeddings": "'queries'",
    "ReLU": "'relu'",
    "LeakyReLU": "'leaky_relu'",
    "GELU": "'gelu'",
    "SiLU": "'silu'",
    "ReLU6": "'relu6'",
    "ParametricReLU": "'prelu'",
    "torch.nn.Identity": "'identity'",
    "Swish": "'silu'",
    "MaxPool2d": "'max_pool2d'",
    "MaxPooling2D": "'max_pool2d'",
    "AdaptiveAvgPool2d": "'adaptive_avg_pool2d'",
    "GlobalMaxPooling2D": "'global_pool' with mode max",
    "LayerNorm": "'layer_norm'",
    "RMSNorm": "'rms_norm'",
    "GroupNorm": "'group_norm'",
    "InstanceNorm2d": "'instance_norm'",
    "Dense": "'linear'",
    "Linear": "'linear'",
    "LogSoftmax": "'log_softmax'",
    "UpsamplingBilinear2d": "'upsample' with mode bilinear and align_corners true",
    "SqueezeExcitation": "'squeeze_excite'",
    "BasicBlock": "'residual'",
    "ModuleList": "'sequential'",
    "conv2": "'conv2d'",
}
LAYER_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "conv2d", "filters": 3}, "filters", "'out_channels'"),
    ({"kind": "conv2d", "strides": 3}, "strides", "'stride'"),
    ({"kind": "conv2d", "dilation_rate": 3}, "dilation_rate", "'dilation'"),
    ({"kind": "conv2d", "use_bias": False}, "use_bias", "'bias'"),
    ({"kind": "conv2d", "out_features": 3}, "out_features", "'out_channels'"),
    ({"kind": "linear", "units": 3}, "units", "'out_features'"),
    ({"kind": "linear", "out_channels": 3}, "out_channels", "'out_features'"),
    ({"kind": "max_pool2d", "pool_size": 3}, "pool_size", "'kernel_size'"),
    ({"kind": "dropout", "rate": 0.5}, "rate", "'p'"),
    ({"kind": "dropout", "drop_prob": 0.5}, "drop_prob", "'p'"),
    ({"kind": "batch_norm", "epsilon": 0.5}, "epsilon", "'eps'"),
    ({"kind": "batch_norm", "gamma": 0.5}, "gamma", "'affine'"),
    ({"kind": "group_norm", "groups": 2}, "groups", "'num_groups'"),
    ({"kind": "leaky_relu", "alpha": 2}, "alpha", "'negative_slope'"),
    ({"kind": "repeat", "num_layers": 2}, "num_layers", "'times'"),
    ({"kind": "residual", "downsample": []}, "downsample", "'shortcut'"),
    ({"kind": "parallel", "paths": []}, "paths", "'branches'"),
    ({"kind": "linear", "tie_weights": "a"}, "tie_weights", "'share'"),
]
FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"schedule": {"kind": "cosine", "T_max": 9}}, "schedule.T_max", "'length'"),
    ({"schedule": {"kind": "cosine", "eta_min": 0.1}}, "schedule.eta_min", "'end'"),
    ({"schedule": {"kind": "cosine", "alpha": 0.1}}, "schedule.alpha", "'end_fraction'"),
    ({"schedule": {"kind": "cosine", "warmup_ratio": 0.1}}, "schedule.warmup_ratio", "'warmup'"),
    ({"schedule": {"kind": "cosine", "lr": 0.1}}, "schedule.lr", "optimizer.lr"),
    ({"schedule": {"kind": "step", "every": 9, "step_size": 1}}, "schedule.step_size", "'every'"),
    ({"schedule": {"kind": "exponential", "rate": 0.9, "gamma": 1}}, "schedule.gamma", "'rate'"),
    ({"schedule": {"kind": "one_cycle", "max_lr": 1}}, "schedule.max_lr", "optimizer.lr"),
    (
        {"schedule": {"kind": "one_cycle", "anneal_strategy": ""}},
        "schedule.anneal_strategy",
        "'shape'",
    ),
    ({"schedule": {"kind": "cyclic", "base": 0, "base_lr": 0}}, "schedule.base_lr", "'base'"),
    (
        {"schedule": {"kind": "cyclic", "base": 0, "step_size_up": 9}},
        "schedule.step_size_up",
        "'up'",
    ),
    (
        {"schedule": {"kind": "cosine_restarts", "length": 5, "T_mult": 2}},
        "schedule.T_mult",
        "'t_mul'",
    ),
    ({"optimizer": {"kind": "adam", "learning_rate": 0.1}}, "optimizer.learning_rate", "'lr'"),
    ({"optimizer": {"kind": "adam", "betas": [0.9, 0.99]}}, "optimizer.betas", "'beta1'"),
    ({"optimizer": {"kind": "adam", "beta_2": 0.9}}, "optimizer.beta_2", "'beta2'"),
    ({"optimizer": {"kind": "adam", "epsilon": 1e-8}}, "optimizer.epsilon", "'eps'"),
    ({"optimizer": {"kind": "adam", "wd": 0.1}}, "optimizer.wd", "'weight_decay'"),
    ({"optimizer": {"kind": "adam", "clipnorm": 1}}, "optimizer.clipnorm", "'clip'"),
    ({"optimizer": {"kind": "adam", "foreach": True}}, "optimizer.foreach", "'engine'"),
    ({"optimizer": {"kind": "adam", "use_ema": True}}, "optimizer.use_ema", "training.ema"),
    ({"optimizer": {"kind": "rmsprop", "alpha": 0.9}}, "optimizer.alpha", "'rho'"),
    ({"optimizer": {"kind": "rmsprop", "decay": 0.9}}, "optimizer.decay", "'rho'"),
    ({"optimizer": {"kind": "sgd", "decay": 0.9}}, "optimizer.decay", "'weight_decay'"),
    (
        {"optimizer": {"kind": "adam", "groups": [{"match": "*", "lr_mult": 2}]}},
        "optimizer.groups[0].lr_mult",
        "'lr_scale'",
    ),
    ({"training": {"max_steps": 9}}, "training.max_steps", "'steps'"),
    ({"training": {"steps": 9, "fp16": True}}, "training.fp16", "'precision'"),
    ({"training": {"steps": 9, "max_grad_norm": 1}}, "training.max_grad_norm", "optimizer.clip"),
    (
        {"training": {"steps": 9, "gradient_accumulation_steps": 4}},
        "training.gradient_accumulation_steps",
        "'accumulate'",
    ),
    (
        {"training": {"steps": 9, "ema": {"model_ema_steps": 32}}},
        "training.ema.model_ema_steps",
        "'every'",
    ),
    (
        {"training": {"steps": 9, "ema": {"kind": "swa", "swa_start": 5}}},
        "training.ema.swa_start",
        "'begin'",
    ),
    ({"learning_rate": 0.1}, "learning_rate", "optimizer.lr"),
    ({"num_train_epochs": 3}, "num_train_epochs", "training.epochs"),
    ({"lr_scheduler": {}}, "lr_scheduler", "'schedule'"),
    (
        {"dataset": {"kind": "digits", "train_batch_size": 9}},
        "dataset.train_batch_size",
        "'batch_size'",
    ),
]
VALUES: list[tuple[dict[str, Any], str, str]] = [
    ({"optimizer": {"kind": "adam", "dialect": "pytorch"}}, "optimizer.dialect", "'torch'"),
    ({"training": {"steps": 9, "precision": "bfloat16"}}, "training.precision", "'bf16'"),
    ({"training": {"steps": 9, "device": "gpu"}}, "training.device", "'cuda'"),
    (
        {"training": {"steps": 9, "ema": {"kind": "AveragedModel"}}},
        "training.ema.kind",
        "'swa'",
    ),
    (
        {"training": {"steps": 9, "loss": {"kind": "CrossEntropyLoss"}}},
        "training.loss.kind",
        "'cross_entropy'",
    ),
    (
        {"optimizer": {"kind": "adam", "clip": {"kind": "ClipGradByGlobalNorm", "max": 1}}},
        "optimizer.clip.kind",
        "'global_norm'",
    ),
    ({"schedule": {"kind": "one_cycle", "shape": "cos"}}, "schedule.shape", "'cosine'"),
]


def message(data: dict[str, Any], param: str) -> str:
    found = {problem.param: problem.message for problem in refused(run(**data)).problems}
    return found[param]


@pytest.mark.parametrize(("name", "answer"), OPTIMIZER_KINDS.items())
def test_the_error_about_an_optimizer_names_our_kind(name: str, answer: str) -> None:
    text = message({"optimizer": {"kind": name}}, "optimizer.kind")

    assert text.endswith(f"got '{name}'; did you mean {answer}?")


@pytest.mark.parametrize(("name", "answer"), SCHEDULE_KINDS.items())
def test_the_error_about_a_schedule_names_our_kind(name: str, answer: str) -> None:
    text = message({"schedule": {"kind": name}}, "schedule.kind")

    assert text.endswith(f"got '{name}'; did you mean {answer}?")


@pytest.mark.parametrize(("data", "param", "answer"), FIELDS, ids=lambda part: str(part)[:40])
def test_the_error_about_an_argument_names_our_field(
    data: dict[str, Any], param: str, answer: str
) -> None:
    assert f"; did you mean {answer}? (known: " in message(data, param)


@pytest.mark.parametrize(("data", "param", "answer"), VALUES, ids=lambda part: str(part)[:40])
def test_the_error_about_a_value_names_our_value(
    data: dict[str, Any], param: str, answer: str
) -> None:
    assert message(data, param).endswith(f"; did you mean {answer}?")


def test_a_name_that_is_valid_elsewhere_is_not_suggested_where_it_is_unknown() -> None:
    assert did_you_mean("T_max", ["kind", "factor"]) == ""
    with pytest.raises(SpecError):
        RunSpec.parse(run(schedule={"kind": "constant", "T_max": 3}))


def test_a_parameter_is_suggested_by_its_whole_name() -> None:
    """Not by its last part, which the parameters of most layers have."""
    known = ["conv1.weight", "conv1.bias", "conv2.weight"]

    assert did_you_mean("cnv2.weight", known) == "; did you mean 'conv2.weight'?"


def layer_message(layer: dict[str, Any], name: str) -> str:
    model = {"kind": "sequential", "layers": [layer]}
    found = {each.param: each.message for each in refused(run(model=model)).problems}
    return found[f"model.layers[0].{name}"]


@pytest.mark.parametrize(("name", "answer"), LAYER_KINDS.items())
def test_the_error_about_a_layer_names_our_kind(name: str, answer: str) -> None:
    text = layer_message({"kind": name}, "kind")

    assert text.endswith(f"got '{name}'; did you mean {answer}?")


@pytest.mark.parametrize(("layer", "name", "answer"), LAYER_FIELDS, ids=lambda part: str(part)[:40])
def test_the_error_about_an_argument_of_a_layer_names_our_field(
    layer: dict[str, Any], name: str, answer: str
) -> None:
    assert f"unknown field '{name}'; did you mean {answer}? (known: " in layer_message(layer, name)


@pytest.mark.parametrize(
    ("layer", "name", "message"),
    [
        (
            {"kind": "conv2d", "in_channels": 3},
            "in_channels",
            "in_channels must be left out, since it follows from the layer before, got 3",
        ),
        (
            {"kind": "layer_norm", "normalized_shape": [8]},
            "normalized_shape",
            "normalized_shape must be left out: the features of a vector or of each position are "
            "normalised together, and all values of an image or signal, not the channels of each "
            "pixel, got [8]",
        ),
        (
            {"kind": "relu", "inplace": True},
            "inplace",
            "inplace must be left out: outputs are overwritten wherever nothing else needs them",
        ),
    ],
    ids=lambda part: str(part)[:30],
)
def test_what_a_layer_takes_is_not_written(layer: dict[str, Any], name: str, message: str) -> None:
    assert layer_message(layer, name) == message

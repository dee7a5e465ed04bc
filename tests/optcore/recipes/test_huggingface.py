"""Recipes of transformers' Trainer, Axolotl and LLaMA-Factory; lr is that of transformers 5.24."""

from typing import Any

import numpy as np
import pytest

from tests.support.optcore.recipes import converted, fate_of, lrs_of, problems_of

TRAINER = {
    "learning_rate": 1e-4,
    "lr_scheduler_type": "cosine",
    "max_steps": 12,
    "warmup_steps": 2,
    "optim": "adamw_torch",
    "weight_decay": 0.1,
    "adam_beta2": "9.5e-1",
    "bf16": True,
    "gradient_accumulation_steps": 4,
    "per_device_train_batch_size": 2,
    "logging_steps": 10,
}
FACTORY = {
    "model_name_or_path": "some/model",
    "stage": "sft",
    "finetuning_type": "lora",
    "learning_rate": "2e-4",
    "num_train_epochs": 3.0,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.1,
    "bf16": True,
}
AXOLOTL = {
    "base_model": "some/model",
    "micro_batch_size": 2,
    "gradient_accumulation_steps": 4,
    "num_epochs": 2,
    "optimizer": "adamw_torch_fused",
    "lr_scheduler": "cosine",
    "learning_rate": 0.0002,
    "adapter": "lora",
    "bf16": "auto",
}


def test_a_trainers_arguments_become_a_job() -> None:
    result = converted("transformers", TRAINER)

    assert result.job == {
        "training": {"steps": 12, "accumulate": 4, "precision": "bf16"},
        "optimizer": {
            "kind": "adamw",
            "dialect": "torch",
            "lr": 1e-4,
            "beta1": 0.9,
            "beta2": 0.95,
            "eps": 1e-8,
            "weight_decay": 0.1,
            "groups": [{"preset": "no_decay_norm_bias", "weight_decay": 0.0}],
            # Trainer clips where nothing is said.
            "clip": {"kind": "global_norm", "max": 1.0},
        },
        "schedule": {
            "kind": "cosine",
            "dialect": "transformers",
            "warmup": {"length": 2, "start": 0.0, "after": "compress"},
        },
    }
    assert fate_of(result, "logging_steps") == "other"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (
            {},
            [0.0, 5e-05, 0.0001, 9.755282581475769e-05, 9.045084971874738e-05,
             7.938926261462366e-05, 6.545084971874738e-05, 5e-05, 3.4549150281252636e-05,
             2.061073738537635e-05, 9.549150281252633e-06, 2.4471741852423237e-06],
        ),
        (
            {"lr_scheduler_type": "linear", "learning_rate": 5e-5, "max_steps": 8,
             "warmup_steps": 0},
            [5e-05, 4.375e-05, 3.7500000000000003e-05, 3.125e-05, 2.5e-05,
             1.8750000000000002e-05, 1.25e-05, 6.25e-06],
        ),
        (
            {"lr_scheduler_type": "cosine_with_min_lr", "learning_rate": 2e-4, "max_steps": 10,
             "warmup_steps": 0.05, "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
            [0.0, 0.0002, 0.00019457233587073176, 0.00017894399988070803, 0.000155,
             0.00012562833599002375, 9.437166400997628e-05, 6.500000000000002e-05,
             4.1056000119291995e-05, 2.542766412926825e-05],
        ),
        (
            {"lr_scheduler_type": "warmup_stable_decay", "learning_rate": 1e-3, "max_steps": 12,
             "warmup_steps": 3, "lr_scheduler_kwargs":
             '{"num_decay_steps": 4, "decay_type": "1-sqrt", "min_lr_ratio": 0.1}'},
            [0.0001, 0.0004, 0.0007, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.00055,
             0.00036360389693210714, 0.00022057713659400527],
        ),
        (
            {"lr_scheduler_type": "polynomial", "learning_rate": 1e-3, "max_steps": 9,
             "lr_scheduler_kwargs": {"power": 2.0}},
            [0.0, 0.0005, 0.001, 0.0007347204081632654, 0.0005102530612244898,
             0.00032659795918367344, 0.00018375510204081635, 8.172448979591836e-05,
             2.0506122448979602e-05],
        ),
        (
            {"lr_scheduler_type": "inverse_sqrt", "learning_rate": 1e-3, "max_steps": 9,
             "warmup_steps": 3},
            [0.0, 0.0003333333333333333, 0.0006666666666666666, 0.001, 0.0008660254037844387,
             0.0007745966692414834, 0.0007071067811865475, 0.000654653670707977,
             0.0006123724356957945],
        ),
    ],
    ids=["cosine", "linear", "min_lr", "wsd", "polynomial", "inverse_sqrt"],
)  # fmt: skip
def test_lr_is_that_of_transformers(given: dict[str, Any], wanted: list[float]) -> None:
    result = converted("transformers", TRAINER | given)

    np.testing.assert_allclose(lrs_of(result, len(wanted)), wanted, rtol=1e-12, atol=1e-18)


def test_a_share_of_warmup_stays_a_share_where_the_run_is_in_epochs() -> None:
    result = converted("llamafactory", FACTORY)

    assert result.job["training"] == {"epochs": 3.0, "precision": "bf16"}
    assert result.job["schedule"]["warmup"]["length"] == {"fraction": 0.1}
    # TrainingArguments.get_warmup_steps(33) is 4.
    assert np.argmax(lrs_of(result, 33, steps_per_epoch=11)) == 4


def test_axolotl_rounds_its_warmup_down_and_takes_2_steps_for_1() -> None:
    in_epochs = converted("axolotl", AXOLOTL | {"warmup_ratio": 0.1})
    in_steps = converted("axolotl", AXOLOTL | {"warmup_ratio": 0.1, "max_steps": 19})
    by_default = converted("axolotl", AXOLOTL | {"max_steps": 5000})

    share = {"fraction": 0.1, "rounding": "down"}
    assert in_epochs.job["schedule"]["warmup"]["length"] == share
    assert in_steps.job["schedule"]["warmup"]["length"] == 2
    assert by_default.job["schedule"]["warmup"]["length"] == 100


@pytest.mark.parametrize(
    ("given", "precision"),
    [
        ({"adapter": None, "flash_attention": True}, "bf16_true"),
        ({"adapter": None, "cut_cross_entropy": True}, "bf16_true"),
        (
            {
                "adapter": None,
                "plugins": ["axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin"],
            },
            "bf16_true",
        ),
        ({"adapter": None, "fsdp_config": {"fsdp_version": 2}}, "bf16"),
        ({"peft_autocast_adapter_dtype": False}, "bf16_true"),
    ],
)
def test_axolotl_trains_in_one_precision_or_is_refused(
    given: dict[str, Any], precision: str
) -> None:
    assert converted("axolotl", AXOLOTL | given).job["training"]["precision"] == precision


def test_keys_that_are_not_read_have_no_effect() -> None:
    low_rank = converted("transformers", TRAINER | {"optim_target_modules": "all-linear"})
    kernels = converted("axolotl", AXOLOTL | {"moe_kernels": True})

    assert fate_of(low_rank, "optim_target_modules") == "ignored"
    assert fate_of(kernels, "moe_kernels") == "ignored"


def test_the_parameters_of_a_full_training_are_in_the_models_precision() -> None:
    assert converted("axolotl", AXOLOTL).job["training"]["precision"] == "bf16"
    full = AXOLOTL | {"adapter": None, "attn_implementation": "flash_attention_2"}
    assert converted("axolotl", full).job["training"]["precision"] == "bf16_true"
    pure = FACTORY | {"pure_bf16": True}
    assert converted("llamafactory", pure).job["training"]["precision"] == "bf16_true"


@pytest.mark.parametrize(
    ("name", "kind", "bits"),
    [
        ("adamw_bnb_8bit", "adamw", 8),
        ("adamw_8bit", "adamw", 8),
        ("paged_adamw_8bit", "adamw", 8),
        ("paged_adamw_32bit", "adamw", 32),
        ("lion_8bit", "lion", 8),
        ("lion_32bit", "lion", 32),
        ("paged_lion_8bit", "lion", 8),
        ("paged_lion_32bit", "lion", 32),
    ],
)
@pytest.mark.parametrize(
    ("source", "config"),
    [("transformers", TRAINER), ("axolotl", AXOLOTL), ("llamafactory", FACTORY)],
)
def test_an_optimizer_of_bitsandbytes_has_the_bits_of_its_name(
    source: str, config: dict[str, Any], name: str, kind: str, bits: int
) -> None:
    key = "optimizer" if source == "axolotl" else "optim"
    given = config | {key: name, "weight_decay": 0.1, "adam_beta2": 0.95, "adam_epsilon": 1e-7}

    result = converted(source, given)

    embeddings = {"embeddings_32bit": True} if bits == 8 else {}
    eps = {"eps": 1e-7} if kind == "adamw" else {}
    assert result.problems == []
    assert result.job["optimizer"] == {
        "kind": kind,
        "dialect": "bitsandbytes",
        "state_bits": bits,
        **embeddings,
        "lr": float(config["learning_rate"]),
        "beta1": 0.9,  # Trainer gives Lion the betas of Adam, too
        "beta2": 0.95,
        **eps,
        "weight_decay": 0.1,
        "groups": [{"preset": "no_decay_norm_bias", "weight_decay": 0.0}],
        "clip": {"kind": "global_norm", "max": 1.0},
    }
    assert fate_of(result, "adam_epsilon") == ("converted" if eps else "ignored")


@pytest.mark.parametrize(
    ("source", "config", "problem"),
    [
        (
            "transformers",
            TRAINER | {"optim": "adamw_torch_8bit"},
            "optim is an optimizer of torchao",
        ),
        (
            "axolotl",
            AXOLOTL | {"optimizer": "ao_adamw_8bit"},
            "optimizer is an optimizer of torchao",
        ),
        (
            "transformers",
            TRAINER | {"optim": "ademamix_8bit"},
            "optim keeps its state in fewer bits",
        ),
        ("transformers", TRAINER | {"optim": "lomo"}, "optim has no exactly equivalent optimizer"),
        ("transformers", TRAINER | {"deepspeed": "ds.json"}, "deepspeed may replace optimizer"),
        ("transformers", TRAINER | {"lr_scheduler_type": "cosin"}, "lr_scheduler_type must be one"),
        ("transformers", TRAINER | {"learning_rat": 1}, "learning_rat is not known"),
        (
            "transformers",
            TRAINER | {"lr_scheduler_kwargs": {"power": 2}},
            "lr_scheduler_type does not take power in lr_scheduler_kwargs, got 'cosine'",
        ),
        ("transformers", {"num_train_epochs": 2.5}, "num_train_epochs must be whole"),
        ("llamafactory", FACTORY | {"use_badam": True}, "use_badam has an optimizer of its own"),
        ("llamafactory", FACTORY | {"loraplus_lr_ratio": 16.0}, "loraplus_lr_ratio gives"),
        (
            "llamafactory",
            FACTORY | {"micro_batch_size": 1, "dist_config": {"name": "fsdp2"}},
            "micro_batch_size is for the trainer v1",
        ),
        (
            "axolotl",
            AXOLOTL | {"adapter": None},
            "attn_implementation must be given, as flash_attention_2: else Axolotl holds norms and "
            "embeddings in float32 beside the 16 bits of the other parameters",
        ),
        (
            "axolotl",
            AXOLOTL | {"adapter": None, "flash_attention": True, "fp32_norms": True},
            "fp32_norms holds norms in float32",
        ),
        (
            "axolotl",
            AXOLOTL | {"lora_modules_to_save": ["lm_head"]},
            "lora_modules_to_save trains modules in 16 bits beside a float32 adapter",
        ),
        ("axolotl", AXOLOTL | {"lr_quadratic_warmup": True}, "lr_quadratic_warmup rises"),
        ("axolotl", AXOLOTL | {"plugins": ["my.plugin"]}, "plugins may bring an optimizer"),
        ("axolotl", AXOLOTL | {"lr_scheduler": "rex"}, "lr_scheduler is a schedule of Axolotl's"),
    ],
)
def test_what_cannot_be_converted_is_said(
    source: str, config: dict[str, Any], problem: str
) -> None:
    assert any(each.startswith(problem) for each in problems_of(source, config))

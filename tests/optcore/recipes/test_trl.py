"""Recipes for the scripts of TRL, alignment-handbook and open-r1."""

from typing import Any

import pytest

from optcore.recipes.catalogue import SOURCES
from optcore.recipes.convert import convert, source_named
from tests.support.optcore.recipes import converted, fate_of, problems_of

HANDBOOK = {
    "model_name_or_path": "some/model",
    "torch_dtype": "bfloat16",
    "dataset_mixer": {"some/data": 1.0},
    "dataset_splits": ["train", "test"],
    "bf16": True,
    "gradient_accumulation_steps": 2,
    "learning_rate": 2e-5,
    "lr_scheduler_type": "cosine",
    "max_seq_length": 2048,
    "max_steps": -1,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 16,
    "warmup_ratio": 0.1,
}
ADAPTER = HANDBOOK | {"use_peft": True, "lora_r": 16}


def test_a_recipe_of_alignment_handbook_becomes_a_job() -> None:
    result = converted("trl", HANDBOOK)

    assert result.job == {
        "training": {"epochs": 1.0, "accumulate": 2, "precision": "bf16_true"},
        "optimizer": {
            "kind": "adamw",
            "dialect": "torch",
            "lr": 2e-5,
            "beta1": 0.9,
            "beta2": 0.999,
            "eps": 1e-8,
            "weight_decay": 0.0,
            "clip": {"kind": "global_norm", "max": 1.0},
        },
        "schedule": {
            "kind": "cosine",
            "dialect": "transformers",
            "warmup": {"length": {"fraction": 0.1}, "start": 0.0, "after": "compress"},
        },
    }
    assert fate_of(result, "dataset_mixer") == "other"


@pytest.mark.parametrize(
    ("given", "precision"),
    [
        (HANDBOOK, "bf16_true"),
        (HANDBOOK | {"bf16": False}, "bf16_true"),
        (HANDBOOK | {"torch_dtype": "float32"}, "bf16"),
        # The key torch_dtype is for transformers 4, where null is float32.
        (HANDBOOK | {"torch_dtype": None}, "bf16"),
        (HANDBOOK | {"torch_dtype": "float32", "bf16": False}, "fp32"),
        (HANDBOOK | {"torch_dtype": "float32", "bf16": False, "fp16": True}, "fp16"),
        # An adapter is float32, and that of a quantized model bfloat16.
        (ADAPTER, "bf16"),
        (ADAPTER | {"load_in_4bit": True}, "bf16_true"),
        (ADAPTER | {"torch_dtype": "auto"}, "bf16"),
    ],
)
def test_the_precision_is_that_of_the_trained_parameters(
    given: dict[str, Any], precision: str
) -> None:
    result = convert(given, source_named("trl"))

    assert result.problems == []
    assert result.job["training"].get("precision", "fp32") == precision


@pytest.mark.parametrize("name", ["constant", "constant_with_warmup"])
def test_arguments_of_a_constant_schedule_have_no_effect(name: str) -> None:
    given = {"lr_scheduler_type": name, "lr_scheduler_kwargs": {"min_lr_rate": 0.1}}
    result = converted("trl", HANDBOOK | given)

    assert result.job["schedule"]["kind"] == "constant"
    assert fate_of(result, "lr_scheduler_kwargs") == "ignored"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {k: v for k, v in HANDBOOK.items() if k != "learning_rate"},
            "learning_rate must be given: its default differs between TRL's trainers",
        ),
        (
            {k: v for k, v in HANDBOOK.items() if k != "bf16"},
            "bf16 must be given: it is on by default in TRL 1.10, and was off before",
        ),
        (
            HANDBOOK | {"torch_dtype": "auto"},
            "torch_dtype must be float32 or bfloat16: the parameters are loaded in this precision, "
            "got 'auto'",
        ),
        (HANDBOOK | {"dtype": None}, "dtype must be float32 or bfloat16"),
        (
            HANDBOOK | {"bf16": False, "fp16": True},
            "fp16 needs float32 parameters: GradScaler takes no others",
        ),
        (
            ADAPTER | {"lora_modules_to_save": ["lm_head"]},
            "lora_modules_to_save are trained in the precision of the model",
        ),
        (
            HANDBOOK | {"cast_lm_head_to_fp32": True},
            "cast_lm_head_to_fp32 holds one layer in float32 beside bfloat16",
        ),
        (HANDBOOK | {"model_init_kwargs": {"dtype": "auto"}}, "model_init_kwargs may load"),
        (HANDBOOK | {"use_unsloth": True}, "use_unsloth trains with the functions of another"),
        (HANDBOOK | {"deepspeed": "ds.json"}, "deepspeed may replace optimizer and schedule"),
        (HANDBOOK | {"learning_rat": 1}, "learning_rat is not known in trl"),
    ],
)
def test_what_cannot_be_converted_is_said(given: dict[str, Any], problem: str) -> None:
    assert any(each.startswith(problem) for each in problems_of("trl", given))


def test_a_refused_schedule_leaves_one_problem() -> None:
    given = HANDBOOK | {"lr_scheduler_type": "cosin", "lr_scheduler_kwargs": {"power": 2}}

    assert len(problems_of("trl", given)) == 1


def test_the_kind_of_file_is_known_from_its_keys() -> None:
    files = {
        "trl": HANDBOOK,
        "llamafactory": HANDBOOK | {"stage": "sft"},
        # As transformers' own example run_clm.py has it.
        None: {"model_name_or_path": "some/model", "num_train_epochs": 3, "dataset_name": "some"},
    }
    for name, config in files.items():
        found = [source.name for source in SOURCES if source.fits(config)]
        assert found == ([name] if name else [])

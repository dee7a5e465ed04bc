"""Configurations of transformers' Trainer, and of Axolotl and LLaMA-Factory, which use Trainer."""

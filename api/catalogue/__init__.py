"""The catalogue of optimizers, schedules, models, datasets and metrics; previews of schedules."""

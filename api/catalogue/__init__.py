"""The catalogue: optimizers, schedules, models, datasets; and previews of schedules."""

"""Update rules, one file per family: pure functions of tensors."""

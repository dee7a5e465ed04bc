"""Jobs: submit, validate, list, clone, and the actions on them."""

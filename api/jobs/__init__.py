"""Jobs: submitted, validated, listed, cloned, and asked to cancel, kill, pause or resume."""

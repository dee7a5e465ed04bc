"""The `optserve` command: a file per group of subcommands."""

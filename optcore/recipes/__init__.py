"""Other people's configurations, turned into the words of a run. Never imports torch."""

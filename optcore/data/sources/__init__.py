"""The built-in datasets: how their files are fetched and read."""

"""The models of the service's responses, one file per noun: jobs, metrics, workers and others."""

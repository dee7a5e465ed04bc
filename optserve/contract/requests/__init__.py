"""The models of requests: jobs, clones, and the formats of exports."""

"""The rows of a job, one per step, as pages, exports, charts and streams."""

"""The rows of a job, one per step: pages, exports, charts and streams."""

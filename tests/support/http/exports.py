"""The formats of exports, and where they are."""

MEDIA_TYPES = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}


def metrics_of(job_id: str) -> str:
    """Return the path of a job's metrics."""
    return f"/v1/jobs/{job_id}/metrics"

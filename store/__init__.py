"""The service's data: records in Redis and files in the storage."""

"""What the service keeps: records in Redis, files in the storage. Imports nothing itself."""

"""What moves from Redis to files when a job has ended, or its history has grown long."""

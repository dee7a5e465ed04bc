"""The worker: processes that claim jobs from the queue and train them."""

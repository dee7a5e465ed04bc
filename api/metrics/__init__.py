"""What is known of every step of a job: polled, exported, charted and streamed."""

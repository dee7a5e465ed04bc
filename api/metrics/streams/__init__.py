"""Jobs as server-sent events: one poller per process, and one encoding of each event for all."""

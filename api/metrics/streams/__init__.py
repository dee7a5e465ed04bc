"""Server-sent events about jobs. A process polls a job and encodes events once for all clients."""

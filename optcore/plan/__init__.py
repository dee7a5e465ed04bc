"""What follows from a spec before it runs: what its schedules will do, and whether they may."""

"""What a job is and where it is kept. Imports nothing itself: name the module you need."""

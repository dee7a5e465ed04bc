"""What a run may say: the JSON words of optserve, declared once. Nothing here imports torch."""

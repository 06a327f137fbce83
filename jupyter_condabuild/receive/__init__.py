"""What a labmate does with an image that somebody has shared: inspects it, and runs it."""

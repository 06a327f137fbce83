"""What an image of ours is: its paths, its layers, its configuration and its base."""

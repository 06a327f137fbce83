"""The proof of an image: each part is compared with the part that the lock file in the image makes."""

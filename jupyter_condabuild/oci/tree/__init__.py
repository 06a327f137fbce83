"""The files of an image: its layers merged, as a stream or in a folder."""

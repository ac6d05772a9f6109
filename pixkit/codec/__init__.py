"""Lossless coding of images by trained models: arithmetic that is the same everywhere, a range coder, a file."""

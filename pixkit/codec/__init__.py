"""Lossless coding of images with trained models: arithmetic that is the same everywhere, a range coder, a file."""

"""Executors for CUDA."""

"""What a trained model is for: the verbs of the Python API and of the command line."""

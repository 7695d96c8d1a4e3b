"""Training data: token cache, tiles, sampling, batches."""

"""Validation metrics, probes and the model card."""

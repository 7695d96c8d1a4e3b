"""Heads on frozen vectors: ridge, logistic regression, MLP, k-NN."""

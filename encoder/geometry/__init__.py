"""Geometry tokens: size, orientation and the Fourier transform of an outline."""

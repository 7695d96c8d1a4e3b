"""Train the encoder that reads relations."""

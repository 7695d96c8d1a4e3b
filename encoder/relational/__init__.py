"""An encoder that reads an entity together with those that it is related to."""

"""Recorded answers of the command, compared with what it prints today."""

"""Training objectives: losses, teachers, predictors."""

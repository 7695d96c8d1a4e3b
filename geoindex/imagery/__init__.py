"""What does the ground look like? Chips of cells, their patch tokens in the index, and pictures."""

"""The evaluation report: an HTML page and Markdown tables."""

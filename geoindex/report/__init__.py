"""Pages for people: templates, charts and maps that queries and evaluations share."""

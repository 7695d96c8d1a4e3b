"""Read Overture Maps: its columns become OpenStreetMap tags, by rules that are data."""

"""How is a checkpoint made? Needed only until training ends."""

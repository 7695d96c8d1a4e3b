"""Guess what entities are from their shape, what is left of their tags, and their surroundings."""

from geoindex.evaluation.guess.guesser import Guesser
from geoindex.evaluation.guess.results import Guess, GuessedEntity, Guesses, Support

__all__ = ["Guess", "GuessedEntity", "Guesser", "Guesses", "Support"]

"""Isolation: a submission's code answers questions in a process of its own, with limits."""

from .asking import Answer, Answers, Question, ask
from .limits import Limits

__all__ = ["Answer", "Answers", "Limits", "Question", "ask"]

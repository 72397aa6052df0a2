"""Checks: what notebooks call. Each says why an answer is not right yet, in the words of the grader."""

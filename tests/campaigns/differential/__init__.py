"""Differential runs: the project's engine against other projects' engines, with random traffic."""

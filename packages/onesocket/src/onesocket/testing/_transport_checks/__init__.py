"""The checks of `check_transport`, by what they are about."""

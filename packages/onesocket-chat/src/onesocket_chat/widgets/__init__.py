"""The parts of the screens. Each shows one part of what is known, and says what somebody wants."""

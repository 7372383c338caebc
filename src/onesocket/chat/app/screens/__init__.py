"""The screens: signing in, chatting, the timeline, and short questions."""

"""The screens: signing in, chatting, the timeline, the account, and short questions."""

"""The screens: sign-in, chat, timeline, logins, password, and dialogs."""

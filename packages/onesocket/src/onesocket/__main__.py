"""``python -m onesocket``: the same as the command `onesocket`."""

from .cli import main

if __name__ == "__main__":
    main()

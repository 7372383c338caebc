"""Inboxes of event loops for tests."""

from onesocket.sharing._loop_inbox import LoopInbox


class InboxOfAnotherLoop(LoopInbox):
    """The inbox as the host loop in another thread sees it."""

    @property
    def is_here(self) -> bool:
        return False

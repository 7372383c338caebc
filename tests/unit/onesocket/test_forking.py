"""Descriptors that a forked child keeps: the kernel is asked, in the child."""

import contextlib
import os
import resource
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from onesocket import _forking as forking

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


def in_child(work: Callable[[], None]) -> None:
    """Run it in a forked child; what it raises is printed, and fails the test."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the child must not go on as a second pytest
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def is_null(descriptor: int) -> bool:
    return os.fstat(descriptor).st_rdev == Path(os.devnull).stat().st_rdev


def pair() -> tuple[forking.ForkSafeSocket, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    return forking.ForkSafeSocket(fileno=ours.detach()), theirs


class DescriptorHolder:
    """Holds one descriptor, as an owner does its lock."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.told = 0
        forking.register_holder(self)

    def file_descriptors(self) -> Iterable[int]:
        yield self.descriptor

    def forked(self) -> None:
        self.told += 1


def test_a_guarded_socket_is_the_null_device_in_a_child_and_untouched_in_the_parent() -> None:
    ours, theirs = pair()
    with ours, theirs:
        number = ours.fileno()

        def child() -> None:
            assert is_null(number)
            with pytest.raises(OSError):
                ours.send(b"from the child")
            ours.close()

        in_child(child)
        assert ours.is_open()
        ours.send(b"from the parent")
        assert theirs.recv(100) == b"from the parent"


def test_so_is_what_it_accepts() -> None:
    with forking.ForkSafeSocket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:

            def child() -> None:
                assert is_null(accepted.fileno())
                assert is_null(listener.fileno())

            in_child(child)


def test_a_number_that_was_given_to_another_file_is_left_alone() -> None:
    """uvloop closes a descriptor before it tells its socket."""
    ours, theirs = pair()
    with theirs:
        number = ours.fileno()
        reading, writing = os.pipe()
        os.dup2(reading, number)

        def child() -> None:
            assert not is_null(number)

        in_child(child)
        for descriptor in (reading, writing):
            os.close(descriptor)
        ours.close()


def test_a_holder_lets_go_and_is_told_once(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    holder = DescriptorHolder(descriptor)

    def child() -> None:
        assert is_null(descriptor)
        assert holder.told == 1
        in_child(grandchild)

    def grandchild() -> None:
        assert holder.told == 1

    in_child(child)
    assert holder.told == 0
    assert not is_null(descriptor)
    os.close(descriptor)


def test_a_process_without_a_spare_descriptor_gives_its_child_nothing() -> None:
    def full() -> None:
        ours, theirs = pair()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()) + 2, hard)
        )
        with contextlib.suppress(OSError):
            while True:
                os.dup(0)

        def child() -> None:
            assert is_null(ours.fileno())

        in_child(child)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert ours.is_open()
        theirs.close()

    in_child(full)


def test_without_a_null_device_descriptors_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair()
    monkeypatch.setattr(os, "devnull", "/nowhere")

    def child() -> None:
        with pytest.raises(OSError):
            os.fstat(ours.fileno())

    with ours, theirs:
        in_child(child)
        assert ours.is_open()


def test_a_child_is_another_process_and_has_no_guarded_sockets() -> None:
    ours, theirs = pair()
    here = forking.process_token()
    with ours, theirs:
        assert ours in forking.fork_safe_sockets()

        def child() -> None:
            assert forking.process_token() is not here
            assert forking.fork_safe_sockets() == []

        in_child(child)
        assert forking.process_token() is here

"""Signals that wait for a good moment, and those that end a program by an exception."""

import os
import signal
import threading

import pytest

from resnet_edu.support.signals import Deferred, accept_interrupts, exit_on_termination, interrupts_not_inherited

NAMES = ("SIGINT", "SIGTERM")


@pytest.fixture
def came():
    """What arrives: the signals whose handler has been called."""
    numbers = []
    before = {n: signal.signal(n, lambda n, _: numbers.append(n)) for n in (signal.SIGINT, signal.SIGTERM)}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def test_signals_wait_and_come_once_each(came):
    with Deferred(*NAMES) as waiting:
        send(signal.SIGTERM, signal.SIGINT, signal.SIGINT)
        assert came == []
        waiting.release()
        assert came == [signal.SIGTERM, signal.SIGINT]
        send(signal.SIGTERM)
        assert len(came) == 2
    assert came == [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]
    send(signal.SIGINT)
    assert len(came) == 4


def test_a_second_ctrl_c_comes_at_once_where_that_is_asked_for(came):
    with Deferred(*NAMES, impatient=True):
        send(signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
        assert came == []
        send(signal.SIGINT)
        assert came == [signal.SIGTERM, signal.SIGINT]


def test_only_those_that_are_named_and_not_ignored(came):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with Deferred("SIGTERM", "SIGNONE"):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        send(signal.SIGINT)
        assert came == [signal.SIGINT]


def test_nothing_waits_in_another_thread(came):
    def run():
        with Deferred(*NAMES):
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers, expected = [], signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [expected]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_termination_exits_with_the_status_of_shells(name):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)

    def ended():
        with exit_on_termination():
            try:
                send(number)
            finally:
                send(number)  # the clean-up is not disturbed

    try:
        with pytest.raises(SystemExit) as caught:
            ended()
        assert caught.value.code == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_handler_of_the_programs_own_stays(came):
    with exit_on_termination():
        send(signal.SIGTERM)
    assert came == [signal.SIGTERM]


def test_ctrl_c_is_blocked_for_processes_that_start(came):
    with interrupts_not_inherited():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_ctrl_c_is_accepted_again_where_it_was_ignored(came):
    accept_interrupts()
    send(signal.SIGINT)
    assert came == [signal.SIGINT]  # it was not ignored: nothing has changed
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    accept_interrupts()
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)

"""What a training hears of signals."""

import os
import signal

import pytest

from train import stopping as module
from train.stopping import stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_once_and_is_answered_on_the_screen(number: int, capfd) -> None:
    before = signal.getsignal(number)
    with stopping(tells=True) as is_asked:
        assert not is_asked()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # torchrun sends what the terminal has sent already
        assert is_asked()
    assert signal.getsignal(number) is before
    assert capfd.readouterr().err.count("stopping after this step, with a checkpoint") == 1


def test_other_ranks_than_the_first_keep_silent(capfd) -> None:
    with stopping(tells=False) as is_asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert is_asked()
    assert capfd.readouterr().err == ""


def test_a_second_ctrl_c_later_ends_it_at_once_and_a_second_sigterm_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ECHO_S", -1.0)
    with pytest.raises(KeyboardInterrupt), stopping(tells=False) as is_asked:
        for number in (signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert is_asked()
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

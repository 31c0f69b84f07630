"""Steps as a person or a log sees them."""

import io

import pytest

from embedded.steps import Steps


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Log(io.StringIO):
    encoding = "ascii"


def test_a_log_has_one_line_a_step():
    log = Log()
    with Steps(log).step("Portal"):
        pass
    assert log.getvalue().splitlines() == [f"  ok {'Portal':<34}    0.0 s"]


def test_a_failed_step_is_marked():
    log = Log()
    with pytest.raises(ValueError, match="boom"), Steps(log).step("Portal"):
        raise ValueError("boom")
    assert log.getvalue().startswith("  -- Portal")


def test_a_terminal_shows_the_running_step_and_its_progress():
    terminal = Terminal()
    steps = Steps(terminal)
    with steps.step("Packages"):
        steps.progress("Packages: 3 of 9")
    shown = terminal.getvalue().split("\r\033[K")
    assert [line.strip() for line in shown[1:3]] == ["… Packages", "… Packages: 3 of 9"]
    assert shown[3].startswith("  ✓ Packages")


def test_a_log_is_not_flooded_with_progress():
    log = Log()
    steps = Steps(log)
    with steps.step("Packages"):
        for number in range(50):
            steps.progress(f"Packages: {number} of 50")
    assert len(log.getvalue().splitlines()) == 1


def test_a_reader_who_has_gone_stops_nothing():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with Steps(Gone()).step("Portal"):
        pass

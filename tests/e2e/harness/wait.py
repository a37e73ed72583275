"""Waiting for a condition, never for a time."""
import time


class Hopeless(Exception):
    """Raised by a condition that cannot become true any more: the waiting ends at once."""


def until(what, condition, seconds=15):
    """Returns the first true value of condition(); an AssertionError names `what` after `seconds`.

    An exception of the condition is shown when the time is over, and is "not yet" before.
    """
    deadline = time.monotonic() + seconds
    pause = 0.002
    while True:
        last = None
        try:
            value = condition()
            if value:
                return value
            last = value
        except Hopeless:
            raise
        except Exception as error:  # pylint: disable=broad-except
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what} (last: {last!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)

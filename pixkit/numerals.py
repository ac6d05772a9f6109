"""How numbers are written for people."""

import math


def significant(value: float, digits: int) -> str:
    """Write a number to so many significant digits, without an exponent if it is large.

    Losses of colour images are tens of thousands of nats, and `1.703e+04` is harder to compare than `17035`.

    Args:
        value: any float; one that is not finite is written as Python does.
        digits: at least 1. The digits before the decimal point are all written.

    Example:
        >>> [significant(value, 3) for value in (0.00012345, 1.5, 99.96, 1234.5, -17034.8)]
        ['0.000123', '1.5', '100', '1234', '-17035']
    """
    large = math.isfinite(value) and abs(value) >= 10**digits
    return f"{value:.0f}" if large else _without_exponent(f"{value:.{digits}g}")


def _without_exponent(text: str) -> str:
    """A number that was rounded up to the next power of ten, such as 1e+03, in digits."""
    return f"{float(text):.0f}" if "e+" in text else text

"""The card that is here."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ....types import Array
from .device import Device, Stream
from .device_array import DeviceArray
from .probe import require_card


def found_card() -> Device:
    """The card that is here. `UnsupportedError` or `MissingExtraError` says what is missing, and
    what there is without."""
    require_card()
    first: Device = import_module(".card", __package__).first_card()  # loads the driver
    return first


def to_device(array: Array) -> DeviceArray:
    """A copy of an array in the card's memory. Executables that are given one leave their results
    there. Errors as those of `found_card`."""
    card = found_card()
    card.enter()
    return DeviceArray.upload(array, card, _uploads())


@cache
def _uploads() -> Stream:
    """The stream that arrays are copied in."""
    return found_card().stream()

"""Sliders that compute, where a kernel runs: Jupyter and Colab.

A static page shows `interactive.image_slider`, whose frames are made beforehand; beside it, `explore` lets whoever runs the
notebook ask for what no frame shows. Works with ipywidgets 7 (Colab) and 8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..errors import InputError, MissingExtra
from .figures import jpeg_bytes


def explore(draw: Callable[..., Tensor], alt: str, *, width: int = 384, **controls: Any) -> Any:
    """A picture that is drawn again whenever a control moves.

    Args:
        draw: takes the controls by name and returns a picture ``(3, H, W)`` in [0, 1].
        alt: what the picture shows, in words. width: in CSS pixels.
        controls: by name, ``(low, high, start)`` of integers for whole steps, of floats for twenty steps over the range,
            or a list of choices, the first of which is the start.
    Returns:
        An ipywidgets box; leave it as the last value of a cell.
    Raises:
        InputError: no control, or one of another form. MissingExtra: ipywidgets is not installed.
    """
    try:
        import ipywidgets as widgets
    except ImportError as error:
        raise MissingExtra("book", "ipywidgets") from error
    if not controls:
        raise InputError("explore needs at least one control")
    look = {"style": {"description_width": "initial"}, "layout": widgets.Layout(width=f"{width}px")}
    handles = {name: _control(widgets, name, values, look) for name, values in controls.items()}
    picture = widgets.Image(format="jpeg", layout=widgets.Layout(width=f"{width}px", max_width="100%"))

    def again(_: Any = None) -> None:
        picture.value = jpeg_bytes(draw(**{name: handle.value for name, handle in handles.items()}))

    for handle in handles.values():
        handle.observe(again, names="value")
    again()
    return widgets.VBox([picture, widgets.Label(alt), *handles.values()])


def _control(widgets: Any, name: str, values: Any, look: dict[str, Any]) -> Any:
    label = name.replace("_", " ")
    if isinstance(values, list) and values:
        return widgets.Dropdown(options=values, value=values[0], description=label, **look)
    if isinstance(values, tuple) and len(values) == 3 and values[0] < values[1] and values[0] <= values[2] <= values[1]:
        low, high, start = values
        # a picture costs seconds: draw when the slider is let go, not on its way
        common = {"min": low, "max": high, "value": start, "description": label, "continuous_update": False, **look}
        if all(isinstance(v, int) for v in values):
            return widgets.IntSlider(**common)
        return widgets.FloatSlider(step=(high - low) / 20, **common)
    raise InputError(f"control '{name}' is {values!r}: give (low, high, start) or a list of choices")

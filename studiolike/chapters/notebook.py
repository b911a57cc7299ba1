"""What a chapter needs of the notebook it runs in: numbers for the prose, tables, the library's own code beside an equation.

Figures are in `figures`. All of it also works where the book's tools are missing, in Colab for example.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real

import torch

from ..errors import InputError
from ..evaluation.table import pipe_table, with_minus


def glue(name: str, value: float | int | str) -> None:
    """Give a result a name, so that the text of any page can quote it: ``{glue:text}`name:.2f` ``.

    Only plain numbers and strings: numpy and torch scalars would break the formats in the text, so they are turned
    into Python numbers here. Where the book's tools are missing the value is printed by its name, beside the released
    run's, which the text shows there.

    Args:
        name: unique over the whole book; begin it with the chapter, as in ``ch03_psnr``.
        value: a number (also a tensor or array with one element) or a string.
    Raises:
        InputError: anything else.
    """
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, (Real, str)):
        raise InputError(f"glue takes one number or a string, and '{name}' is a {type(value).__name__}")
    if isinstance(value, str):
        value = with_minus(value)
    elif not isinstance(value, (bool, int)):
        value = float(value)
    try:
        from myst_nb import glue as store
    except ImportError:
        print(f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}")
        return
    store(name, value, display=False)


def tell(chapter: str, numbers: Mapping[str, float | int | str]) -> None:
    """`glue` many results of a chapter: ``tell("ch03", {"psnr": 23.4})`` names one ``ch03_psnr``."""
    for name, value in numbers.items():
        glue(f"{chapter}_{name}", value)


def source(thing: Callable | type | Sequence[Callable | type], title: str = "") -> None:
    """Show the library's own code of a function or class, or of several, coloured, in the page. Never a second copy of it.

    Args:
        title: one line that says what it is; with it the code waits behind a click.
    """
    from IPython.display import Markdown, display

    parts = []
    for one in thing if isinstance(thing, Sequence) else [thing]:
        code = textwrap.dedent(inspect.getsource(one)).rstrip()
        parts.append(f"`{one.__module__}.{one.__qualname__}`\n\n```python\n{code}\n```")
    shown = "\n\n".join(parts)
    if title:
        shown = f'<details class="long-source"><summary>{title}</summary>\n\n{shown}\n\n</details>\n'
    display(Markdown(shown))


def table_of(head: Sequence[object], rows: Iterable[Sequence[object]], note: str = "") -> None:
    """Show a table: its head, its rows (anything that prints), and a sentence below it. Texts may hold Markdown."""
    from IPython.display import Markdown, display

    display(Markdown(pipe_table(head, rows) + (f"\n\n{note}" if note else "")))


def ledger(name: str, measures: Sequence[str] | None = None, limits: bool = False) -> None:
    """What the ledger has recorded of an experiment over several seeds, and what it cannot show; or that it has nothing.

    Args:
        measures: columns, where the record has them; default all of its.
    """
    from IPython.display import Markdown, display

    from ..experiments import experiment, record, records_dir

    made = experiment(name)
    if not (records_dir() / f"{name}.json").is_file():
        text = f"*{made.question}* The ledger holds no record of the experiment `{name}` yet."
    else:
        kept = record(name)
        stale = f"\n\n**Made with other settings or weights than today's:** {len(kept.stale())} entries." if kept.stale() else ""
        shown = [m for m in measures or kept.columns if m in kept.columns]
        rows = [row for row in kept.rows if kept.seeds(row)]
        text = f"**From the ledger: {made.question}**\n\n{kept.table(shown, rows)}{stale}" + f"\n\n{made.limits}" * limits
    display(Markdown(text))


def seeded(seed: int = 0) -> torch.Generator:
    """A CPU generator of its own, so that a cell draws the same whenever and after whatever it runs."""
    return torch.Generator().manual_seed(seed)

"""The stages in their order: which data each one reads, where its run lives, what it releases.

`train("all", profile("cpu"), "runs")` is ``make weights``: data → identity networks → G_phone → code bank, and then, once
for each of the two `protocols`, G_studio → tone → detailer. Every step resumes where it was stopped and does nothing when it is
done. Under ``accelerate launch`` the processes train together; sets, code banks and releases are the main one's to write.
"""

from .context import Context
from .evaluation import evaluate_chain
from .run import train
from .sets import chapter_set, data_sets, make_set, set_spec
from .sizes import chapter_profile

__all__ = ["Context", "chapter_profile", "chapter_set", "data_sets", "evaluate_chain", "make_set", "set_spec", "train"]

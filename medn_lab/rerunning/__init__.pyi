from .again import rerun as rerun
from .outcome import Rerun as Rerun

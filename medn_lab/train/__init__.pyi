from .epoch import TrainConfig as TrainConfig
from .epoch import medn_loss as medn_loss
from .epoch import read_targets as read_targets
from .loop import History as History
from .loop import Run as Run
from .loop import fit as fit

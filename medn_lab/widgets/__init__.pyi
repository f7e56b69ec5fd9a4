from .evaluation import EvaluationPanel as EvaluationPanel
from .explorer import BranchExplorer as BranchExplorer
from .monitor import TrainingMonitor as TrainingMonitor
from .player import ClipPlayer as ClipPlayer

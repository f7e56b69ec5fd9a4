from .attribution import AttributionViewer as AttributionViewer
from .decoupling import DecouplingPanel as DecouplingPanel
from .evaluation import EvaluationPanel as EvaluationPanel
from .explorer import BranchExplorer as BranchExplorer
from .facelab import FaceLab as FaceLab
from .monitor import TrainingMonitor as TrainingMonitor
from .pairs import PairBrowser as PairBrowser
from .player import ClipPlayer as ClipPlayer

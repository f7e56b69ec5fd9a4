from .attribution import AttributionViewer as AttributionViewer
from .clip_view import ClipPlayer as ClipPlayer
from .decoupling import DecouplingPanel as DecouplingPanel
from .evaluation import EvaluationPanel as EvaluationPanel
from .explorer import BranchExplorer as BranchExplorer
from .facelab import FaceLab as FaceLab
from .monitor import TrainingMonitor as TrainingMonitor
from .pairs import PairBrowser as PairBrowser

from . import data as data
from . import diagnose as diagnose
from . import evaluate as evaluate
from . import model as model
from . import records as records
from . import rerunning as rerunning
from . import synthme as synthme
from . import train as train
from . import view as view
from . import widgets as widgets
from .evaluate import extract_features as extract_features
from .evaluate import predict as predict
from .model import load_pretrained as load_pretrained
from .rerunning import rerun as rerun
from .synthme import synthetic_clips as synthetic_clips
from .train import fit as fit

__version__: str

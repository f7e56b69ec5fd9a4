from .metrics import Interval as Interval
from .metrics import accuracy as accuracy
from .metrics import bootstrap_interval as bootstrap_interval
from .metrics import confusion_matrix as confusion_matrix
from .metrics import uar as uar
from .metrics import uf1 as uf1
from .prediction import extract_features as extract_features
from .prediction import predict as predict

"""medn_lab: train MEDN, take it apart, and see whether motion and emotion are really decoupled.

The everyday few are here (``synthetic_clips``, ``load_pretrained``, ``fit``, ``predict``, ``extract_features``); the
rest lives in namespaces whose names are the steps: ``data``, ``synthme``, ``model``, ``train``, ``evaluate``,
``diagnose``, ``view``, ``widgets``. Nothing heavy is imported before it is used.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

from .confusable import confusable_pairs as confusable_pairs
from .embedding import umap as umap
from .embedding import warm_umap as warm_umap

from .confusable import confusable_pairs as confusable_pairs
from .embedding import umap as umap
from .embedding import warm_umap as warm_umap
from .gradients import integrated_gradients as integrated_gradients
from .planted import PlantedMass as PlantedMass
from .planted import planted_mass as planted_mass

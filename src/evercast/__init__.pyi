from evercast.interop.opened import OpenedLikelihood as OpenedLikelihood
from evercast.interop.opened import open_likelihood as open_likelihood

__all__ = ["OpenedLikelihood", "__version__", "open_likelihood"]

__version__: str

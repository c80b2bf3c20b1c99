"""The FHIRPath functions that views can use: `FUNCTIONS` is the whole list, and every other function is refused."""

from collections.abc import Mapping

from lambda_pipeline.views.collection_functions import COLLECTION_FUNCTIONS
from lambda_pipeline.views.function import Function
from lambda_pipeline.views.path_functions import PATH_FUNCTIONS
from lambda_pipeline.views.type_functions import TYPE_FUNCTIONS
from lambda_pipeline.views.value_functions import VALUE_FUNCTIONS

FUNCTIONS: Mapping[str, Function] = {**PATH_FUNCTIONS, **COLLECTION_FUNCTIONS, **TYPE_FUNCTIONS, **VALUE_FUNCTIONS}
"""The functions by name."""

NOT_OF_THE_RESOURCE = frozenset(("now", "today", "timeOfDay"))
"""Functions of the time of the query: a row would change although its resource does not."""

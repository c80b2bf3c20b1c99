"""Saved queries: SQL with declared parameters and dependencies, by name. Every door asks them through `ask_query`."""

from lambda_pipeline.errors import SavedQueryError
from lambda_pipeline.queries.folder import QueryFolder, read_file, read_queries
from lambda_pipeline.queries.header import read_sql
from lambda_pipeline.queries.run import ask_query
from lambda_pipeline.queries.saved_query import Dependency, Parameter, QueryFile, SavedQuery

__all__ = [
    "Dependency",
    "Parameter",
    "QueryFile",
    "QueryFolder",
    "SavedQuery",
    "SavedQueryError",
    "ask_query",
    "read_file",
    "read_queries",
    "read_sql",
]

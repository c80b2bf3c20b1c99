"""SQL on FHIR: a ViewDefinition becomes a validated model, typed trees, and one PostgreSQL SELECT."""

from lambda_pipeline.views.compiler import compile_view, lint, load_views
from lambda_pipeline.views.documents import documents_relation
from lambda_pipeline.views.view import Column, View

__all__ = ["Column", "View", "compile_view", "documents_relation", "lint", "load_views"]

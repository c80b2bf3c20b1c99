"""SQL of `getReferenceKey()`."""

from lambda_pipeline.views.sql_text import quoted


def reference_key(text: str, resource: str | None) -> str:
    """The id in a relative reference; NULL for an absolute, contained, urn or conditional reference.

    `Patient/1/_history/2` has the key `1`. Without a type, any name that begins with a capital letter counts as a type.
    """
    if resource is None:
        is_relative = f"left({text}, 1) COLLATE \"C\" BETWEEN 'A' AND 'Z'"
    else:
        is_relative = f"{text} ^@ {quoted(resource + '/')}"
    return (
        f"CASE WHEN {is_relative} AND strpos({text}, '?') = 0 AND split_part({text}, '/', 3) IN ('', '_history')"
        f" THEN nullif(split_part({text}, '/', 2), '') END"
    )

"""The operations report: what an operator looks at, as one page.

`collect` reads a deployment once, `charts` draws SVG, `page` makes the HTML. Counts and resource ids are on the page,
and no value of a resource.
"""

from lambda_pipeline.operations.report.charts import history_chart
from lambda_pipeline.operations.report.collect import Report, collect_report
from lambda_pipeline.operations.report.page import to_page, write_page

__all__ = ["Report", "collect_report", "history_chart", "to_page", "write_page"]

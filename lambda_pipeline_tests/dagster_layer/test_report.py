"""The operations report as an asset of the night."""

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.worlds import Site


def test_each_night_makes_the_report_with_its_picture(night: Site) -> None:
    run = night.refresh()
    assert run.success
    ended = [event.step_key for event in run.all_events if event.is_step_success]
    assert ended[-1] == "operations_report", "it shows what the parity checks found"
    made = night.latest("operations_report")
    assert made is not None
    assert (made.metadata["generation"].value, made.metadata["healthy"].value) == (2, True)
    page = Path(str(made.metadata["page"].value)).read_text()
    assert "generation 2 (incremental)" in page
    (picture,) = re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", str(made.metadata["refreshes"].value))
    told = [
        title.text or "" for title in ET.fromstring(base64.b64decode(picture)).iter("{http://www.w3.org/2000/svg}title")
    ]
    assert sum("generation 1 (full)" in each for each in told) == 3


def test_a_refresh_that_fails_leaves_the_page_of_the_night_before(night: Site) -> None:
    made = night.latest("operations_report")
    assert made is not None
    night.define({**PATIENTS, "select": []}, CONDITIONS)
    assert not night.refresh().success
    assert night.latest("operations_report") == made
    page = Path(str(made.metadata["page"].value)).read_text()
    assert "generation 1 (full)" in page
    assert "generation 2" not in page

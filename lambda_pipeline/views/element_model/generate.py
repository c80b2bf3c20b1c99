"""Writes `r4.jsonl`, `r4b.jsonl` and `r5.jsonl` beside this file from the official StructureDefinitions.

The definitions are those of FHIR R4 (4.0.1), R4B (4.3.0) and R5 (5.0.0), published by HL7 under CC0, as packaged in
the Maven artifacts `ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r4`, `-r4b` and `-r5` (Apache-2.0):

    mvn dependency:copy -Dartifact=ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r5:8.8.0 -DoutputDirectory=.
    python -m lambda_pipeline.views.element_model.generate r5 hapi-fhir-validation-resources-r5-8.8.0.jar

One line per type, sorted: its name, a tab, and an object of its elements. An element is its types joined by `|`, with
a trailing `*` if it may repeat; a choice element keeps its `[x]`. A backbone element is a type of its own, named by its
path (`Patient.contact`), and a content reference is the type it refers to. A primitive type has no elements.
"""

import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

FHIR = "{http://hl7.org/fhir}"
SYSTEM_STRING = "http://hl7.org/fhirpath/System.String"

Json = Mapping[str, Any]


def structure_definitions(jar: Path) -> Iterator[Json]:
    """The StructureDefinitions in the artifact as JSON: two files of XML up to R4B, a package of JSON since R5."""
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.endswith(("/profile/profiles-types.xml", "/profile/profiles-resources.xml")):
                tree = ET.fromstring(archive.read(name))  # noqa: S314 (an artifact we chose)
                yield from map(_from_xml, tree.iter(f"{FHIR}StructureDefinition"))
            if ".core-" in name and name.endswith(".tgz"):
                yield from _from_package(archive.read(name))


def _from_package(content: bytes) -> Iterator[Json]:
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        for member in package:
            if member.name.startswith("package/StructureDefinition-"):
                file = package.extractfile(member)
                assert file is not None, member.name
                yield json.load(file)


def _from_xml(definition: ET.Element) -> Json:
    """The parts of a definition that are read, as in JSON."""
    elements = [
        {
            **{name: _value(element, name) for name in ("path", "max", "contentReference")},
            "type": [{"code": _value(kind, "code")} for kind in element.findall(f"{FHIR}type")],
        }
        for element in definition.iterfind(f"{FHIR}snapshot/{FHIR}element")
    ]
    header = {name: _value(definition, name) for name in ("name", "kind", "type", "baseDefinition")}
    return {**header, "snapshot": {"element": elements}}


def _value(element: ET.Element, name: str) -> str:
    """The `value` attribute of a child, or the empty string."""
    child = element.find(f"{FHIR}{name}")
    return "" if child is None else child.get("value", "")


def is_of_a_type(definition: Json) -> bool:
    """Whether it defines a type of values.

    Age, Duration ... are types too, although by definition profiles of Quantity; patterns (`FiveWs`) are not.
    """
    is_pattern = definition["kind"] == "logical" and definition.get("baseDefinition", "").endswith("/Base")
    return not is_pattern and definition["type"] in (definition["name"], "Quantity")


def type_names(element: Json, path: str, *, in_resource: bool) -> list[str]:
    """The types of an element: FHIR type names, the path of a backbone element, or what it refers to."""
    reference = element.get("contentReference")
    if reference:
        return [reference.rpartition("#")[2]]
    codes = list(dict.fromkeys(kind["code"] for kind in element.get("type", ())))
    if codes in (["BackboneElement"], ["Element"]):
        return [path]
    if codes == [SYSTEM_STRING]:
        is_logical_id = in_resource and path.count(".") == 1
        return ["id" if is_logical_id else "uri" if path.endswith(".url") else "string"]
    return codes


def elements_by_type(definition: Json) -> dict[str, dict[str, str]]:
    """Each type that one StructureDefinition defines, with its elements."""
    root = definition["name"]
    types: dict[str, dict[str, str]] = {root: {}}
    if definition["kind"] == "primitive-type":
        return types
    in_resource = definition["kind"] == "resource"
    for element in definition["snapshot"]["element"]:
        _, _, rest = element["path"].partition(".")
        if not rest or element["max"] == "0":
            continue
        path = f"{root}.{rest}"
        parent, _, name = path.rpartition(".")
        kinds = type_names(element, path, in_resource=in_resource)
        many = "" if element["max"] == "1" else "*"
        types.setdefault(parent, {})[name] = "|".join(kinds) + many
        if kinds == [path]:
            types.setdefault(path, {})
    return types


def main(release: str, jar: Path) -> None:
    """Write the data file of one version."""
    types: dict[str, dict[str, str]] = {}
    for definition in filter(is_of_a_type, structure_definitions(jar)):
        types.update(elements_by_type(definition))
    lines = (f"{name}\t{json.dumps(types[name], separators=(',', ':'))}" for name in sorted(types))
    Path(__file__).with_name(f"{release}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

"""Writes `elements.jsonl` beside this file from the official FHIR R4 StructureDefinitions.

The definitions are those of FHIR R4 (4.0.1), published by HL7 under CC0, as packaged in the Maven artifact
`ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r4` (Apache-2.0):

    mvn dependency:get -Dtransitive=false -Dartifact=ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r4:8.8.0
    python -m lambda_pipeline.views.r4.generate <that jar>

One line per type, sorted: its name, a tab, and an object of its elements. An element is its types joined by `|`, with
a trailing `*` if it may repeat; a choice element keeps its `[x]`. A backbone element is a type of its own, named by its
path (`Patient.contact`), and a content reference is the type it refers to. A primitive type has no elements.
"""

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

FHIR = "{http://hl7.org/fhir}"
FOLDER = "org/hl7/fhir/r4/model/profile"
SYSTEM_STRING = "http://hl7.org/fhirpath/System.String"


def structure_definitions(jar: Path) -> Iterator[ET.Element]:
    """The StructureDefinitions of all types and resources in the artifact."""
    with zipfile.ZipFile(jar) as archive:
        for name in ("profiles-types.xml", "profiles-resources.xml"):
            tree = ET.fromstring(archive.read(f"{FOLDER}/{name}"))  # noqa: S314 (an artifact we chose)
            yield from tree.iter(f"{FHIR}StructureDefinition")


def value(element: ET.Element, name: str) -> str:
    """The `value` attribute of a child, or the empty string."""
    child = element.find(f"{FHIR}{name}")
    return "" if child is None else child.get("value", "")


def type_names(element: ET.Element, path: str, *, in_resource: bool) -> list[str]:
    """The types of an element: FHIR type names, the path of a backbone element, or what it refers to."""
    reference = value(element, "contentReference")
    if reference:
        return [reference.removeprefix("#")]
    codes = list(dict.fromkeys(value(kind, "code") for kind in element.findall(f"{FHIR}type")))
    if codes in (["BackboneElement"], ["Element"]):
        return [path]
    if codes == [SYSTEM_STRING]:
        is_logical_id = in_resource and path.count(".") == 1
        return ["id" if is_logical_id else "uri" if path.endswith(".url") else "string"]
    return codes


def elements_by_type(definition: ET.Element) -> dict[str, dict[str, str]]:
    """Each type that one StructureDefinition defines, with its elements."""
    root = value(definition, "name")
    types: dict[str, dict[str, str]] = {root: {}}
    if value(definition, "kind") == "primitive-type":
        return types
    in_resource = value(definition, "kind") == "resource"
    for element in definition.iterfind(f"{FHIR}snapshot/{FHIR}element"):
        _, _, rest = value(element, "path").partition(".")
        if not rest or value(element, "max") == "0":
            continue
        path = f"{root}.{rest}"
        parent, _, name = path.rpartition(".")
        kinds = type_names(element, path, in_resource=in_resource)
        many = "" if value(element, "max") == "1" else "*"
        types.setdefault(parent, {})[name] = "|".join(kinds) + many
        if kinds == [path]:
            types.setdefault(path, {})
    return types


def main(jar: Path) -> None:
    """Write the data file."""
    types: dict[str, dict[str, str]] = {}
    for definition in structure_definitions(jar):
        name = value(definition, "name")
        if value(definition, "type") in (name, "Quantity"):  # Age, Duration ... are profiles of Quantity by definition
            types.update(elements_by_type(definition))
    lines = (f"{name}\t{json.dumps(types[name], separators=(',', ':'))}" for name in sorted(types))
    Path(__file__).with_name("elements.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Expressions of FHIRPath and their values on one Patient; `test_fhirpath.py` compares them with another engine too."""

from decimal import Decimal
from typing import Any

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "gender": "male",
    "birthDate": "1970-06",
    "deceasedBoolean": False,
    "multipleBirthInteger": 2,
    "name": [
        {"use": "official", "family": "Čapek", "given": ["Karel", "Ann-Marie"], "period": {"start": "2020-01-02"}},
        {"use": "usual", "text": "  Karel Čapek\t"},
    ],
    "telecom": [{"system": "phone", "value": "+1 23", "rank": 2}, {"system": "email", "value": "k@x.org", "rank": 1}],
    "maritalStatus": {"text": "a,b,,c"},
    "contact": [{"name": {"family": "Rossum"}}, {"name": {"family": "Čapek"}}],
}

STRINGS: list[tuple[str, list[Any]]] = [
    ("name.first().family.startsWith('Č')", [True]),
    ("name.first().family.startsWith('č')", [False]),
    ("name.first().family.startsWith('')", [True]),
    ("name[1].family.startsWith('x')", []),
    ("name.first().family.startsWith({})", []),
    ("name.first().family.endsWith('pek')", [True]),
    ("name.first().family.endsWith('')", [True]),
    ("name.first().family.endsWith('a very long suffix')", [False]),
    ("name.first().family.contains('ape')", [True]),
    ("name.first().family.contains('')", [True]),
    ("name.first().family.contains(gender)", [False]),
    ("name.first().family.indexOf('p')", [2]),
    ("name.first().family.indexOf('')", [0]),
    ("name.first().family.indexOf('z')", [-1]),
    ("name.first().family.substring(1)", ["apek"]),
    ("name.first().family.substring(1, 2)", ["ap"]),
    ("name.first().family.substring(1, 99)", ["apek"]),
    ("name.first().family.substring(0, 0)", [""]),
    ("name.first().family.substring(5)", []),
    ("name.first().family.substring(-1)", []),
    ("name.first().family.substring({})", []),
    ("name.first().family.replace('ape', 'x')", ["Čxk"]),
    ("name.first().family.replace('.', 'x')", ["Čapek"]),
    ("name.first().family.replace('', '-')", ["-Č-a-p-e-k-"]),
    ("'a1b22'.matches('[0-9]{2}')", [True]),
    (r"'a1b22'.matches('^\\d')", [False]),
    (r"'a b'.matches('\\w\\s\\w$')", [True]),
    (r"'ab'.matches('a\\b')", [False]),
    (r"'a.b'.matches('^a\\.b$')", [True]),
    ("'aXb'.matches('^a(?:x|X)b$')", [True]),
    ("'ab'.matches('a(?!c)')", [True]),
    ("name[1].family.matches('x')", []),
    ("name.first().family.upper()", ["ČAPEK"]),
    ("name.first().family.lower()", ["čapek"]),
    ("name.first().family.length()", [5]),
    ("''.length()", [0]),
    ("name[1].text.trim()", ["Karel Čapek"]),
    ("maritalStatus.text.split(',')", ["a", "b", "", "c"]),
    ("maritalStatus.text.split(',').first()", ["a"]),
    ("''.split(',')", [""]),
    ("'abc'.split('')", ["a", "b", "c"]),
    ("name[1].family.split(',')", []),
    ("name.where(family.startsWith('Č')).given", ["Karel", "Ann-Marie"]),
    ("name.where(family.upper() = 'ČAPEK').use", ["official"]),
]

CASES = [(path, [Decimal(str(v)) if isinstance(v, int) and not isinstance(v, bool) else v for v in expected])
         for path, expected in STRINGS]  # fmt: skip

OWN_CASES: list[tuple[str, list[Any]]] = []
"""Where the other engine has a fault, or FHIRPath leaves a choice."""

"""One view that a refresh cannot make, or one resource that its table cannot hold, stops only itself."""

import copy
import json
import random
import string
from decimal import Decimal
from typing import Any

import pytest

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.errors import Problem, RefreshError, ViewNotPublishedError
from lambda_pipeline.serving import Filter, Operator
from lambda_pipeline.views import BrokenFile, lint
from lambda_pipeline_tests.support.definitions import CONDITIONS, DEFINITIONS, HEIGHTS, PATIENTS
from lambda_pipeline_tests.support.hospital import condition, height, patient
from lambda_pipeline_tests.support.worlds import World

INDEX = [{"name": "lambda_pipeline/index", "value": "true"}]


def random_text(length: int) -> str:
    """A text that PostgreSQL cannot compress."""
    return "".join(random.Random(length).choices(string.ascii_letters, k=length))


def indexed(definition: dict[str, Any], column: str) -> dict[str, Any]:
    """The definition with an index on a column."""
    made = copy.deepcopy(definition)
    (found,) = [each for each in made["select"][0]["column"] if each["name"] == column]
    found["tag"] = INDEX
    return made


def execute(world: World, *statements: str) -> list[Any]:
    """Run statements; the rows of the last."""
    with world.database.connect() as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def served(world: World) -> Generation:
    generation = world.serving.generation()
    assert generation is not None
    return generation


# --- a value that an index cannot hold


@pytest.mark.parametrize("length", [3_000, 9_000, 200_000])
@pytest.mark.parametrize("full", [False, True])
def test_a_value_too_long_for_a_btree_stops_nothing(empty_world: World, length: int, *, full: bool) -> None:
    """`index row size 6016 exceeds btree version 4 maximum 2704` ended every refresh, and mode source."""
    world = empty_world
    world.use([indexed(PATIENTS, "family"), CONDITIONS])
    world.demo.update(patient("a", name=[{"family": "Adam"}]))
    world.refresh()
    world.poll()
    world.demo.update(patient("b", name=[{"family": random_text(length)}]))
    world.demo.update(condition("c", "b"))
    world.poll()
    world.assert_exact()
    generation = world.refresh(full=full)
    assert not generation.failures
    assert {name: view.row_count for name, view in generation.views.items()} == {"patients": 2, "conditions": 1}
    assert generation.views["patients"].quarantined == 0
    world.poll()
    world.assert_exact()
    world.demo.update(patient("a", name=[{"family": random_text(length - 1)}]))
    assert world.refresh().views["patients"].build_kind == "incremental"
    world.poll()
    world.assert_exact()


@pytest.mark.parametrize(("length", "method"), [(5, "btree"), (9_000, "spgist")])
def test_equal_values_and_ranges_are_found_by_index_whatever_else_is_in_the_column(
    empty_world: World, length: int, method: str
) -> None:
    """The way around a long value must not cost the index that the tag asks for."""
    world = empty_world
    world.use([indexed(PATIENTS, "family")])
    with world.demo.open_transaction() as transaction:
        for number in range(1_000):
            transaction.update(patient(f"p{number}", name=[{"family": f"F{number:04}"}]))
        transaction.update(patient("long", name=[{"family": random_text(length)}]))
    world.refresh()
    (index,) = execute(world, "SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%(family)%'")
    assert f"USING {method} (family)" in index[0]
    for condition_of_filter in ("family = 'F0007'", "family >= 'F0007' AND family < 'F0009'"):
        plan = execute(world, f"EXPLAIN SELECT * FROM sqlonfhir.patients__1 WHERE {condition_of_filter}")
        assert "Seq Scan" not in str(plan), plan
    for operator, value, rows in [
        (Operator.EQ, "F0007", 1), (Operator.BETWEEN, ("F0007", "F0009"), 3), (Operator.EQ, random_text(length), 1),
    ]:  # fmt: skip
        assert world.serving.query("patients", where=[Filter("family", operator, value)]).row_count == rows


@pytest.mark.parametrize("column", ["value", "profile"])
def test_numbers_and_lists_too_long_for_a_btree_stop_nothing(empty_world: World, column: str) -> None:
    """A decimal of ten thousand digits and a list of five hundred profiles are too long for a btree as well."""
    world = empty_world
    world.use([indexed(HEIGHTS, column)])
    world.demo.update(height("h", "a"))
    world.refresh()
    world.poll()
    profiles = [f"http://example.org/{random_text(40 + number % 7)}/{number}" for number in range(500)]
    digits = Decimal("".join(random.Random(1).choices("123456789", k=10_000)))
    world.demo.update(height("long", "a", value=digits, meta={"profile": profiles}))
    world.poll()
    assert world.refresh().views["heights"].row_count == 2
    assert world.rows("heights", "batch") == world.rows("heights", "source")


# --- a view that cannot be made


def test_a_view_that_cannot_be_built_as_defined_goes_on_as_published(published_cohort: World) -> None:
    """One definition that PostgreSQL refused kept every view at its old generation."""
    world = published_cohort
    execute(world, "CREATE TABLE sqlonfhir.patients__2 ()")
    world.use([indexed(PATIENTS, "gender"), *DEFINITIONS[1:]])
    world.demo.update(patient("d"))
    world.demo.update(condition("dm-d", "d"))
    generation = world.refresh()
    assert generation.failures == {"patients": 'relation "patients__2" already exists'}
    assert served(world).failures == generation.failures
    assert {name: generation.views[name].row_count for name in ("patients", "conditions")} == {
        "patients": 4,
        "conditions": 4,
    }
    world.poll()
    world.assert_exact()
    assert not world.refresh().failures
    world.poll()
    world.assert_exact()


def test_columns_that_others_depend_on_stop_their_view_only(published_cohort: World) -> None:
    """A report over `sqlonfhir.patients` keeps its columns; the other views are refreshed."""
    world = published_cohort
    execute(world, "CREATE VIEW report AS SELECT family FROM sqlonfhir.patients")
    narrow = copy.deepcopy(PATIENTS)
    narrow["select"][0]["column"].pop()  # type: ignore[index]
    world.use([narrow, *DEFINITIONS[1:]])
    world.demo.update(patient("d"))
    generation = world.refresh()
    assert "other database objects depend on sqlonfhir.patients" in generation.failures["patients"]
    world.poll()
    world.assert_exact()


def break_view(world: World, name: str, number: int) -> None:
    """Make a view impossible: its table is gone, and the name of the next one is taken."""
    execute(world, f"DROP TABLE sqlonfhir.{name}__{number} CASCADE", f"CREATE TABLE sqlonfhir.{name}__{number + 1} ()")


def test_a_view_that_cannot_be_made_at_all_is_refused_by_name(published_cohort: World) -> None:
    """Its table is of another moment than the generation, so no answer over it could be shown to be right."""
    world = published_cohort
    break_view(world, "patients", 1)
    world.demo.update(condition("dm-d", "a"))
    generation = world.refresh()
    assert set(generation.views) == {"given_names", "conditions", "heights"}
    assert "patients" in generation.failures
    world.poll()
    for mode in ("live", "batch"):
        with pytest.raises(
            ViewNotPublishedError, match=r'patients is not .* generation: .*"patients__2" already exists'
        ):
            world.serving.query("patients", mode=mode)
        with pytest.raises(ViewNotPublishedError):
            world.cohort(mode)
    assert world.serving.query("patients", mode="source").row_count == 3
    for name in generation.views:
        assert world.rows(name) == world.rows(name, "source")


def test_a_view_that_was_left_out_is_built_by_the_next_refresh(published_cohort: World) -> None:
    """Nothing of the older table may survive in it, also where it is the only view of its type."""
    world = published_cohort
    break_view(world, "conditions", 1)
    assert set(world.refresh().views) == {"patients", "given_names", "heights"}
    world.poll()
    world.demo.delete("Condition", "dm-a")
    with world.demo.open_transaction() as transaction:
        transaction.delete("Condition", "dm-b")
        transaction.expunge("Condition", "dm-b")
    world.demo.update(condition("dm-new", "a"))
    world.poll()
    generation = world.refresh()
    assert (generation.failures, generation.views["conditions"].build_kind) == ({}, "full")
    assert generation.views["conditions"].row_count == 2
    with world.demo.open_transaction() as transaction:
        transaction.delete("Condition", "dm-new")
        transaction.expunge("Condition", "dm-new")
    assert world.refresh().views["conditions"].row_count == 1
    world.poll()
    world.assert_exact()
    world.demo.update(condition("dm-e", "a"))
    world.poll()
    world.assert_exact()


def test_a_view_that_was_left_out_while_its_file_was_broken_is_built_as_it_was_published(
    published_cohort: World,
) -> None:
    """Two faults in one night must not make a view wait for its file."""
    world = published_cohort
    broken = [BrokenFile("patients.json", "patients", True, (Problem("patients.json", "$", "broken"),))]
    world.use(DEFINITIONS[1:])
    break_view(world, "patients", 1)
    assert "patients" not in world.refresh(broken=broken).views
    generation = world.refresh(broken=broken)
    assert generation.views["patients"].row_count == 3
    assert generation.failures == {"patients": "patients.json: $: broken"}
    world.poll()
    assert world.rows("patients") == world.rows("patients", "source")


def test_a_full_build_that_fails_for_one_view_updates_its_table(published_cohort: World) -> None:
    """The view is worth no less than before the full build was asked for."""
    world = published_cohort
    execute(world, "CREATE TABLE sqlonfhir.patients__2 ()")
    world.demo.update(patient("d"))
    world.demo.delete("Patient", "a")
    generation = world.refresh(full=True)
    assert {name: view.build_kind for name, view in generation.views.items()} == {
        "patients": "incremental", "given_names": "full", "conditions": "full", "heights": "full",
    }  # fmt: skip
    world.poll()
    world.assert_exact()
    world.demo.update(patient("e"))
    world.refresh()
    world.poll()
    world.assert_exact()


def test_an_error_that_ends_the_transaction_fails_the_refresh(published_cohort: World) -> None:
    """A cancelled statement is no fault of the view that was being made."""
    world = published_cohort
    execute(
        world,
        "CREATE FUNCTION cancel() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'query_canceled'; END $$",
        "CREATE TRIGGER cancel BEFORE INSERT ON sqlonfhir.patients__1 FOR EACH ROW EXECUTE FUNCTION cancel()",
    )
    world.demo.update(patient("d"))
    with pytest.raises(RefreshError, match="the refresh failed"):
        world.refresh()
    assert served(world).number == 1


@pytest.mark.parametrize("seed", range(8))
def test_random_histories_with_bad_views_stay_exact(empty_world: World, seed: int) -> None:
    """Broken files, refused definitions, damaged tables and long values, between changes of all kinds."""
    history = History(empty_world, random.Random(seed))
    for _ in range(25):
        history.step()
    assert history.compared


class History:
    """A random history: after each poll or refresh every published view is compared with its recompute."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.definitions = {str(each["name"]): each for each in (indexed(PATIENTS, "family"), *DEFINITIONS[1:])}
        self.broken: set[str] = set()
        self.compared = 0
        self.refresh()

    def step(self) -> None:
        actions = [self.write, self.write, self.remove, self.break_file, self.change, self.damage, self.poll]
        self.chance.choice([*actions, self.refresh, self.refresh])()

    def write(self) -> None:
        name = f"p{self.chance.randrange(6)}"
        family = random_text(self.chance.choice([3, 9_000]))
        self.world.demo.update(patient(name, self.chance.choice(["male", "female"]), name=[{"family": family}]))
        self.world.demo.update(condition(f"c-{name}", name, code=str(self.chance.randrange(9))))

    def remove(self) -> None:
        kind, name = self.chance.choice([("Patient", "p0"), ("Patient", "p1"), ("Condition", "c-p2")])
        with self.world.demo.open_transaction() as transaction:
            if transaction.find_existing([(kind, name)]):
                transaction.delete(kind, name)
                if self.chance.random() < 0.5:
                    transaction.expunge(kind, name)

    def break_file(self) -> None:
        self.broken ^= {self.chance.choice(sorted(self.definitions))}

    def change(self) -> None:
        name = self.chance.choice(sorted(self.definitions))
        changed = copy.deepcopy(self.definitions[name])
        (changed["select"][0]["column"][0])["path"] = self.chance.choice(["getResourceKey()", "id"])
        self.definitions[name] = changed

    def damage(self) -> None:
        name, number = self.chance.choice(sorted(self.definitions)), served(self.world).number + 1
        execute(self.world, f"CREATE TABLE IF NOT EXISTS sqlonfhir.{name}__{number} ()")
        if name in served(self.world).views and self.chance.random() < 0.5:
            execute(self.world, f"DROP TABLE sqlonfhir.{served(self.world).views[name].table_name} CASCADE")
            self.refresh()

    def poll(self) -> None:
        self.world.poll()
        self.compare()

    def refresh(self) -> None:
        self.world.use([each for name, each in self.definitions.items() if name not in self.broken])
        files = [BrokenFile(f"{name}.json", name, True, (Problem(name, "$", "broken"),)) for name in self.broken]
        self.world.refresh(broken=files, full=self.chance.random() < 0.2)
        self.compare()
        self.world.poll()
        self.compare()

    def compare(self) -> None:
        self.compared += 1
        for name in served(self.world).views:
            assert self.world.rows(name) == self.world.rows(name, "source"), name


# --- the type of a view


def test_a_view_of_another_resource_type_is_built_again(empty_world: World) -> None:
    """The digest left the type out: a view over Person kept the rows of Patient."""
    world = empty_world
    people = {**PATIENTS, "select": [{"column": PATIENTS["select"][0]["column"][:2]}]}  # type: ignore[index]
    world.use([people])
    world.demo.update(patient("a"))
    world.refresh()
    world.poll()
    world.use([{**people, "resource": "Person"}])
    world.demo.update({"resourceType": "Person", "id": "p", "gender": "female"})
    world.refresh()
    world.poll()
    assert world.rows("patients") == world.rows("patients", "source")
    assert set(world.serving.query("patients").frame["id"]) == {"p"}


# --- what PostgreSQL can hold


def wide(column: dict[str, str], count: int) -> dict[str, Any]:
    """A view with so many columns of one kind."""
    columns = [{**column, "name": f"c{number}"} for number in range(count)]
    return {**PATIENTS, "name": "wide", "select": [{"column": columns}]}


@pytest.mark.parametrize(
    ("column", "length"),
    [
        *(({"path": "name.family.first()"}, length) for length in (22, 23, 24, 25, 127, 128, 3_000)),
        ({"path": "maritalStatus.coding", "collection": True}, 20),
        ({"path": "active"}, 20),
        ({"path": "multipleBirth.ofType(integer)"}, 20),
        ({"path": "meta.lastUpdated", "type": "instant"}, 20),
    ],
)
def test_the_widest_view_that_compiles_can_hold_every_row(
    empty_world: World, column: dict[str, Any], length: int
) -> None:
    """1,601 columns were accepted by lint and failed the refresh; so did rows wider than a page."""
    low, high = 1, 2_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if lint(json.dumps(wide(column, middle)), "wide.json") else (middle, high)
    world = empty_world
    world.use([wide(column, low)])
    coding = {"coding": [{"code": random_text(length)}]}
    full = {"name": [{"family": random_text(length)}], "active": True, "multipleBirthInteger": 3}
    world.demo.update(patient("full", **full, maritalStatus=coding))
    generation = world.refresh()
    assert (generation.failures, generation.views["wide"].row_count) == ({}, 1)
    world.demo.update(patient("later", **full, maritalStatus=coding))
    world.poll()
    assert world.rows("wide") == world.rows("wide", "source")
    assert low > 300

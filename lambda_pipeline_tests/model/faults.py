"""What goes wrong: one method for each step of a history, by its name.

A method returns False when there was nothing to do.
"""

import psycopg
import redis

from lambda_pipeline.errors import RefreshError, SourceBusyError
from lambda_pipeline_tests.model import bodies
from lambda_pipeline_tests.model.actor import Actor, step
from lambda_pipeline_tests.model.checks import Checks, require
from lambda_pipeline_tests.model.product import Product
from lambda_pipeline_tests.model.world import World


class Faults(Actor):
    """All of them.

    Args:
        world: the servers to hurt.
        checks: what must hold after each step.
        product: whose calls are hurt while they are held up.
    """

    def __init__(self, world: World, checks: Checks, product: Product) -> None:
        self.world = world
        self.checks = checks
        self.product = product

    @step
    def fail(self, which: int) -> bool | None:
        """The call to a server at which one of ours stands fails: the disk is full, or Redis goes away."""
        task = self.product.task(which)
        if task is None:
            return False
        failure = redis.ConnectionError("gone") if task.at_redis else psycopg.errors.DiskFull("no space left on device")
        task.resume(failure=failure)
        self.product.judge(task)
        return None

    @step
    def cut(self, which: int) -> bool | None:
        """PostgreSQL ends the connections of a call that is held up."""
        task = self.product.task(which)
        if task is None:
            return False
        self.world.cut(sorted(task.backends))
        return None

    @step
    def cut_all(self) -> None:
        self.world.cut()

    @step
    def kill(self, kind: str, at: int) -> None:
        """A process that makes a call is killed at one of its points."""
        self.product.suspect(kind)
        trouble = self.world.killed(kind, at)
        require(not trouble, f"a {kind} to be killed at point {at} {trouble}")

    @step
    def broken_refresh(self) -> bool | None:
        """The disk is full when a generation is written."""
        if self.checks.generation_number() == 0 or self.product.refreshing:
            return False
        self.world.admin.execute(_BREAK)
        try:
            self.world.refresh()
        except (RefreshError, SourceBusyError):
            pass
        else:
            require(False, "a refresh that could not write reported success")
        finally:
            self.world.admin.execute(_MEND)
        return None

    @step
    def flush(self) -> None:
        self.checks.whole = False
        self.world.redis.flushall()

    @step
    def drop_state(self) -> None:
        self.checks.whole = False
        self.world.redis.delete(self.world.overlay.prefix + "state")

    @step
    def drop_key(self, which: int) -> bool | None:
        """One key is lost."""
        keys = [key for key in self.world.stored_keys() if not key.startswith("fhir:")]
        if not keys:
            return False
        self.checks.whole = self.checks.listed = False
        self.world.redis.delete(keys[which % len(keys)])
        return None

    @step
    def drop_type(self, kind: str) -> None:
        """All keys of one type are lost, as by their expiry."""
        prefix = self.world.overlay.prefix
        names = {view.name for view in self.world.views if view.resource == kind}
        lost = [f"{prefix}order:{kind}", f"{prefix}seen:{kind}"]
        lost += [
            key for key in self.world.stored_keys() if key.startswith(tuple(f"{prefix}rows:{name}:" for name in names))
        ]
        self.checks.whole = self.checks.listed = False
        self.world.redis.delete(*lost)

    @step
    def drop_entry(self, which: int, entry: int) -> bool | None:
        """One entry of one hash is lost."""
        hashes = [key for key in self.world.stored_keys() if key.startswith(self.world.overlay.prefix + "rows:")]
        if not hashes:
            return False
        name = hashes[which % len(hashes)]
        members = sorted(self.world.redis.hkeys(name))
        self.checks.whole = False
        self.world.redis.hdel(name, members[entry % len(members)])
        return None

    @step
    def evict(self, on: int) -> None:
        """Redis makes room by eviction, against what it should be configured to, until it is told otherwise."""
        self.checks.whole = self.checks.listed = False
        self.world.evict(on=bool(on))

    @step
    def restart(self, persist: int) -> None:
        self.checks.whole = False
        self.world.restart_redis(persist=bool(persist))

    @step
    def full(self, on: int) -> None:
        """Redis refuses whatever needs memory, until it is told otherwise."""
        self.world.fill(on=bool(on))

    @step
    def slow(self, which: int) -> None:
        """Redis answers too late: to a call that is held up, or to a poll."""
        with self.world.slowed():
            task = self.product.task(which)
            if task is None:
                self.product.poll()
            else:
                task.resume()
                self.product.judge(task)
            # A refresh that was held up may have published the first generation by now: look at that too.
            self.checks.answers(0, batch=True)

    @step
    def swap(self, kind: str, number: int, shape: int, seen_by: str) -> bool | None:
        """A restored copy, in which a resource has another body, takes the name of HAPI's table.

        The mark of a poll or of a refresh has seen the transaction that wrote the rows of the copy.
        """
        hapi, logical_id, body = self.world.hapi, bodies.logical_id(kind, number), bodies.body(kind, shape)
        if hapi.open or self.product.tasks or self.world.down or not hapi.copy_versions(kind, logical_id, body):
            return False
        if seen_by == "refresh":
            self.product.refresh()
        else:
            self.product.poll()
        hapi.swap_versions(kind, logical_id, body)
        self.checks.swapped, self.checks.whole = True, False
        return None

    @step
    def down(self, on: int) -> None:
        """Redis cannot be reached, until it is told otherwise."""
        self.world.reach(down=bool(on))


_BREAK = """
CREATE FUNCTION sqlonfhir.no_space() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'no space left on device'; END $$;
CREATE TRIGGER no_space BEFORE INSERT ON sqlonfhir.generation_view FOR EACH ROW EXECUTE FUNCTION sqlonfhir.no_space()"""

_MEND = "DROP FUNCTION sqlonfhir.no_space() CASCADE"

"""A Ray cluster of several nodes on this machine, for tests: started and stopped by its own ids."""

import contextlib
import os
import signal
import sys
import threading
import time

import pytest

QUICK = {  # a node counts as lost after a second or so, not after a quarter of a minute
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 400,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


class Nodes:
    """The cluster: its address, and nodes that may be killed."""

    def __init__(self):
        cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            self.cluster = cluster_utils.Cluster(
                initialize_head=True, head_node_args={**SMALL, "_system_config": QUICK}
            )
            self.cluster.add_node(**SMALL)
        self.address = self.cluster.address

    @contextlib.contextmanager
    def doomed(self, folder):
        """One more node, killed as soon as a file in `folder` is named after its raylet.

        When it is dead, a file ``go`` is written, for which tasks may wait.
        """
        node = self.cluster.add_node(**SMALL)
        process = node.all_processes["raylet"][0].process
        watch = threading.Thread(target=_kill, args=(process, folder))
        watch.start()
        try:
            yield process
        finally:
            (folder / "go").touch()
            watch.join()
            self.cluster.remove_node(node, allow_graceful=False)

    def stop(self):
        """End all processes that were started here."""
        self.cluster.shutdown()


def _kill(process, folder):
    while not (folder / "go").exists():
        if any(folder.glob(f"{process.pid}-*")):
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            (folder / "go").touch()
        time.sleep(0.05)


def say_and_wait(folder, what):
    """In a task: leave a file that says where it runs, and go on when told to.

    The parent of a Ray worker is its raylet; a worker that survives it never ends its task.
    """
    raylet = os.getppid()
    (folder / f"{raylet}-{what}").touch()
    for _ in range(1200):
        if (folder / "go").exists() and os.getppid() == raylet:
            return
        time.sleep(0.05)
    raise TimeoutError


def travel(name):
    """Let what the test module `name` defines be used on nodes that cannot import it."""
    cloudpickle = pytest.importorskip("ray.cloudpickle", reason="Ray is not installed")
    for module in (name, __name__):
        cloudpickle.register_pickle_by_value(sys.modules[module])

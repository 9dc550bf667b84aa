"""Shared fixtures: start the real programs on free ports, stop them, and fail a test whose program leaked or crashed.

Environment: LUNETTE_BIN (folder of the programs, default build/bin), LUNETTE_IO and LUNETTE_REACTORS (given to every
target that a test starts), LUNETTE_PROOFS (file that @pytest.mark.proves adds lines to when its test passes).
"""

import os
import shutil

import pytest

import lunette

def pytest_configure(config):
    config.addinivalue_line("markers", "proves(id, role): the requirement that the test shows when it passes")
    for variant in ("release", "asan", "tsan"):
        config.addinivalue_line("markers", f"no_{variant}: not run with the {variant} build; say why beside it")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Proofs count when the teardown has passed too: it is there that a leak or a crash of a program shows."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.lunette_call_passed = report.passed
    path = os.environ.get("LUNETTE_PROOFS")
    if report.when != "teardown" or not report.passed or not getattr(item, "lunette_call_passed", False) or not path:
        return
    lines = [f"{mark.args[0]}\t{mark.args[1]}\t{item.nodeid}\n" for mark in item.iter_markers("proves")]
    if lines:
        with open(path, "a", encoding="ascii") as out:
            out.write("".join(lines))


@pytest.fixture
def programs():
    """All programs that a test starts; stopped and judged at its end."""
    started = []
    yield started
    problems = []
    for program in reversed(started):
        problems += program.finish()
    assert not problems, "\n".join(problems)


@pytest.fixture
def serve(programs, tmp_path):
    """serve(*luns, iqn=..., options=[...]) -> a running stateless lunette-target."""

    def start(*luns, iqn=lunette.IQN, options=(), portals=("127.0.0.1:0",), **kw):
        target = lunette.Target(tmp_path, luns or ("memory:size=64M",), iqn, options, portals, **kw)
        programs.append(target)
        target.wait_listening()
        return target

    return start


@pytest.fixture
def service(programs, tmp_path):
    """service(state, *options) -> a running lunette-target with a state directory."""

    def start(state, *options, **kw):
        target = lunette.Service(tmp_path, state, options, **kw)
        programs.append(target)
        target.wait_listening()
        return target

    return start


@pytest.fixture
def need():
    """need("qemu-img") skips with the reason when a peer is not installed, unless CI says that it must be."""

    def check(name):
        if shutil.which(name) is None:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{name} is not installed; scripts/setup check should have installed it")
            pytest.skip(f"{name} is not installed")
        return name

    return check


@pytest.fixture(scope="session")
def big_image(tmp_path_factory):
    """A 1 GiB ext4 image filled with files of this machine's /usr; made once for all workers."""
    base = tmp_path_factory.getbasetemp().parent
    image = base / "usr.ext4"
    lock = base / "usr.lock"
    with open(lock, "w", encoding="ascii") as handle:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
        if not image.exists():
            lunette.make_usr_image(image, base / "usr-tree")
    return image

"""`make run` does what README says: serves, proves, and prints how to connect with the usual initiators."""

import subprocess

import pytest

import lunette


@pytest.mark.no_asan  # scripts/run is about the release build
@pytest.mark.no_tsan
def test_make_run_once_proves_the_disk_and_prints_the_commands():
    done = subprocess.run(["bash", "scripts/run"], cwd=lunette.ROOT, capture_output=True, text=True, timeout=120,
                          env=dict(lunette.environment(), ONCE="1", PORTAL="127.0.0.1:0"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "came back the same" in done.stdout
    for tool in ("lunette-initiator", "iscsiadm -m discovery", "qemu-img", "iscsicli QLoginTarget"):
        assert tool in done.stdout, done.stdout

"""Steady state (what must be seen 7): no allocation per command, few receives and sends.

Goal: 10^6 commands of 4 KiB at depth 32 allocate nothing per command in the target, and receives plus sends together
are at most 0.25 per command. Method: the target's own counters (status --json), read before and after.
"""

import json

import pytest

import lunette

COMMANDS = 1_000_000


def status(control):
    return json.loads(lunette.target("status", "--json", "--control", control).stdout)


@pytest.mark.no_asan  # sanitizers allocate and batch as they like
@pytest.mark.no_tsan
@pytest.mark.parametrize("backend", ["uring", "epoll"])
@pytest.mark.parametrize("store", ["memory:size=256M", "file:{tmp}/steady.img,size=256M"])
def test_steady_state_allocates_nothing_and_batches(serve, tmp_path, backend, store):
    control = tmp_path / "control.sock"
    target = serve(store.format(tmp=tmp_path), options=["--control", control, "--io", backend, "--reactors", "1"])
    warm = ["--recover", "--depth", 32, "--size", "4K", "--read", 50, "--no-verify", target.url()]
    lunette.run(lunette.BIN / "lunette-bench", "--commands", 200_000, *warm)
    before = status(control)
    done = lunette.run(lunette.BIN / "lunette-bench", "--commands", COMMANDS, *warm, timeout=300)
    after = status(control)
    commands = after["commands"] - before["commands"]
    assert commands >= COMMANDS
    # The new session itself allocates a bounded amount; nothing may grow with the number of commands.
    allocations = after["heap_allocations"] - before["heap_allocations"]
    assert allocations < 500, (allocations, done.stdout)
    calls = (after["recv_ops"] + after["send_ops"]) - (before["recv_ops"] + before["send_ops"])
    assert calls / commands <= 0.25, f"{calls / commands:.3f} receives and sends per command"

"""How a reactor waits: serve --poll.

Goal: at each setting the target serves verified traffic, an idle one sleeps (unless it may not), it stops when asked,
and other words are refused. Method: lunette-bench against both backends; the `sleeps` of status and the processor time
of the process tell whether it slept, not the clock.
"""

import json
import os
import time

import pytest

import lunette

TICK = os.sysconf("SC_CLK_TCK")


def status(control):
    return json.loads(lunette.target("status", "--json", "--control", control).stdout)


def processor_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@pytest.mark.parametrize("backend", ["uring", "epoll"])
@pytest.mark.parametrize("poll", ["never", "adaptive", "always"])
@pytest.mark.parametrize("store", ["memory:size=64M", "file:{tmp}/poll.img,size=64M"])
def test_traffic_is_right_at_each_setting(serve, tmp_path, backend, poll, store):
    control = tmp_path / "control.sock"
    target = serve(store.format(tmp=tmp_path), options=["--control", control, "--io", backend, "--reactors", "1", "--poll", poll])
    for depth, commands in ((1, 300), (16, 3000)):
        lunette.run(lunette.BIN / "lunette-bench", "--recover", "--depth", depth, "--size", "8K", "--read", 50, "--commands", commands,
                    target.url())
    sleeps = status(control)["sleeps"]
    assert (sleeps == 0) == (poll == "always"), sleeps
    # stopping, with a session that is there or has just gone, is checked by the fixture


@pytest.mark.parametrize("backend", ["uring", "epoll"])
def test_an_idle_target_sleeps_although_it_polls_adaptively(serve, tmp_path, backend):
    target = serve("memory:size=64M", options=["--io", backend, "--reactors", "2", "--poll", "adaptive"])
    lunette.run(lunette.BIN / "lunette-bench", "--depth", 4, "--commands", 2000, target.url())
    before = processor_seconds(target.process.pid)
    time.sleep(1)
    assert processor_seconds(target.process.pid) - before <= 0.2


def test_other_words_are_refused(tmp_path):
    for word in ("sometimes", "", "ALWAYS"):
        done = lunette.target("serve", "--target", lunette.IQN, "--lun", "memory:size=1M", "--portal", "127.0.0.1:0", "--poll", word,
                              check=False)
        assert done.returncode == 2
        assert f'--poll is never, adaptive or always, not "{word}"' in done.stderr
    assert "--poll never|adaptive|always" in lunette.target("serve", "--help").stdout

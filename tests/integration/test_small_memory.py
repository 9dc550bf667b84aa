"""A target whose memory is far smaller than what its initiators have in flight.

Goal: 16 sessions with 32 commands of 256 KiB each (128 MiB) against 32 MiB (16 MiB with digests) of buffers make
progress, with right data, no error and no reconnect: what waits for data must never hold the memory that the data
needs to arrive. Method: lunette-bench stamps and verifies; a target that hangs loses its sessions by unanswered pings.
"""

import json

import pytest

import lunette


@pytest.mark.parametrize(
    "lun, memory, options",
    [
        ("memory:size=512M", "32M", []),
        ("file:{tmp}/small.img,size=512M", "32M", []),
        ("memory:size=512M", "16M", ["--data-digest", "--header-digest"]),
    ],
)
def test_many_large_commands_share_little_memory(serve, tmp_path, lun, memory, options):
    target = serve(lun.format(tmp=tmp_path), options=["--memory", memory, "--reactors", "1"])
    done = lunette.run(lunette.BIN / "lunette-bench", "--recover", "--sessions", 16, "--depth", 32, "--size", "256K", "--read", 50,
                       "--duration", "4s", *options, target.url(), timeout=120)
    result = json.loads(done.stdout)
    assert result["errors"] == 0 and result["mismatches"] == 0 and result["reconnects"] == 0, result
    assert result["reads"] > 100 and result["writes"] > 100, result

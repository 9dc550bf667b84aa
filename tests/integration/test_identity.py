"""Names and secrets of targets and initiators (RFC 7143 4.2.7, 9.2.1).

Goal: every node has one name, secrets are made by chance or taken as they are, users are bound to initiators. Method: the
real programs on state directories of the test's own.
"""

import json
import re

import pytest

import lunette

IQN = lunette.IQN


@pytest.fixture
def state(tmp_path):
    state = tmp_path / "state"
    lunette.target("create", IQN, "--lun", "0=memory:size=8M", "--state", state)
    lunette.target("portal", "add", "127.0.0.1:0", "--state", state)
    return state


def verb(state, *args, **kw):
    return lunette.target(*args, "--state", state, **kw)


def capacity(target, *args):
    return lunette.initiator("capacity", target.url(), *args, check=False).returncode


@pytest.mark.proves("R7143-9.2.1-03", "both")
@pytest.mark.proves("R7143-9.2.1-04", "both")
def test_secrets_are_made_of_random_bits(service, state):
    made = set()
    for _ in range(5):
        out = verb(state, "user", "set", IQN, "alice", "--generate", "--mutual", "disk").stdout
        secret, mutual = re.fullmatch(r"secret ([0-9a-f]{32})\nmutual secret ([0-9a-f]{32})\n", out).groups()
        made |= {secret, mutual}
    assert len(made) == 10, made
    assert secret not in verb(state, "show", IQN, "--json").stdout
    target = service(state)
    mine = ["--user", "alice", "--secret", secret]
    assert capacity(target, *mine, "--mutual-user", "disk", "--mutual-secret", mutual) == 0
    assert capacity(target, "--user", "alice", "--secret", mutual) == 1
    assert capacity(target, *mine, "--mutual-user", "disk", "--mutual-secret", "f" * 32) != 0
    # those of others are taken as well
    verb(state, "user", "set", IQN, "alice", "--secret", "chosen by somebody else")
    assert capacity(target, "--user", "alice", "--secret", "chosen by somebody else") == 0
    refused = verb(state, "user", "set", IQN, "alice", "--generate", "--secret", "chosen by somebody else", check=False)
    assert refused.returncode == 2 and "--generate" in refused.stderr


@pytest.mark.proves("R7143-9.2.1-06", "both")
def test_secrets_are_bytes_and_never_half_ones(service, state):
    # What looks like a number with half a byte is a text of fifteen bytes, to both sides.
    verb(state, "user", "set", IQN, "alice", "--secret", "0x123456789abcd")
    target = service(state)
    assert capacity(target, "--user", "alice", "--secret", "0x123456789abcd") == 0
    assert capacity(target, "--user", "alice", "--secret", "0x0123456789abcd") == 1


@pytest.mark.proves("R7143-4.2.7.1-01", "both")
@pytest.mark.proves("R7143-4.5-01", "both")
def test_every_node_has_one_name(service, state):
    for wrong in ([], [""], ["disk1"], [IQN], [IQN + "a", IQN + "b"]):
        assert verb(state, "create", *wrong, "--lun", "0=memory:size=1M", check=False).returncode == 2, wrong
    config = json.loads((state / "config.json").read_text())
    assert [t["name"] for t in config["targets"]] == [IQN]
    target = service(state)

    def seen(*args, **kw):
        """The name with which an initiator that keeps a session for a while is seen."""
        done = lunette.initiator("capacity", target.url(), *args, check=False, **kw)
        names = re.findall(r"(\S+): login\.ok", target.stderr())
        return done.returncode, names[-1] if names else None

    code, name = seen(env={"LUNETTE_INITIATOR_NAME": ""})
    assert code == 0 and re.match(r"iqn\.\d{4}-\d\d\.", name), name
    code, name = seen("--initiator-name", "iqn.2026-01.com.example:one")
    assert code == 0 and name == "iqn.2026-01.com.example:one"
    assert seen("--initiator-name", "nonsense")[0] == 2


@pytest.mark.proves("R7143-9.2-09", "both")
@pytest.mark.proves("R7143-9.2-10", "both")
@pytest.mark.proves("R7143-9.2-11", "both")
@pytest.mark.proves("R7143-9.2-12", "both")
def test_a_user_may_be_one_initiators_own(service, state):
    verb(state, "user", "set", IQN, "alice", "--secret", "the secret of alice", "--initiator",
         "iqn.2026-01.com.example:alice*")
    assert "only for iqn.2026-01.com.example:alice*" in verb(state, "show", IQN).stdout
    assert json.loads(verb(state, "show", IQN, "--json").stdout)["users"][0]["initiator"].endswith("alice*")
    target = service(state)
    login = ["--user", "alice", "--secret", "the secret of alice", "--initiator-name"]
    assert capacity(target, *login, "iqn.2026-01.com.example:alice.one") == 0
    assert capacity(target, *login, "iqn.2026-01.com.example:bob") == 1
    # two initiators, each with its own user
    verb(state, "user", "set", IQN, "bob", "--secret", "a secret of bob's", "--initiator", "iqn.2026-01.com.example:bob",
         "--mutual", "disk", "--mutual-secret", "the disk's secret")
    bob = ["--initiator-name", "iqn.2026-01.com.example:bob", "--user", "bob", "--secret", "a secret of bob's"]
    assert capacity(target, *bob) == 0
    assert capacity(target, *login, "iqn.2026-01.com.example:bob") == 1
    assert capacity(target, *login, "iqn.2026-01.com.example:alice") == 0
    # the initiator binds the target's user to the target as well
    assert capacity(target, *bob, "--mutual-user", "disk", "--mutual-secret", "the disk's secret") == 0
    assert capacity(target, *bob, "--mutual-user", "other", "--mutual-secret", "the disk's secret") != 0
    verb(state, "user", "set", IQN, "alice", "--secret", "the secret of alice")  # setting says all of it
    assert capacity(target, *login, "iqn.2026-01.com.example:bob") == 0
    refused = verb(state, "user", "set", IQN, "alice", "--secret", "the secret of alice", "--initiator", "a b", check=False)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1


@pytest.mark.proves("R7143-9.2-02", "both")
@pytest.mark.proves("R7143-9.2-13", "both")
@pytest.mark.proves("R7143-9.2-14", "both")
@pytest.mark.proves("R7143-9.2-15", "both")
@pytest.mark.proves("R7143-12-02", "both")
def test_all_connections_of_a_session_are_of_one_user(service, state):
    verb(state, "user", "set", IQN, "alice", "--secret", "the secret of alice")
    target = service(state)
    many = ["--connections", "4"]
    # Long enough for all connections to come up, on any machine.
    lunette.run(lunette.BIN / "lunette-bench", "--recover", "--duration", "3s", *many, "--user", "alice", "--secret",
                "the secret of alice", target.url(), timeout=60)
    # Each connection went through the exchange, and as the same user: anything else is refused by the target. The first session
    # only asks for the capacity, and may have left before its other connections came.
    said = target.stderr()
    assert len(re.findall(r"login\.ok .*TSIH 2$", said, re.M)) == 4, said
    assert all("no such session" in line for line in said.splitlines() if "login.failed" in line), said
    assert capacity(target, *many) == 1
    assert target.stderr().count("login.ok") == said.count("login.ok")

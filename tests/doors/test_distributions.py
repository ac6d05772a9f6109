"""The plugin door, with real distributions in processes of their own."""

import json

import numpy as np
import pytest

BROKEN = {
    "missing_import": "ModuleNotFoundError: No module named 'no_such_package_for_pixkit'",
    "system_exit": "SystemExit: a GPU is needed",
    "wrong_signature": "Argument(s) {'device'} are declared in the hookimpl but can not be found in the hookspec",
    "misspelt_hook": "unknown hook 'pixkit_regster'",
    "other_api": "PluginError: states pixkit_api_version = 99; this pixkit has 1",
    "half_way": "RuntimeError: the other half is on a second line",
}
"""The folders of broken plugins, and what is said of each."""

STATE = """
import json
from pixkit.components.plugins import plugins
loaded = plugins()
manager = loaded.manager
impls = {
    name: sorted(impl.plugin_name for impl in caller.get_hookimpls())
    for name, caller in vars(manager.hook).items() if not name.startswith("_")
}
print(json.dumps({
    "plugins": sorted(name for name, _ in manager.list_name_plugin()),
    "impls": impls,
    "entries": [[entry.kind, entry.name, entry.distribution] for entry in loaded.registry],
}))
"""


def state(door):
    result = door.python(STATE)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_nothing_of_a_broken_plugin_stays(door):
    """Registry, registration and hooks are those of a process without the broken ones; sound ones are whole."""
    clean, full = state(door("good")), state(door("good", *BROKEN))
    assert full == clean
    assert "pixkit-door-good:good" in full["plugins"]
    assert ["head", "scaled", "pixkit-door-good"] in full["entries"]
    assert "pixkit-door-good:good" in full["impls"]["pixkit_train_end"]
    assert "pixkit_regster" not in full["impls"]


@pytest.fixture(scope="module")
def among_broken(open_door, tmp_path_factory):
    """Commands among broken plugins and a sound one, by name."""
    calls = {
        "plugins": ["plugins", "--json"],
        "validate": ["validate", "door.yaml"],
        "strict": ["--strict-plugins", "validate", "door.yaml"],
        "known": ["show", "mask", "half"],
        "qualified": ["validate", "qualified.yaml"],
        "absent": ["validate", "absent.yaml"],
    }
    opened = open_door(tmp_path_factory.mktemp("broken"), "good", *BROKEN)
    opened.write("qualified.yaml", "type: neighbours", "type: pixkit-door-missing-import:neighbours")
    opened.write("absent.yaml", "type: neighbours", "type: elsewhere:neighbours")
    return dict(zip(calls, opened.pixkit(*calls.values()), strict=True))


def test_each_broken_plugin_is_reported_in_one_line(among_broken):
    result = among_broken["plugins"]
    assert result.code == 0
    rows = {row["name"]: row for row in json.loads(result.out)}
    for name, text in BROKEN.items():
        assert rows[name]["health"] == "broken"
        assert rows[name]["distribution"] == f"pixkit-door-{name.replace('_', '-')}"
        assert text in rows[name]["detail"] and "\n" not in rows[name]["detail"]
        assert rows[name]["components"] == []
    good = rows["good"]
    assert (good["health"], good["version"], good["commands"]) == ("ok", "1.2.0", ["door-greet"])
    assert {"kind": "backbone", "name": "neighbours"} in good["components"]
    assert {rows["core"]["health"], rows["pixelcnn"]["health"]} == {"ok"}
    assert "this must not reach stdout" in result.err


def test_a_command_that_needs_none_of_them_works_and_says_so(among_broken):
    code, out, err = among_broken["validate"]
    assert (code, out) == (0, "door.yaml: ok\n")
    for name, text in BROKEN.items():
        (line,) = [line for line in err.splitlines() if f"'{name}'" in line]
        assert text in line


def test_the_strict_option_stops_at_broken_plugins(among_broken):
    assert among_broken["strict"].code == 4
    assert all(name in among_broken["strict"].err for name in BROKEN)


def test_what_needs_a_broken_plugin_fails_naming_it(among_broken):
    """By the name that it registered before it failed, and by its distribution."""
    code, _, err = among_broken["known"]
    assert code == 4
    told = err.split("it belongs to ")[1]
    assert told.startswith("the plugin 'half_way' of pixkit-door-half-way 0.6 (broken: RuntimeError")
    assert not [name for name in BROKEN if name != "half_way" and name in told]
    code, _, err = among_broken["qualified"]
    assert code == 4
    assert "it belongs to the plugin 'missing_import' of pixkit-door-missing-import 0.1 (broken: Mod" in err


def test_what_needs_a_plugin_that_is_not_installed_says_so(among_broken):
    code, _, err = among_broken["absent"]
    assert code == 4
    assert "no plugin of elsewhere that is loaded here provides it: install elsewhere" in err


def test_two_that_collide_are_both_named_and_both_usable(door):
    opened = door("first_of_two", "second_of_two")
    sentence = "the ordering 'zigzag' is provided by pixkit-door-first 2.0 and pixkit-door-second 3.0"
    listing, bare, strict, *qualified = opened.pixkit(
        ["plugins", "--json"],
        ["show", "ordering", "zigzag"],
        ["--strict-plugins", "plugins"],
        ["show", "ordering", "pixkit-door-first:zigzag"],
        ["show", "ordering", "pixkit-door-second:zigzag"],
    )
    rows = {row["name"]: row for row in json.loads(listing.out)}
    for name in ("first", "second"):
        assert (rows[name]["health"], rows[name]["detail"]) == ("conflict", sentence)
    assert rows["core"]["health"] == "ok"
    assert (bare.code, strict.code) == (4, 4)
    assert sentence in bare.err and sentence in strict.err
    assert "write one of pixkit-door-first:zigzag, pixkit-door-second:zigzag" in bare.err
    for name, shown in zip(("first", "second"), qualified, strict=True):
        assert shown.code == 0, shown.err
        assert f"The {name} plugin's." in shown.out
    (left,) = opened.pixkit(["show", "ordering", "zigzag"], PIXKIT_DISABLE_PLUGINS="first")
    assert left.code == 0
    assert "The second plugin's." in left.out


def test_plugins_can_be_left_out_by_their_name_or_their_distributions(door):
    opened = door("good", "missing_import")
    listing, needs = opened.pixkit(
        ["plugins", "--json"], ["validate", "door.yaml"], PIXKIT_DISABLE_PLUGINS="pixkit_door.GOOD, missing_import,x"
    )
    health = {row["name"]: row["health"] for row in json.loads(listing.out)}
    assert (health["good"], health["missing_import"], health["core"]) == ("disabled", "disabled", "ok")
    assert needs.code == 4
    assert "'good' of pixkit-door-good 1.2.0 (disabled: left out by PIXKIT_DISABLE_PLUGINS)" in needs.err
    assert "broken" not in needs.err, "what is left out is not even imported"


def test_a_plugin_from_recipe_to_samples(door):
    """Named in a recipe, trained and sampled by the command line, recorded in the run, asked for when it is gone."""
    opened = door("good")
    strict, built, drawn, greeted = opened.pixkit(
        ["--strict-plugins", "validate", "door.yaml"],
        ["build", "door.yaml", "-o", "run", "--device", "cpu", "-q"],
        ["sample", "run", "-n", "3", "-o", "out.npz", "--device", "cpu", "-q"],
        ["door-greet"],
    )
    assert strict == (0, "door.yaml: ok\n", "")
    assert built.code == 0, built.err
    run = opened.cwd / "run"
    assert (run / "door.txt").read_text() == "ended at step 4\n"
    assert json.loads((run / "env.json").read_text())["plugins"]["pixkit-door-good:good"] == "1.2.0"
    lock = (run / "recipe.lock.yaml").read_text()
    for name in ("column_at_once", "neighbours", "scaled"):
        assert f"pixkit-door-good:{name}" in lock
    assert drawn.code == 0, drawn.err
    assert np.load(opened.cwd / "out.npz")["samples"].shape == (3, 1, 8, 8)
    assert greeted == (0, "good day\n", "")

    (gone,) = door().pixkit(["sample", "run", "-n", "3", "-o", "again.npz", "--device", "cpu", "-q"])
    assert gone.code == 4
    assert "install pixkit-door-good >= 1.2.0" in gone.err
    assert not (opened.cwd / "again.npz").exists()


def test_the_good_plugin_keeps_its_contract(door):
    code = (
        "from pixkit.testing import check_backbone, named\n"
        "check_backbone(named('backbone', 'neighbours', width=6), [named('ordering', 'column_at_once')])\n"
    )
    result = door("good").python(code)
    assert result.returncode == 0, result.stderr

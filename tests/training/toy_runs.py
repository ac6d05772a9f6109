"""Runs of small models, and what they are compared by."""

import os

import pluggy
import torch
from toys import StopAt, begin, contents, toy_trainer
from untimed import untimed

from pixkit.components import hookspecs
from pixkit.runs import checkpoint
from pixkit.training.watch import Interrupt


def trained(folder, recipe, **options):
    trainer = toy_trainer(folder, recipe, **options)
    begin(trainer)
    trainer.train()
    return trainer


def interrupted(folder, recipe, step, **options):
    interrupt = Interrupt()
    trainer = trained(folder, recipe, interrupt=interrupt, reporter=StopAt(interrupt, step), **options)
    assert trainer.state.step == step
    return trainer


def resumed(folder, recipe, **options):
    trainer = toy_trainer(folder, recipe, **options)
    torch.manual_seed(999)
    trainer.restore()
    trainer.train()
    return trainer


def same(left, right):
    """Whether two runs came to the same bytes, rows and samples."""
    assert contents(left.run) == contents(right.run)
    assert untimed(left.run.rows()) == untimed(right.run.rows())
    pictures = {name: (left.run.samples / name).read_bytes() for name in os.listdir(left.run.samples)}
    assert pictures == {name: (right.run.samples / name).read_bytes() for name in os.listdir(right.run.samples)}
    assert left.state == right.state
    for which in ("best", "last"):
        folders = [trainer.run.checkpoint(which) for trainer in (left, right)]
        assert folders[0].name == folders[1].name
        assert checkpoint.verify(folders[0]) == checkpoint.verify(folders[1])


def manager_with(*plugins):
    manager = pluggy.PluginManager("pixkit")
    manager.add_hookspecs(hookspecs)
    for number, plugin in enumerate(plugins):
        manager.register(plugin, f"plugin{number}")
    return manager

"""``medai models``: list, info, verify, import."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from ..errors import ModelError
from ..models import ModelStore, verify
from . import importing


def add(commands: Any) -> None:
    """Add the subcommand."""
    group = commands.add_parser("models", help="list, show, check and import models")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    _action(actions, "list", _list, "all models, and why a broken one cannot be used")
    _action(actions, "info", _info, "a model's card").add_argument("name", metavar="NAME")
    check = _action(actions, "verify", _verify, "check checksums, and that the weights fit the network")
    check.add_argument("name", metavar="NAME", nargs="?", help="one model; without it all")
    importing.add_arguments(actions.add_parser("import", help="as 'medai import'", description=importing.DESCRIPTION))


def _action(actions: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=text, description=text)
    action.add_argument("--json", action="store_true", help="print JSON")
    action.set_defaults(run=run)
    return action


def _list(options: argparse.Namespace) -> int:
    store = ModelStore()
    cards, broken = store.scan()
    if options.json:
        listed = [{**importing.short(card), "bundled": store.is_bundled(card)} for card in cards]
        print(json.dumps({"models": listed, "broken": [str(error) for error in broken]}))
        return 0
    for card in cards:
        place = "bundled" if store.is_bundled(card) else "yours"
        print(f"{card.name:20} {card.version:8} {'/'.join(card.modality):6} {place:8} {card.title}")
    if not cards:
        print(f"There are no models. 'medai import FOLDER' brings one into {store.user}.")
    for error in broken:
        print(f"medai: {error}", file=sys.stderr)
    return 0


def _info(options: argparse.Namespace) -> int:
    card = ModelStore().find(options.name)
    print(json.dumps(card.raw) if options.json else card.text())
    return 0


def _verify(options: argparse.Namespace) -> int:
    store = ModelStore()
    cards, broken = ([store.find(options.name)], []) if options.name else store.scan()
    good = []
    for card in cards:
        try:
            verify(card, full=True)
            good.append(card)
        except ModelError as error:
            broken.append(error)
    if options.json:
        print(
            json.dumps({"good": [importing.short(card) for card in good], "broken": [str(error) for error in broken]})
        )
    else:
        for card in good:
            print(f"{card.name} {card.version}: good (SHA-256 {card.sha256})")
        for reason in broken:
            print(f"medai: {reason}", file=sys.stderr)
    return ModelError.exit_status if broken else 0

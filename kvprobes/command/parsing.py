"""Commands that name what there is when they are asked for something that there is not."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from kvprobes.command.errors import explaining_errors
from probes.naming import require_known


class ExplainingGroup(TyperGroup):
    """The questions. An unknown one is refused, with the nearest name and a list of all."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command of a question, or say which questions there are."""
        with explaining_errors():
            if not args[0].startswith("-"):
                require_known("question", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


class ExplainingCommand(TyperCommand):
    """A question. An unknown option is refused, with the nearest name and a list of all."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options, or say which there are."""
        known = [name for own in self.get_params(ctx) for name in own.opts if name[:2] == "--"]
        with explaining_errors():
            for word in args:
                if word.startswith("--") and word != "--":
                    require_known(f"option of {ctx.info_name}", word.partition("=")[0], known)
        return super().parse_args(ctx, args)

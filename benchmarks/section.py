"""One section of docs/benchmarks.md: figures beside what was asked of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; `asked` is the bound in the same unit, `met` whether it holds (None: nothing asked)."""

    name: str
    measured: str
    asked: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A table with a title, and how it was measured."""

    title: str
    figures: tuple[Figure, ...]
    note: str

    def markdown(self) -> str:
        """The section as Markdown."""
        lines = [f"## {self.title}", "", "| figure | measured | asked | met |", "| --- | --- | --- | --- |"]
        for figure in self.figures:
            met = {None: "", True: "yes", False: "**no**"}[figure.met]
            lines.append(f"| {figure.name} | {figure.measured} | {figure.asked} | {met} |")
        return "\n".join([*lines, "", self.note, ""])

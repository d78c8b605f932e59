"""The knapsack posed in words, and read back from them.

A template is a pure function from an instance to text. Its patterns are written apart from its
words, so that a template that exchanges two numbers is not read back as if it had not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.tasks.knapsack.instances import Instances

PLACES = (
    *("carousel", "swing boat", "ghost train", "big wheel", "helter-skelter", "dodgems"),
    *("mirror maze", "log flume", "shooting range", "puppet show", "pony ride", "coconut shy"),
)
LETTERS = "ABCDEFGHIJKL"
END = "\n"  # ends an answer where nothing else does
NUMBER = re.compile(r"(?<![\d.])-?\d+(?![\d]|\.\d)")


class PromptError(ValueError):
    """A text that poses no knapsack, or one that a template cannot pose."""


@dataclass(frozen=True, slots=True)
class Template:
    """One way to put a knapsack into words.

    ``item`` is formatted with ``weight``, ``value``, ``letter`` and ``place``; ``question`` with
    ``capacity`` and ``items``. ``lead`` comes right before the answer. ``reads`` finds a whole
    question (groups ``capacity`` and ``items``), ``reads_item`` one item in it.
    """

    name: str
    opening: str
    question: str
    item: str
    between: str
    lead: str
    reads: re.Pattern[str]
    reads_item: re.Pattern[str]

    def ask(self, instances: Instances) -> list[str]:
        """The question of each instance, without the opening and the lead.

        Raises:
            PromptError: more items than there are names for.
        """
        if instances.items > len(PLACES):
            raise PromptError(f"there are names for {len(PLACES)} items, not {instances.items}")
        return [
            self.question.format(
                capacity=int(capacity),
                items=self.between.join(
                    self.item.format(
                        weight=int(weight), value=int(value), letter=letter, place=place
                    )
                    for weight, value, letter, place in zip(
                        weights, values, LETTERS, PLACES, strict=False
                    )
                ),
            )
            for weights, values, capacity in zip(
                instances.weights, instances.values, instances.capacity, strict=True
            )
        ]

    def questions(self, text: str) -> Iterator[Instances]:
        """The instances posed in a text, in order, one each.

        Raises:
            PromptError: a question whose items do not read.
        """
        for found in self.reads.finditer(text):
            pairs = [
                (int(item["weight"]), int(item["value"]))
                for item in self.reads_item.finditer(found["items"])
            ]
            if not pairs or re.search(r"\d", self.reads_item.sub("", found["items"])):
                raise PromptError(f"the items {found['items']!r:.80} do not read as {self.name}")
            weights, values = np.array(pairs).T
            yield Instances(weights[None], values[None], np.array([int(found["capacity"])]))


TEMPLATES: dict[str, Template] = {
    template.name: template
    for template in (
        Template(
            "prose",
            opening="Answer each question with one number.",
            question="A bag holds at most {capacity} kg. You may pack {items}. Every item can be "
            "packed once or left behind. What is the largest total worth that fits?",
            item="an item of {weight} kg worth {value}",
            between=", ",
            lead="Answer:",
            reads=re.compile(
                r"holds at most (?P<capacity>\d+) kg\. You may pack (?P<items>[^.]+)\. Every item"
            ),
            reads_item=re.compile(r"an item of (?P<weight>\d+) kg worth (?P<value>\d+)"),
        ),
        Template(
            "table",
            opening="Choose rows of each table so that their weights add up to no more than the "
            "limit, and their values to as much as possible.",
            question="limit: {capacity}\n\n| item | weight | value |\n|---|---|---|\n{items}",
            item="| {letter} | {weight} | {value} |",
            between="\n",
            lead="best total value:",
            reads=re.compile(
                r"limit: (?P<capacity>\d+)\n\n\| item \| weight \| value \|\n\|---\|---\|---\|\n"
                r"(?P<items>(?:\| [A-L] \| [^|]+ \| [^|]+ \|\n?)+)"
            ),
            reads_item=re.compile(r"\| [A-L] \| (?P<weight>\d+) \| (?P<value>\d+) \|\n?"),
        ),
        Template(
            "list",
            opening="0/1 knapsack problems. State the maximum total value within the capacity.",
            question="Items:\n{items}\nCapacity: {capacity}",
            item="- weight {weight}, value {value}",
            between="\n",
            lead="Maximum value:",
            reads=re.compile(r"Items:\n(?P<items>(?:- .*\n)+)Capacity: (?P<capacity>\d+)(?!\d)"),
            reads_item=re.compile(r"- weight (?P<weight>\d+), value (?P<value>\d+)\n?"),
        ),
        Template(
            "story",
            opening="Mia is at the fair and wants as many points as she can get. She can go to "
            "each place once, and has to leave on time.",
            question="Today {items}. Mia has {capacity} min. How many points can she get at most?",
            item="the {place} takes {weight} min and scores {value}",
            between="; ",
            lead="Most points:",
            reads=re.compile(r"Today (?P<items>[^.]+)\. Mia has (?P<capacity>\d+) min\. How many"),
            reads_item=re.compile(
                r"the [a-z -]+ takes (?P<weight>\d+) min and scores (?P<value>\d+)"
            ),
        ),
        Template(
            "code",
            opening="def best_value(items: list[tuple[int, int]], capacity: int) -> int:\n"
            '    """The largest sum of v over subsets of items (w, v) whose w sum to at most '
            'capacity."""',
            question="print(best_value([{items}], capacity={capacity}))",
            item="({weight}, {value})",
            between=", ",
            lead="# prints",
            reads=re.compile(
                r"best_value\(\[(?P<items>[(), \d]+)\], capacity=(?P<capacity>\d+)\)\)"
            ),
            reads_item=re.compile(r"\((?P<weight>\d+), (?P<value>\d+)\)"),
        ),
    )
}


def read(prompt: str) -> tuple[str, Instances]:
    """The template of a prompt and the one instance that it asks about: its last question.

    Raises:
        PromptError: no question, questions of several templates, or no lead at the end.
    """
    posed = {name: list(template.questions(prompt)) for name, template in TEMPLATES.items()}
    found = [name for name, instances in posed.items() if instances]
    if len(found) != 1:
        raise PromptError(f"questions of {len(found)} templates in {prompt!r:.80}")
    (name,) = found
    if not prompt.endswith(TEMPLATES[name].lead):
        raise PromptError(f"the prompt does not end with {TEMPLATES[name].lead!r}")
    return name, posed[name][-1]


def most(task: KnapsackTask) -> int:
    """The largest answer that any instance of a task can have."""
    fitting = min(task.items, task.capacity[1] // task.weights[0])
    return fitting * task.values[1]


def answer_options(task: KnapsackTask, end: str = END) -> list[str]:
    """Every feasible answer from 0 on, as it stands after a lead; none begins another.

    Only an answer that begins another is given its end, as 1 begins 12. What a model writes
    after the others does not change which number it is.
    """
    texts = [answer_text(answer) for answer in range(most(task) + 1)]
    begun = {text[:-1] for text in texts}
    return [text + end if text in begun else text for text in texts]


def answer_text(answer: int) -> str:
    """An answer as it stands after a lead."""
    return f" {answer}"


def numbers(texts: Sequence[str]) -> list[int | None]:
    """The first whole number of each text; None where there is none."""
    found = (NUMBER.search(text) for text in texts)
    return [int(match.group()) if match else None for match in found]

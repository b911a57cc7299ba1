"""Sphinx extension: the directive ``predict``, a question that is answered in the page.

Choices are radio buttons and the answer a folded box, so that all of it works with the keyboard and, but for the reply to a
choice, without scripts; `_static/predict.js` compares the choice. In print the choices are a list with letters, and the answers
stand at the end of the chapter, where no eye falls on them by chance.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform

from questions import read_choices


class predict(nodes.General, nodes.Element):
    """The whole box; attribute ``name`` is unique on its page."""


class predict_question(nodes.General, nodes.TextElement):
    """The question."""


class predict_choices(nodes.General, nodes.Element):
    """The choices."""


class predict_choice(nodes.General, nodes.TextElement):
    """One choice; attributes ``name``, ``value``, ``right``."""


class predict_reply(nodes.General, nodes.TextElement):
    """What is said to who chose the choice before it."""


class predict_answer(nodes.General, nodes.Element):
    """The answer."""


class Predict(Directive):
    """The directive; its argument is the question, its body the choices and the answer."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        try:
            choices, answer = read_choices(list(self.content))
        except ValueError as wrong:
            raise self.error(str(wrong)) from None
        environment = self.state.document.settings.env
        box = predict(name=f"predict-{environment.new_serialno('predict')}")
        box += self._text(predict_question(), self.arguments[0])
        options = predict_choices()
        for value, choice in enumerate(choices):
            options += self._text(predict_choice(name=box["name"], value=value, right=choice.right), choice.text)
            if choice.reply:
                options += self._text(predict_reply(value=value), choice.reply)
        body = predict_answer()
        self.state.nested_parse(answer, self.content_offset, body)
        return [_filled(box, options, body)]

    def _text(self, node: nodes.Element, text: str) -> nodes.Element:
        children, messages = self.state.inline_text(text, self.lineno)
        return _filled(node, *children, *messages)


def _filled(node: nodes.Element, *children: nodes.Node) -> nodes.Element:
    for child in children:
        node += child
    return node


def _tags(opening: Any, closing: str = "") -> tuple[Any, Any]:
    """A pair of visitors that write an opening (text, or made from the node) and a closing."""

    def visit(translator: Any, node: nodes.Element) -> None:
        translator.body.append(opening(node) if callable(opening) else opening)

    def depart(translator: Any, node: nodes.Element) -> None:
        translator.body.append(closing)

    return visit, depart


BUTTON = '<p class="predict-ask"><button type="button" hidden>Check my guess</button> <span role="status"></span></p>'

HTML = {
    predict: _tags('<fieldset class="predict">', "</fieldset>"),
    predict_question: _tags("<legend>", "</legend>"),
    predict_choices: _tags("", BUTTON),
    predict_choice: _tags(
        lambda node: '<label class="predict-choice"><input type="radio" name="{}" value="{}"{}> <span>'.format(
            node["name"], node["value"], " data-right" if node["right"] else ""
        ),
        "</span></label>",
    ),
    predict_reply: _tags(lambda node: f'<p class="predict-reply" data-of="{node["value"]}" hidden>', "</p>"),
    predict_answer: _tags('<details class="predict-answer"><summary>Answer</summary>', "</details>"),
}
LATEX = {
    predict: _tags(
        lambda node: f"\n{_room(node)}\\begin{{sphinxadmonition}}{{note}}{{Predict}}\n", "\n\\end{sphinxadmonition}\n"
    ),
    predict_question: _tags("\\textbf{", "}\n"),
    predict_choices: _tags("\n\\begin{itemize}\n", "\n\\end{itemize}\n"),
    predict_choice: _tags(lambda node: f"\n\\item[{_letter(node)}] ", "\n"),
    # `Answers` has moved these
    predict_reply: _tags("", "\n"),
    predict_answer: _tags("", "\n"),
}


def _room(box: nodes.Element) -> str:
    """LaTeX that begins a page where question and choices would stand on two: about 80 characters are a line."""
    asked = [*box.findall(predict_question), *box.findall(predict_choice)]
    lines = sum(1.7 + len(one.astext()) // 80 for one in asked)
    return f"\\Needspace{{{lines + 6:.0f}\\baselineskip}}\n"  # and frame, heading, where the answer is


def _letter(node: nodes.Element) -> str:
    return f"({'abcdefghij'[node['value']]})"


class Answers(SphinxPostTransform):
    """In print: the answers of a page's questions, under a heading of their own at its end, and below each question on which
    page that is."""

    default_priority = 800
    formats = ("latex",)

    def run(self, **kwargs: Any) -> None:
        pages = list(self.document.findall(addnodes.start_of_file)) or [self.document]
        for page in pages:
            boxes = list(page.findall(predict))
            if not boxes:
                continue
            name = page.get("docname", self.env.docname)
            answers = nodes.section("", nodes.title("", "Answers to the questions"), ids=["predict-answers"], docname=name)
            for number, box in enumerate(boxes, 1):
                answers += self._answer(box, number)
                told = f"\\emph{{Answer: page~\\pageref{{\\detokenize{{{name}:predict-answers}}}}.}}\n"
                box += nodes.raw("", told, format="latex")
            next(page.findall(nodes.section)).append(answers)

    def _answer(self, box: nodes.Element, number: int) -> list[nodes.Node]:
        """What the box knew besides question and choices, taken out of it."""
        right = next(choice for choice in box.findall(predict_choice) if choice["right"])
        told = [_paragraph(nodes.strong("", f"{number}. {_letter(right)}"), *(child.deepcopy() for child in right.children))]
        for reply in list(box.findall(predict_reply)):
            told.append(_paragraph(nodes.emphasis("", f"If you guessed {_letter(reply)}:"), *reply.children))
            reply.parent.remove(reply)
        answer = next(box.findall(predict_answer))
        box.remove(answer)
        return [*told, *answer.children]


def _paragraph(start: nodes.Element, *rest: nodes.Node) -> nodes.Element:
    return _filled(nodes.paragraph(), start, nodes.Text(" "), *rest)


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx what there is."""
    for node, html in HTML.items():
        app.add_node(node, html=html, latex=LATEX[node], text=_tags(""), man=_tags(""))
    app.add_directive("predict", Predict)
    app.add_post_transform(Answers)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

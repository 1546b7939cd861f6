"""A chapter with all the parts that the book asks for, and next to nothing in them."""

from __future__ import annotations

import nbformat
from chapter_files import put_setup, strip

TITLE = """# A tiny chapter

After this chapter you can

- read it;
- run it;
- take it out again.

**Time:** 2 minutes to read, a second to run on a CPU or a GPU. **You need:** {needs}."""
QUESTION = """## The question

<div class="predict">

**Predict.** What is one and a quarter?

</div>"""
MISCONCEPTION = """## A closer look

<div class="misconception">

**Often taught:** it is 4.5 {cite:p}`he2016deep`.

</div>"""
EXERCISES = "## Exercises\n\n" + "\n\n".join(
    f"""### {number}. A `step` more

*easy, {number} minutes*

Hand it to `check.output_size`.

<details><summary>Hint</summary>

Count.

</details>

<details><summary>Solution</summary>

```python
from resnet_edu import check

check.output_size(lambda size, kernel, stride, padding: (size + 2 * padding - kernel) // stride + 1)
```

</details>"""
    for number in (1, 2, 3)
)
REMEMBER = """## To remember

1. It is 1.25.
2. Not 4.5.
3. Three.
4. Four.
5. Five.

| term | in Chinese | meaning |
|---|---|---|
| residual block | 残差块 | a block with a shortcut |

**Further reading:** {cite:t}`he2016deep`."""


def tiny_chapter(*needs: str) -> nbformat.NotebookNode:
    """Return the chapter as a notebook; it needs the chapters of these names."""
    links = ", ".join(f"[what is before]({name}.ipynb)" for name in needs) or "nothing"
    made_up = {"4.5": "made up: an example"}
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = [
        markdown(TITLE.format(needs=links)),
        markdown(QUESTION),
        code("FULL = False  # True, on a GPU: one step more", metadata={"tags": ["parameters"]}),
        code("def train(steps):\n    return steps / 4\n\n\nprint(train(6 if FULL else 5))"),
        markdown(MISCONCEPTION, metadata={"sources": made_up}),
        code("print(1.25)"),
        markdown(EXERCISES),
        markdown(REMEMBER, metadata={"sources": {"1.25": "= 5 / 4", **made_up}}),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    facts = {"minutes": 2, "needs": list(needs), "question": "What is tiny?"}
    notebook.metadata["book"] = facts
    return strip(put_setup(notebook))

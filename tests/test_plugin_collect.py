"""Which files become items, and what becomes of those that cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mesa_projects import Project


def test_malformed_specs_leave_the_others_running(project: Project) -> None:
    project.spec("good")
    folder = project.root / "predictions"
    (folder / "bad.yaml").write_text("prediction: bad\ntitel: typo\n")
    (folder / "cut.yaml").write_text("prediction: [1, 2\n")
    (folder / "copy.yaml").write_text((folder / "good.yaml").read_text())
    result = project.pytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*ERROR collecting predictions/bad.yaml*",
            "predictions/bad.yaml:2:1: *titel*",
            "*ERROR collecting predictions/cut.yaml*",
            "predictions/cut.yaml:*",
            "*ERROR collecting predictions/good.yaml*",
            "predictions/good.yaml:1:1: the id 'good' is also that of predictions/copy.yaml:1*",
            "*= 1 passed, 3 errors in *",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_options_that_choose_items_work(project: Project) -> None:
    project.spec("knapsack-a", tags="cheap, in-context")
    project.spec("knapsack-b", tags="cheap")
    project.spec("maze")
    listed = project.pytest("--collect-only", "-q", "-k", "knapsack")
    assert listed.outlines[:2] == [
        "predictions/knapsack-a.yaml::knapsack-a",
        "predictions/knapsack-b.yaml::knapsack-b",
    ]
    marked = project.pytest("--collect-only", "-q", "--strict-markers", "-m", "in-context")
    assert marked.outlines[0] == "predictions/knapsack-a.yaml::knapsack-a"
    assert "1/3 tests collected" in marked.stdout.str()
    by_id = project.pytest("--collect-only", "-q", "predictions/maze.yaml::maze")
    assert by_id.outlines[0] == "predictions/maze.yaml::maze"
    assert project.pytest("-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert not project.ledger.exists()
    assert not (project.root / ".mesa-cache").exists()


def test_ordinary_tests_are_collected_where_paths_are_given(project: Project) -> None:
    project.spec("claim")
    project.spec("beside", folder="tests")
    (project.root / "predictions" / "test_no.py").write_text("def test_no(): assert 0")
    (project.root / "tests" / "test_yes.py").write_text("def test_yes(): pass")
    (project.root / "tests" / "compose.yaml").write_text("services: {web: {}}\n")

    bare = project.pytest("--collect-only", "-q")
    assert bare.outlines[:2] == ["predictions/claim.yaml::claim", ""]
    given = project.pytest("--collect-only", "-q", "tests/")
    assert given.outlines[:2] == ["tests/beside.yaml::beside", "tests/test_yes.py::test_yes"]
    assert "2 tests collected" in given.stdout.str()


def test_the_ini_names_the_directories(project: Project) -> None:
    project.spec("here", folder="claims")
    project.spec("there", folder="more")
    project.pytester.makeini("[pytest]\nmesa_predictions = claims more\n")
    result = project.pytest("--collect-only", "-q")
    assert result.outlines[:2] == ["claims/here.yaml::here", "more/there.yaml::there"]


def test_nothing_found_is_a_usage_error(project: Project) -> None:
    (project.root / "tests").mkdir()
    (project.root / "tests" / "test_yes.py").write_text("def test_yes(): pass")
    for arguments in (("tests",), ("tests", "-n", "2")):
        result = project.pytest(*arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "no prediction file (.yaml) found in" in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mesa-executor", "ray"], "*'ray' is not available in this version; there is: local"),
        (["--mesa-fail-on", "inconclusiv"], "*unknown 'inconclusiv'; did you mean 'inconclusive'?"),
        (["--mesa-model", ""], "*--mesa-model: the reference is empty"),
    ],
)
def test_wrong_usage_is_explained(project: Project, arguments: list[str], message: str) -> None:
    project.spec("claim")
    result = project.pytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_model_without_predictions_is_wrong_usage(project: Project) -> None:
    result = project.pytester.runpytest_subprocess("--mesa-model", "bundled:tiny")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*add --mesa-predictions"])


def test_a_tag_cannot_be_a_marker_that_pytest_acts_on(project: Project) -> None:
    project.spec("claim", "score: 1.0", tags="xfail")
    result = project.pytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["predictions/claim.yaml:1:1: the tag 'xfail' is a marker*"])


def test_without_a_registry_here_the_shipped_one_is_collected(project: Project) -> None:
    result = project.pytest("--collect-only", "-q")
    assert "::knapsack-no-dp" in result.stdout.str()
